package refresh_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
)

const (
	modelToken0    = "http://127.0.0.1:7/token"
	modelResolve   = "http://127.0.0.1:7/resolve"
	modelRoot      = "http://127.0.0.1:7/api"
	modelKey       = "model"
	liveAtTheStart = 36 * time.Second // a second more than gapLease: then B's patience outlives it
)

// modelBase is what all runs of a kind begin with. Every bubble begins at the
// same time of day, so that it is made only once.
type modelBase struct {
	kind       modelKind
	catalog    *providers.Catalog
	keyset     *vault.Keyset
	key        vault.Secret
	caller     vault.Caller
	connection string
	ends       time.Time // of a0
	filled     *modelDatabase
}

// modelKind is what providers differ in, and what there is at the start.
type modelKind struct {
	reuse modelReuse
	// live: the access token still works for less than readers ask for; else it
	// has expired.
	live bool
	// rescues: the provider is asked for more after each refresh, so that the
	// new refresh token is saved by itself first. It ends old access tokens at
	// once, too.
	rescues bool
}

func (k modelKind) String() string {
	s := string(k.reuse)
	if k.live {
		s += ", live"
	}
	if k.rescues {
		s += ", rescues"
	}
	return s
}

func newModelBase(t *testing.T, kind modelKind) *modelBase {
	t.Helper()
	file := "name: model\ntitle: Model\n"
	if kind.rescues {
		file += "resolve:\n  url: https://model.example/resolve\n  field: [url]\nallowed_hosts: [\"127.0.0.1:7\"]\n"
	} else {
		file += "base_url: https://model.example\n"
	}
	file += `methods:
  - name: oauth
    title: Sign in
    scheme: oauth2_code
    oauth:
      authorization_url: https://model.example/authorize
      token_url: https://model.example/token
      reuse: ` + string(kind.reuse) + "\n"
	b := &modelBase{kind: kind}
	var err error
	b.catalog, err = providers.Load(fstest.MapFS{"model.yaml": {Data: []byte(file)}})
	must(t, err)
	b.keyset, err = vault.NewKeyset()
	must(t, err)
	synctest.Test(t, func(t *testing.T) { b.fill(t) })
	return b
}

func (b *modelBase) fill(t *testing.T) {
	b.filled = &modelDatabase{}
	client := outbound.New(outbound.Config{Allow: loopback()})
	service := b.service(client)
	v := vault.New(vault.Config{
		Store: &modelLink{db: b.filled}, Keyset: b.keyset,
		CheckIntegration: service.CheckIntegration, TellProvider: service.Revoke,
	})
	env, err := v.EnsureEnvironment(t.Context(), vault.DefaultEnvironment)
	must(t, err)
	b.caller = vault.System("model", env.ID)
	_, b.key, err = v.CreateAPIKey(t.Context(), b.caller, vault.NewAPIKey{Name: "model", Scopes: vault.AllScopes()})
	must(t, err)
	over := vault.Overrides{TokenURL: modelToken0}
	if b.kind.rescues {
		over.ResolveURL = modelResolve
		over.AllowedHosts = []string{"127.0.0.1:7"}
	}
	in, err := v.CreateIntegration(t.Context(), b.caller, vault.Integration{
		Key: modelKey, Provider: "model", ClientID: "model", ClientSecret: vault.NewSecret("secret"), Overrides: over,
	})
	must(t, err)
	in, err = v.OpenIntegration(t.Context(), b.caller, in.ID)
	must(t, err)
	b.ends = time.Now().Add(-time.Minute)
	if b.kind.live {
		b.ends = time.Now().Add(liveAtTheStart)
	}
	c, err := v.ImportConnection(t.Context(), b.caller, vault.NewImport{
		Integration: in, Method: "oauth", EndUser: vault.EndUser{ID: "u"},
		Grant: vault.Grant{
			Credential: vault.Credential{
				vault.ValueAccessToken:  vault.NewSecret("a0"),
				vault.ValueRefreshToken: vault.NewSecret("r0"),
			},
			Headers: []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer a0")}},
			BaseURL: modelRoot, ExpiresAt: b.ends, Renewable: true,
		},
	})
	must(t, err)
	b.connection = c.ID
}

