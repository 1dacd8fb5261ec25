package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/claviger/claviger/internal/vault"
)

const envPrefix = "CLAVIGER_"

// config is the effective configuration of one process.
type config struct {
	Listen        string
	PublicURL     *url.URL
	DataDir       string
	DatabaseURL   vault.Secret // empty: SQLite in DataDir
	Keyset        vault.Secret // empty: generated in DataDir, embedded mode only
	KeysetFile    string       // where Keyset was read from, for rotating it in place
	APIKey        vault.Secret
	ProvidersDir  string
	OutboundAllow []netip.Prefix
	ReturnURLs    []string
	AppName       string
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// RefreshRate is how many connections a second this process refreshes ahead
	// of time, RefreshPerHost how many at a time at one provider.
	RefreshRate    float64
	RefreshPerHost int
	// ReadAudit is minute or strict; empty leaves the environment as it is.
	ReadAudit string
	// AuditRetention is 0 for ever.
	AuditRetention time.Duration
	Admin          adminConfig
	LogLevel       slog.Level
	LogFormat      string // text, json, or empty: by the terminal

	given map[string]string // by full name, from variables and flags
}

// isSet reports whether somebody set the setting, or all we have is its default.
func (c *config) isSet(name string) bool { return c.given[envPrefix+name] != "" }

// embedded says that the database is ours: a file in the data directory.
func (c *config) embedded() bool { return c.DatabaseURL.IsZero() }

func (c *config) databaseURL() string {
	if c.embedded() {
		return "sqlite:" + filepath.Join(c.DataDir, "claviger.db")
	}
	return c.DatabaseURL.Reveal()
}

// setting is one variable, with a flag of the same name.
type setting struct {
	name   string // without the prefix: PUBLIC_URL
	def    string
	usage  string
	secret bool // also taken from the file that NAME_FILE names
	apply  func(c *config, value string) error
}

func (s setting) flag() string { return strings.ReplaceAll(strings.ToLower(s.name), "_", "-") }

// settings is the whole of the configuration, in the order of the docs.
func settings() []setting {
	return slices.Concat(brokerSettings(), adminSettings(), logSettings())
}

func brokerSettings() []setting {
	return []setting{
		{name: "LISTEN", def: "127.0.0.1:8080", usage: "address to listen on", apply: func(c *config, v string) error {
			if _, _, err := net.SplitHostPort(v); err != nil {
				return errors.New("must be host:port")
			}
			c.Listen = v
			return nil
		}},
		{name: "PUBLIC_URL", def: "http://localhost:8080", usage: "URL under which browsers see the broker; https unless the host is loopback", apply: applyPublicURL},
		{name: "DATA_DIR", def: "./claviger-data", usage: "directory of the embedded database and the generated keyset", apply: func(c *config, v string) error {
			c.DataDir = v
			return nil
		}},
		{name: "DATABASE_URL", usage: "postgres://… in production; SQLite in the data directory if empty", secret: true, apply: applyDatabaseURL},
		{name: "KEYSET", usage: "Tink keyset in JSON form; generated in embedded mode, required with Postgres", secret: true, apply: func(c *config, v string) error {
			c.Keyset = vault.NewSecret(v)
			_, err := vault.ParseKeyset(c.Keyset)
			return err
		}},
		{name: "API_KEY", usage: "an API key that is made sure to exist, with every scope in the environment default", secret: true, apply: applyAPIKey},
		{name: "PROVIDERS_DIR", usage: "directory with more provider files, or replacements of built-in ones", apply: func(c *config, v string) error {
			c.ProvidersDir = v
			return nil
		}},
		{name: "OUTBOUND_ALLOW", usage: "private or loopback CIDRs that calls to providers may reach, comma-separated", apply: func(c *config, v string) (err error) {
			c.OutboundAllow, err = prefixes(v)
			return err
		}},
		{name: "TRUSTED_PROXIES", usage: "CIDRs of proxies whose X-Forwarded-For is believed, comma-separated", apply: func(c *config, v string) (err error) {
			c.TrustedProxies, err = prefixes(v)
			return err
		}},
		{name: "RETURN_URLS", usage: "the only URLs that a connect session may return to, comma-separated; any if empty", apply: func(c *config, v string) error {
			c.ReturnURLs = list(v)
			return nil
		}},
		{name: "APP_NAME", usage: "who asks, as the connect pages name it; the host of the return URL if empty", apply: func(c *config, v string) error {
			c.AppName = v
			return nil
		}},
		{name: "REFRESH_RATE", def: "50", usage: "how many connections a second this process refreshes ahead of time, at most", apply: func(c *config, v string) (err error) {
			if c.RefreshRate, err = strconv.ParseFloat(v, 64); err != nil || !(c.RefreshRate > 0 && c.RefreshRate <= 10_000) {
				return errors.New("must be a number above 0, at most 10000")
			}
			return nil
		}},
		{name: "REFRESH_PER_HOST", def: "8", usage: "how many of them one provider host gets at a time", apply: func(c *config, v string) (err error) {
			if c.RefreshPerHost, err = strconv.Atoi(v); err != nil || c.RefreshPerHost < 1 || c.RefreshPerHost > 1000 {
				return errors.New("must be a whole number from 1 to 1000")
			}
			return nil
		}},
		{name: "READ_AUDIT", usage: "what reads of headers leave in the trail of the environment default: strict is an entry each, before the answer; minute is one or two a minute; as it was if empty", apply: func(c *config, v string) error {
			if v != "minute" && v != "strict" {
				return errors.New("must be minute or strict")
			}
			c.ReadAudit = v
			return nil
		}},
		{name: "AUDIT_RETENTION", usage: "how long entries of the trail are kept, such as 400d; for ever if empty", apply: func(c *config, v string) (err error) {
			c.AuditRetention, err = retention(v)
			return err
		}},
	}
}

