package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// Export writes what is there as a file that [Read] takes: what every
// environment has of integrations and of API keys that work. Secrets are
// references to variables with names made here; a comment lists them. Ids,
// connections and what is sealed are not in it.
func (s *Setup) Export(ctx context.Context, w io.Writer) error {
	envs, err := s.vault.Environments(ctx)
	if err != nil {
		return err
	}
	if len(envs) == 0 {
		return errors.New("there is nothing to export: this database has no environment yet")
	}
	x := &export{used: map[string]bool{}}
	x.line(0, "environments:")
	for _, env := range envs {
		x.line(1, "- name: %s", scalar(env.Name))
		caller := vault.System("export", env.ID)
		integrations, err := s.integrations(ctx, caller)
		if err != nil {
			return err
		}
		slices.SortFunc(integrations, func(a, b vault.Integration) int { return strings.Compare(a.Key, b.Key) })
		keys, err := s.liveKeys(ctx, caller)
		if err != nil {
			return err
		}
		x.environment(env.Name, integrations, keys)
	}
	return x.write(w)
}

// export is a file while it is written.
type export struct {
	body      strings.Builder
	variables []member        // what each holds, in the order of the file
	used      map[string]bool // names of variables
}

func (x *export) line(depth int, format string, args ...any) {
	x.body.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(&x.body, format, args...)
	x.body.WriteByte('\n')
}

func (x *export) environment(name string, integrations []vault.Integration, keys []vault.APIKey) {
	if len(integrations) > 0 {
		x.line(2, "integrations:")
	}
	for _, in := range integrations {
		x.line(3, "- key: %s", scalar(in.Key))
		x.line(4, "provider: %s", scalar(in.Provider))
		x.text(4, "title", in.Title)
		x.text(4, "client_id", in.ClientID)
		if in.HasClientSecret {
			x.line(4, "client_secret: {env: %s}", x.variable("CLIENT_SECRET", name, in.Key,
				fmt.Sprintf("client secret of the integration %s in %s", in.Key, name)))
		}
		x.list(4, "scopes", in.Scopes)
		x.list(4, "methods", in.Methods)
		x.overrides(in.Overrides)
	}
	if len(keys) > 0 {
		x.line(2, "api_keys:")
	}
	for _, k := range keys {
		x.line(3, "- name: %s", scalar(k.Name))
		x.line(4, "key: {env: %s}", x.variable("API_KEY", name, k.Name,
			fmt.Sprintf("API key %q in %s, made %s", k.Name, name, k.CreatedAt.Format(time.DateOnly))))
		x.list(4, "scopes", scopeWords(k.Scopes))
		x.list(4, "integrations", k.Integrations)
		x.list(4, "addresses", k.Asked().Addresses)
		if !k.ExpiresAt.IsZero() {
			x.line(4, "expires_at: %s", scalar(k.ExpiresAt.UTC().Format("2006-01-02T15:04:05.999999Z07:00")))
		}
	}
}

func (x *export) text(depth int, name, value string) {
	if value != "" {
		x.line(depth, "%s: %s", name, scalar(value))
	}
}

func (x *export) list(depth int, name string, values []string) {
	if len(values) == 0 {
		return
	}
	x.line(depth, "%s:", name)
	for _, v := range values {
		x.line(depth+1, "- %s", scalar(v))
	}
}

func (x *export) overrides(o vault.Overrides) {
	if reflect.ValueOf(o).IsZero() {
		return
	}
	x.line(4, "overrides:")
	v := reflect.ValueOf(overrides(o))
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		switch value := v.Field(i).Interface().(type) {
		case string:
			x.text(5, name, value)
		case []string:
			x.list(5, name, value)
		}
	}
}

// variable makes a name that no other secret has. Its first words keep it apart
// from the broker's own settings.
func (x *export) variable(parts ...string) string {
	holds := parts[len(parts)-1]
	base := strings.ToUpper(strings.Join(parts[:len(parts)-1], "_"))
	base = strings.Trim(notWord.ReplaceAllString(base, "_"), "_")
	name := base
	for n := 2; x.used[name]; n++ {
		name = base + "_" + strconv.Itoa(n)
	}
	x.used[name] = true
	x.variables = append(x.variables, member{name, holds})
	return name
}

func (x *export) write(w io.Writer) error {
	var head strings.Builder
	head.WriteString("# What this broker is set up with, for `claviger apply`.\n")
	if len(x.variables) > 0 {
		head.WriteString("# Secrets are not in it. These variables have to hold them; an API key whose secret\n" +
			"# nobody has any more can be left out, and is left alone:\n#\n")
		table := tabwriter.NewWriter(&head, 0, 0, 2, ' ', 0)
		for _, v := range x.variables {
			fmt.Fprintf(table, "#   %s\t%s\n", v.name, v.value)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	head.WriteByte('\n')
	_, err := io.WriteString(w, head.String()+x.body.String())
	return err
}

var (
	notWord = regexp.MustCompile(`[^A-Z0-9]+`)
	// plain is what YAML takes for text without quotes, whatever it says.
	plain = regexp.MustCompile(`^[a-z][a-z0-9_-]*(?:[:./][a-z0-9_*/-]+)*$`)
)

// scalar writes text as YAML. Go's escapes are among YAML's.
func scalar(s string) string {
	switch s {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
	default:
		if plain.MatchString(s) {
			return s
		}
	}
	return strings.ReplaceAll(strconv.Quote(s), "\uFFFD", `\uFFFD`)
}