func (b *modelBase) service(client *outbound.Client) *providers.Service {
	return providers.New(providers.Config{Catalog: b.catalog, HTTP: client, PublicURL: &url.URL{Scheme: "http", Host: "localhost"}})
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// modelWorld is one run: some processes, a database, a provider, and a judge.
type modelWorld struct {
	t        *testing.T
	base     *modelBase
	began    time.Time
	db       *modelDatabase
	provider *modelProvider
	dir      string // for spools, "" for none
	// restarted: who was killed was started again.
	restarted bool

	mu         sync.Mutex
	processes  []*modelProcess
	claims     []*modelClaim
	blobs      map[string]bool // the sealed credentials that were saved
	violations []string
	windows    map[modelWindow]int // how often a spent token came again, and why
	downUntil  time.Time
	downFor    *modelProcess // nil: for everybody
	listening  map[*modelProcess]func(string)
	wires      []net.Conn

	logMu sync.Mutex
	log   []modelNote
}

type modelNote struct {
	at        time.Time
	who, what string
}

func newModelWorld(t *testing.T, base *modelBase, first modelAnswer, dir string) *modelWorld {
	w := &modelWorld{t: t, base: base, began: time.Now(), dir: dir, listening: map[*modelProcess]func(string){}, windows: map[modelWindow]int{}, blobs: map[string]bool{}}
	w.db = base.filled.clone(w)
	w.provider = &modelProvider{
		world: w, reuse: base.kind.reuse, kills: base.kind.rescues, first: first,
		tokens: []*modelToken{{ends: base.ends}},
	}
	return w
}

// boot starts a process. One that has the name of an earlier one has its spool.
func (w *modelWorld) boot(name string) *modelProcess {
	p := &modelProcess{name: name, world: w, stood: make(chan struct{})}
	client := outbound.New(outbound.Config{Allow: loopback(), Dial: w.provider.dialler(p)})
	service := w.base.service(client)
	p.vault = vault.New(vault.Config{
		Store: &modelLink{db: w.db, p: p}, Keyset: w.base.keyset,
		CheckIntegration: service.CheckIntegration, TellProvider: service.Revoke, Log: slog.New(slog.DiscardHandler),
	})
	must(w.t, p.vault.WarmKeysets(w.t.Context()))
	var spool *refresh.Spool
	if w.dir != "" {
		p.spool = filepath.Join(w.dir, name)
		var err error
		spool, err = refresh.OpenSpool(refresh.SpoolConfig{
			Dir: p.spool, Log: slog.New(slog.DiscardHandler),
			Probe: func(sealed []byte) error { _, err := p.vault.OpenUnsaved(sealed); return err },
		})
		must(w.t, err)
	}
	p.engine = refresh.New(refresh.Config{
		Vault: p.vault, Providers: service, Owner: name, Spool: spool, Log: slog.New(slog.DiscardHandler),
	})
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(w.t.Context())
	p.rest = cancel
	go func() {
		p.engine.Replay(ctx)
		p.engine.Run(ctx)
		client.Close()
	}()
	return p
}

// outage makes the database refuse, to one process or to all.
func (w *modelWorld) outage(p *modelProcess, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.downFor, w.downUntil = p, time.Now().Add(d)
}

func (w *modelWorld) down(p *modelProcess) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Before(w.downUntil) && (w.downFor == nil || w.downFor == p)
}

func (w *modelWorld) listen(ctx context.Context, p *modelProcess, heard func(string)) {
	w.mu.Lock()
	w.listening[p] = heard
	w.mu.Unlock()
	<-ctx.Done()
}

// announce reaches whoever is there to hear it.
func (w *modelWorld) announce(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, heard := range w.listening {
		heard(id)
	}
}

func (w *modelWorld) hangUpAtTheEnd(wires ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wires = append(w.wires, wires...)
}

// end lets everything fall apart. Nothing that happens from here on counts.
func (w *modelWorld) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		p.rest()
		p.end()
	}
	for _, c := range w.wires {
		_ = c.Close()
	}
}

func (w *modelWorld) note(who, what string) {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	w.log = append(w.log, modelNote{time.Now(), who, what})
}

func (w *modelWorld) clock(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.3fs", at.Sub(w.began).Seconds())
}

func (w *modelWorld) story() string {
	w.logMu.Lock()
	defer w.logMu.Unlock()
	var b strings.Builder
	for _, n := range w.log {
		if !strings.HasPrefix(n.what, answerOf) {
			fmt.Fprintf(&b, "%10s  %-8s  %s\n", w.clock(n.at), n.who, n.what)
		}
	}
	return b.String()
}