func logSettings() []setting {
	return []setting{
		{name: "LOG_LEVEL", def: "info", usage: "debug, info, warn or error", apply: func(c *config, v string) error {
			if c.LogLevel.UnmarshalText([]byte(v)) != nil {
				return errors.New("must be debug, info, warn or error")
			}
			return nil
		}},
		{name: "LOG_FORMAT", usage: "text or json; text on a terminal, else json, if empty", apply: func(c *config, v string) error {
			if v != "" && v != "text" && v != "json" {
				return errors.New("must be text or json")
			}
			c.LogFormat = v
			return nil
		}},
	}
}

func applyPublicURL(c *config, v string) error {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("must be a scheme and a host, such as https://broker.example.com")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return errors.New("must be https, unless the host is loopback")
	}
	u.Path = ""
	c.PublicURL = u
	return nil
}

func applyDatabaseURL(c *config, v string) error {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return errors.New("must be a postgres:// URL") // never quoted: it may hold a password
	}
	c.DatabaseURL = vault.NewSecret(v)
	return nil
}

func applyAPIKey(c *config, v string) error {
	c.APIKey = vault.NewSecret(v)
	return vault.CheckOwnKey(c.APIKey)
}

// retention is so many days, or what Go takes for a duration; a day at least.
func retention(v string) (time.Duration, error) {
	const day = 24 * time.Hour
	d, err := time.ParseDuration(v)
	if days, ok := strings.CutSuffix(v, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, 100_000)) * day
	}
	if err != nil || d < day {
		return 0, errors.New("must be a number of days such as 400d, and 1d at least")
	}
	return d, nil
}

func prefixes(v string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, s := range list(v) {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is not a CIDR such as 10.1.0.0/16", s)
		}
		all = append(all, p)
	}
	return all, nil
}

func list(v string) []string {
	var items []string
	for s := range strings.SplitSeq(v, ",") {
		if s = strings.TrimSpace(s); s != "" {
			items = append(items, s)
		}
	}
	return items
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// environment is the process environment as a map.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	return env
}

// loadConfig reads variables and flags; a flag beats its variable. It answers
// all faults at once. Flags of the command itself are in fs already, and what
// is left of args is there after it.
func loadConfig(fs *flag.FlagSet, args []string, env map[string]string) (*config, error) {
	return loadConfigWith(fs, args, env, true)
}

func loadConfigWith(fs *flag.FlagSet, args []string, env map[string]string, needKeyset bool) (*config, error) {
	fs.SetOutput(io.Discard)
	flags := map[string]*string{}
	for _, s := range settings() {
		flags[s.name] = fs.String(s.flag(), "", s.usage)
		if s.secret {
			flags[s.name+"_FILE"] = fs.String(s.flag()+"-file", "", "file with: "+s.usage)
		}
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]string{}
	maps.Copy(given, env)
	fs.Visit(func(f *flag.Flag) {
		name := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if _, ok := flags[name]; !ok {
			return
		}
		// The flag also beats the variable's twin: the value the file, and back.
		setting := strings.TrimSuffix(name, "_FILE")
		delete(given, envPrefix+setting)
		delete(given, envPrefix+setting+"_FILE")
		given[envPrefix+name] = f.Value.String()
	})
	c := &config{given: given}
	faults := unknownNames(env, flags)
	for _, s := range settings() {
		value, file, err := s.value(given)
		switch {
		case err != nil:
		case value == "":
			continue
		default:
			err = s.apply(c, value)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s%s: %w", envPrefix, s.name, err))
		}
		if s.name == "KEYSET" {
			c.KeysetFile = file
		}
	}
	if needKeyset && !c.embedded() && c.Keyset.IsZero() && !hasFault(faults, "KEYSET") {
		faults = append(faults, errors.New("CLAVIGER_KEYSET: required with Postgres; `claviger key generate` makes one"))
	}
	return c, errors.Join(append(faults, c.checkAdmin()...)...)
}

func hasFault(faults []error, name string) bool {
	return slices.ContainsFunc(faults, func(e error) bool { return strings.HasPrefix(e.Error(), envPrefix+name+":") })
}

// value is what was given for the setting, and the file it came from.
func (s setting) value(given map[string]string) (value, file string, err error) {
	value = given[envPrefix+s.name]
	if s.secret {
		file = given[envPrefix+s.name+"_FILE"]
	}
	switch {
	case file != "" && value != "":
		return "", "", fmt.Errorf("given twice, also as %s%s_FILE", envPrefix, s.name)
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", "", fmt.Errorf("reading its file: %w", err)
		}
		if value = strings.TrimSpace(string(b)); value == "" {
			return "", "", fmt.Errorf("the file %s is empty", file)
		}
	case value == "":
		value = s.def
	}
	return value, file, nil
}

// unknownNames refuses CLAVIGER_* variables that mean nothing: a typo must not
// be a setting that silently does nothing.
func unknownNames(env map[string]string, known map[string]*string) []error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(env)) {
		short, ours := strings.CutPrefix(name, envPrefix)
		if _, ok := known[short]; !ours || ok {
			continue
		}
		best, distance := "", 1<<10
		for _, candidate := range slices.Sorted(maps.Keys(known)) {
			if d := levenshtein.ComputeDistance(short, candidate); d < distance {
				best, distance = candidate, d
			}
		}
		faults = append(faults, fmt.Errorf("%s: there is no such setting; the nearest is %s%s", name, envPrefix, best))
	}
	return faults
}
