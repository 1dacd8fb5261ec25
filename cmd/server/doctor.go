package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/store"
	"github.com/claviger/claviger/internal/vault"
)

// doctorTime bounds each look of the doctor.
const doctorTime = 15 * time.Second

// clockSkewAllowed is what id_tokens and leases put up with.
const clockSkewAllowed = 30 * time.Second

// doctor looks at everything that a broker needs before it is asked to serve,
// changes nothing, and says what to do about each finding.
func doctor(ctx context.Context, p *process, args []string) error {
	fs := flag.NewFlagSet("doctor", flag.ContinueOnError)
	cfg, err := loadConfig(fs, args, p.env)
	if err != nil {
		return fmt.Errorf("configuration:\n%w", err)
	}
	d := &diagnosis{out: p.stdout, cfg: cfg, process: p}
	d.say("configuration", nil, "", "complete")
	d.look(ctx, "database", d.database)
	d.look(ctx, "schema", d.schema)
	d.look(ctx, "keyset", d.keyset)
	d.look(ctx, "spool", d.spool)
	d.look(ctx, "provider files", d.catalog)
	d.look(ctx, "clock", d.clock)
	d.look(ctx, "outbound", d.reach)
	d.look(ctx, "public URL", d.public)
	if d.faults > 0 {
		return fmt.Errorf("doctor: %d of the findings above have to be mended", d.faults)
	}
	return nil
}

type diagnosis struct {
	*process
	out    io.Writer
	cfg    *config
	faults int
}

// finding is what one look came to: a note if all is well, else what to do.
type finding struct {
	err    error
	advice string
	note   string
}

func (d *diagnosis) look(ctx context.Context, what string, at func(context.Context) finding) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	f := at(ctx)
	d.say(what, f.err, f.advice, f.note)
}

func (d *diagnosis) say(what string, err error, advice, note string) {
	if err == nil {
		fmt.Fprintf(d.out, "ok    %-14s %s\n", what, note)
		return
	}
	d.faults++
	fmt.Fprintf(d.out, "FAULT %-14s %v\n      %-14s → %s\n", what, err, "", advice)
}

func (d *diagnosis) fresh() (bool, error) {
	if !d.cfg.embedded() {
		return false, nil
	}
	_, err := os.Stat(d.cfg.DataDir)
	if os.IsNotExist(err) {
		return true, nil
	}
	return false, err
}

func (d *diagnosis) database(ctx context.Context) finding {
	if fresh, err := d.fresh(); fresh {
		return finding{note: "embedded, made at the first start in " + d.cfg.DataDir}
	} else if err != nil {
		return finding{err: err, advice: "give this user the data directory, mode 0700"}
	}
	m, err := store.NewMigrator(store.Config{URL: d.cfg.databaseURL(), Log: d.logger(d.cfg)})
	if err == nil {
		_, err = m.Status(ctx)
	}
	if err != nil {
		return finding{err: err, advice: "check CLAVIGER_DATABASE_URL, that the server runs, and the user's rights"}
	}
	return finding{note: map[bool]string{true: "embedded SQLite", false: "Postgres"}[d.cfg.embedded()] + " answers"}
}

func (d *diagnosis) schema(ctx context.Context) finding {
	if fresh, _ := d.fresh(); fresh {
		return finding{note: "made at the first start"}
	}
	m, err := store.NewMigrator(store.Config{URL: d.cfg.databaseURL(), Log: d.logger(d.cfg)})
	if err != nil {
		return finding{err: err, advice: "see database"}
	}
	s, err := m.Status(ctx)
	switch {
	case err != nil:
		return finding{err: err, advice: "see database"}
	case s.Dirty:
		return finding{err: fmt.Errorf("a migration to version %d was cut off", s.Version), advice: "docs/operations.md, “a migration was cut off”"}
	case len(s.Pending) > 0:
		return finding{err: fmt.Errorf("version %d of %d", s.Version, s.Latest), advice: "run `claviger migrate up`"}
	}
	return finding{note: fmt.Sprintf("version %d", s.Version)}
}

func (d *diagnosis) keyset(ctx context.Context) finding {
	if fresh, _ := d.fresh(); fresh && d.cfg.Keyset.IsZero() {
		return finding{note: "made at the first start"}
	}
	k, err := openKeyset(d.cfg)
	if err != nil {
		return finding{err: err, advice: "restore the keyset from your backup; without it nothing that is stored can be opened"}
	}
	s, err := store.Open(ctx, store.Config{URL: d.cfg.databaseURL(), Log: d.logger(d.cfg)})
	if err != nil {
		return finding{err: err, advice: "see database"}
	}
	defer func() { _ = s.Close() }() // nothing was written
	canary, err := s.Canary(ctx)
	switch {
	case err != nil:
		return finding{err: err, advice: "see schema"}
	case canary == nil:
		return finding{note: "this database holds nothing yet"}
	}
	if err := vault.New(vault.Config{Store: s, Keyset: k}).CheckKeyset(ctx); err != nil {
		return finding{err: err, advice: "configure the keyset that this database was sealed with"}
	}
	return finding{note: "opens this database"}
}

func (d *diagnosis) catalog(context.Context) finding {
	c, err := loadCatalog(d.cfg)
	if err != nil {
		return finding{err: err, advice: "mend the files in CLAVIGER_PROVIDERS_DIR"}
	}
	return finding{note: fmt.Sprintf("%d providers", len(c.Providers()))}
}

// clock compares with an HTTPS server's Date header by way of a provider:
// expiry, id_tokens and audit times all lean on it.
func (d *diagnosis) clock(ctx context.Context) finding {
	theirs, host, err := d.dateOf(ctx)
	if err != nil {
		return finding{note: "not compared: no provider could be reached"}
	}
	if skew := time.Since(theirs).Abs(); skew > clockSkewAllowed {
		return finding{err: fmt.Errorf("differs from %s by %s", host, skew.Round(time.Second)), advice: "run an NTP client: tokens are judged by this clock"}
	}
	return finding{note: "agrees with " + host}
}

func (d *diagnosis) reach(ctx context.Context) finding {
	if _, host, err := d.dateOf(ctx); err != nil {
		return finding{err: err, advice: "let this machine reach " + host + " by https, without a proxy"}
	}
	return finding{note: "providers can be reached"}
}

// dateOf asks the first built-in provider's API for the time, without a credential.
func (d *diagnosis) dateOf(ctx context.Context) (time.Time, string, error) {
	const host = "api.track.toggl.com"
	client := outbound.New(outbound.Config{Allow: d.cfg.OutboundAllow})
	defer client.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+host+"/", http.NoBody)
	if err != nil {
		return time.Time{}, host, err
	}
	answer, err := client.Do(ctx, req, 1<<10, outbound.Route("doctor"))
	if answer == nil {
		return time.Time{}, host, err
	}
	at, err := http.ParseTime(answer.Header.Get("Date"))
	return at, host, err
}

func (d *diagnosis) public(ctx context.Context) finding {
	host := d.cfg.PublicURL.Hostname()
	if loopback(host) {
		return finding{note: d.cfg.PublicURL.String() + " (loopback: for this machine only)"}
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
		return finding{err: err, advice: "make a DNS record for the host of CLAVIGER_PUBLIC_URL"}
	}
	return finding{note: d.cfg.PublicURL.String()}
}
