package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claviger/claviger/internal/sandbox"
)

func newTortured(t *testing.T, kind string) *tortured {
	t.Helper()
	w := &tortured{kind: kind, seed: *tortureSeed, length: *tortureFor}
	for w.seed == 0 {
		w.seed = uint64(rand.Uint32()) // short enough to be typed
	}
	w.plan = newSchedule(w.seed, kind, w.length)
	services, err := sandbox.Start(t.Context(), sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = services.Close() })
	w.provider = services.TimeLog()
	w.provider.Set(func(s *sandbox.TimeLogSettings) { s.OpaqueAccessTokens, s.AccessLife = true, accessLife })
	w.nemesis = &nemesis{provider: w.provider}
	if kind == "postgres" {
		w.membersOnPostgres(t)
	} else {
		w.memberOnSQLite(t)
	}
	var starting sync.WaitGroup
	for _, m := range w.members {
		starting.Go(func() {
			if err := m.run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	w.nemesis.members = w.members
	http := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(http.CloseIdleConnections)
	w.api = backend{t: t, url: w.members[0].url, key: apiKey, http: http}
	w.readers = &readers{members: w.members, provider: w.provider, http: http, link: w.linkOne, outcomes: map[string]int{}}
	w.link(t)
	return w
}

func (w *tortured) memberOnSQLite(t *testing.T) {
	t.Helper()
	// The race detector is in PostgreSQL's form. Here it would be in the database
	// too, and all that it would show is a database too slow for the load.
	program, err := goBuild(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	m := newMember(t, 1, program, tortureSettings(t)...)
	w.nemesis.database = filepath.Join(m.dir, "claviger.db")
	w.members = append(w.members, m)
}

func (w *tortured) membersOnPostgres(t *testing.T) {
	t.Helper()
	w.nemesis.cluster = startCluster(t)
	w.nemesis.database = newDatabaseOn(t, w.nemesis.cluster.url)
	keyset, err := claviger(t, nil, "key", "generate").Output()
	if err != nil {
		t.Fatalf("claviger key generate: %v", err)
	}
	settings := append(tortureSettings(t), "CLAVIGER_KEYSET="+strings.TrimSpace(string(keyset)))
	if out, err := claviger(t, append(settings, "CLAVIGER_DATABASE_URL="+w.nemesis.database), "migrate", "up").CombinedOutput(); err != nil {
		t.Fatalf("claviger migrate up: %v\n%s", err, out)
	}
	brokers := brokersOn(w.kind)
	for number := 1; number <= brokers; number++ {
		program := binary(t)
		if number == brokers {
			program = fastBinary(t, clockAhead)
		}
		wire, through := newWire(t, w.nemesis.database)
		m := newMember(t, number, program, append(settings, "CLAVIGER_DATABASE_URL="+through)...)
		m.wire = wire
		w.members = append(w.members, m)
	}
}

// plainProvider is OAuth without OpenID, where there is nothing in an answer to
// be checked. The redirect URI tells the provider's books who called.
const plainProvider = `
name: plain
title: Plain
description: OAuth 2.0 and nothing else.
website: https://plain.example.com/
docs: https://plain.example.com/docs
base_url: https://plain.example.com
methods:
  - name: oauth
    title: Sign in
    scheme: oauth2_code
    recommended: true
    oauth:
      authorization_url: https://plain.example.com/authorize
      token_url: https://plain.example.com/token
      client_auth: post
      refresh_with_redirect_uri: true
      reuse: revoke
`

func tortureSettings(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), []byte(plainProvider), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"CLAVIGER_API_KEY=" + apiKey, "CLAVIGER_OUTBOUND_ALLOW=127.0.0.0/8,::1/128", "CLAVIGER_PROVIDERS_DIR=" + dir}
}

// link links the accounts, so that their tokens end one after the other. Half of
// the connections speak OpenID Connect, and half go to the provider under another
// name, which is another host.
func (w *tortured) link(t *testing.T) {
	t.Helper()
	issuer, err := url.Parse(w.provider.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	other := "http://localhost:" + issuer.Port()
	integrate := func(provider string, overrides map[string]any) {
		in := map[string]any{
			"provider": provider, "key": provider, "overrides": overrides,
			"client_id": sandbox.DemoClientID, "client_secret": sandbox.DemoClientSecret,
		}
		w.api.post("/v1/integrations", in).want(http.StatusCreated)
	}
	integrate("timelog", map[string]any{"issuer": w.provider.Issuer(), "allowed_hosts": []string{issuer.Host}})
	integrate("plain", map[string]any{"authorization_url": other + "/connect/authorize", "token_url": other + "/connect/token", "base_url": other + "/soxdemo"})

	queue := make(chan int, tortureLines)
	for i := range tortureLines {
		queue <- i
	}
	close(queue)
	var workers errgroup.Group
	for range 8 {
		workers.Go(func() error {
			for i := range queue {
				life := accessLife/2 + accessLife*time.Duration(i)/tortureLines
				l, err := w.linkOne(t.Context(), w.members[0], life)
				if err != nil {
					return err
				}
				w.readers.add(l)
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		t.Fatal(err)
	}
}

// linkOne links one more account. Its first access token lives as long as said.
func (w *tortured) linkOne(ctx context.Context, m *member, life time.Duration) (*line, error) {
	n := w.linked.Add(1)
	integration, method := "timelog", "oidc"
	if n%2 == 0 {
		integration, method = "plain", "oauth"
	}
	tokens, err := w.provider.Agree(sandbox.DemoClientID, sandbox.AdaEmail, life)
	if err != nil {
		return nil, err
	}
	a, err := w.readers.call(ctx, m, http.MethodPost, "/v1/connections", map[string]any{
		"integration": integration, "method": method, "verify": false, "end_user": map[string]any{"id": fmt.Sprintf("user-%d", n)},
		"credential": map[string]any{"access_token": tokens.Access, "refresh_token": tokens.Refresh, "expires_at": tokens.Expires.UTC().Format(time.RFC3339)},
	})
	if err != nil {
		return nil, err
	}
	var made connection
	if err := json.Unmarshal(a.body, &made); err != nil || a.status != http.StatusCreated {
		return nil, fmt.Errorf("importing a connection: %d %s", a.status, a.body)
	}
	return &line{id: made.ID, family: tokens.Family}, nil
}
