package providers_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

func TestTimeLogRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	g := w.link(t, in)
	for range 5 {
		w.clock.advance(50 * time.Minute)
		conn := connection(in, "oidc", g)
		r, err := w.Refresh(t.Context(), in, conn, g.Credential)
		if err != nil {
			t.Fatal(err)
		}
		// What has to be on disk before anything else: the old grant, and the next
		// refresh token in it.
		if r.Rescue == nil {
			t.Fatal("nothing to rescue, and the refresh token was spent")
		}
		wantHeaders(t, *r.Rescue, headers(g))
		if !r.Rescue.ExpiresAt.Equal(g.ExpiresAt) || r.Rescue.Account != g.Account || r.Rescue.BaseURL != g.BaseURL {
			t.Errorf("rescue %+v differs in more than the refresh token", r.Rescue)
		}
		next, err := r.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if old, now := g.Credential.Get("refresh_token"), next.Credential.Get("refresh_token"); old == now || now != r.Rescue.Credential.Get("refresh_token") {
			t.Error("the refresh token is not the rotated one")
		}
		if g.Credential.Get("access_token") == next.Credential.Get("access_token") {
			t.Error("the access token is the old one")
		}
		if want := w.clock.Now().Add(time.Hour); !next.ExpiresAt.Equal(want) || !next.Renewable {
			t.Errorf("expires %v, want %v", next.ExpiresAt, want)
		}
		if next.Account != g.Account || next.BaseURL != g.BaseURL || next.HeldBaseURL != "" || !cmp.Equal(next.Scopes, g.Scopes) {
			t.Errorf("changed: %+v", next)
		}
		wantHeaders(t, next, map[string]string{"Authorization": "Bearer " + next.Credential.Get("access_token")})
		g = next
	}
	tl := w.sandbox.TimeLog()
	if n := tl.RefreshCalls(); n != 5 || tl.Reuses() != 0 {
		t.Errorf("%d refreshes, %d reuses", n, tl.Reuses())
	}
	for _, call := range tl.Calls(sandbox.TimeLogRefresh) {
		if !slices.Contains(call.Params, "redirect_uri") || call.Auth != sandbox.AuthClientSecret {
			t.Errorf("a refresh with %v, %s", call.Params, call.Auth)
		}
	}
}

// Whatever is wrong with an answer, the refresh token in it is rescued, and no
// header comes of it.
func TestTimeLogRefreshCases(t *testing.T) { //nolint:tparallel // the cases take turns at one TimeLog
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	for _, c := range sandbox.Cases(sandbox.Refresh) {
		t.Run(c.Name, func(t *testing.T) {
			tl := w.sandbox.TimeLog()
			g := w.link(t, in)
			var issued string
			undo := tl.OnToken(func(a *sandbox.TokenAnswer) { issued, _ = a.Members["refresh_token"].(string) })
			defer undo()
			defer tl.Tamper(c.On, c.Tamper)()
			conn := connection(in, "oidc", g)
			r, err := w.Refresh(t.Context(), in, conn, g.Credential)
			if err != nil {
				t.Fatalf("Refresh: %v; the answer had a refresh token", err)
			}
			if r.Rescue == nil || issued == "" || r.Rescue.Credential.Get("refresh_token") != issued {
				t.Error("the rotated refresh token is lost")
			} else {
				wantHeaders(t, *r.Rescue, headers(g))
			}
			next, err := r.Finish(t.Context())
			if c.Accept != (err == nil) {
				t.Fatalf("accepted %v, want %v (%s): %v", err == nil, c.Accept, c.Rule, err)
			}
			if err == nil {
				return
			}
			if len(next.Headers)+len(next.Credential) > 0 {
				t.Error("something of a refused answer came out")
			}
			var re *providers.RefreshError
			if !errors.As(err, &re) || re.Spent {
				t.Fatalf("%v (spent %v)", err, re.Spent)
			}
			want := providers.RefreshIdentityChanged
			if strings.HasPrefix(c.Name, "access_token_") || strings.HasPrefix(c.Name, "token_type_") || slices.Contains([]string{"not_a_jwt", "json_serialization", "white_space_inside", "alg_none"}, c.Name) {
				want = providers.RefreshBroken
			}
			if re.Class != want {
				t.Errorf("class %s (%s), want %s", re.Class, re.Code, want)
			}
			// The rescued token goes on.
			undo()
			tl.Untamper()
			conn = connection(in, "oidc", *r.Rescue)
			w.refresh(t.Context(), t, in, conn, r.Rescue.Credential)
		})
	}
	if n := w.sandbox.TimeLog().Reuses(); n != 0 {
		t.Errorf("%d spent tokens were sent", n)
	}
}

func TestTimeLogRefreshFailures(t *testing.T) { //nolint:tparallel // the cases take turns at one TimeLog
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	for _, tt := range []struct {
		name   string
		change func(tl *sandbox.TimeLog, in *vault.Integration, c vault.Credential)
		class  providers.RefreshClass
		code   string
		spent  bool
		after  time.Duration
	}{
		{"revoked by the user", func(tl *sandbox.TimeLog, _ *vault.Integration, _ vault.Credential) {
			tl.RevokeFamilies()
		}, providers.RefreshTerminal, "invalid_grant", false, 0},
		{"no refresh token", func(_ *sandbox.TimeLog, _ *vault.Integration, c vault.Credential) {
			delete(c, "refresh_token")
		}, providers.RefreshIntegration, "no_refresh_token", false, 0},
		{"wrong client secret", func(_ *sandbox.TimeLog, in *vault.Integration, _ vault.Credential) {
			in.ClientSecret = vault.NewSecret("wrong")
		}, providers.RefreshIntegration, "invalid_client", false, 0},
		{"busy", func(tl *sandbox.TimeLog, _ *vault.Integration, _ vault.Credential) {
			tl.Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.TooManyRequests(7*time.Second))
		}, providers.RefreshTransient, "", false, 7 * time.Second},
		{"down", func(tl *sandbox.TimeLog, _ *vault.Integration, _ vault.Credential) {
			tl.Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Status(http.StatusServiceUnavailable))
		}, providers.RefreshTransient, "", true, 0},
		{"answer lost", func(tl *sandbox.TimeLog, _ *vault.Integration, _ vault.Credential) {
			tl.Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Done(sandbox.Drop()))
		}, providers.RefreshUncertain, "", true, 0},
		{"a page", func(tl *sandbox.TimeLog, _ *vault.Integration, _ vault.Credential) {
			tl.Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.NotJSON())
		}, providers.RefreshBroken, "", true, 0},
		{"elsewhere", func(tl *sandbox.TimeLog, _ *vault.Integration, _ vault.Credential) {
			tl.Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Redirect(http.StatusTemporaryRedirect, "http://127.0.0.1:9/"))
		}, providers.RefreshIntegration, "", false, 0},
		{"a provider that has gone", func(_ *sandbox.TimeLog, in *vault.Integration, _ vault.Credential) {
			in.Provider = "gone"
		}, providers.RefreshIntegration, "", false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := w.link(t, in)
			changed := in
			tt.change(w.sandbox.TimeLog(), &changed, g.Credential)
			before := w.sandbox.TimeLog().RefreshCalls()
			r, err := w.Refresh(t.Context(), changed, connection(in, "oidc", g), g.Credential)
			var re *providers.RefreshError
			if r != nil || !errors.As(err, &re) {
				t.Fatalf("got %v, %v", r, err)
			}
			if re.Class != tt.class || re.Code != tt.code || re.Spent != tt.spent || re.RetryAfter != tt.after {
				t.Errorf("%s %q, spent %v, after %v: %v", re.Class, re.Code, re.Spent, re.RetryAfter, err)
			}
			if n := w.sandbox.TimeLog().RefreshCalls() - before; n > 1 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

// Half an answer still has the refresh token in it.
func TestTimeLogRefreshCutShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	g := w.link(t, in)
	const kept = `{"refresh_token":"next-refresh-token","access_token":"abc`
	w.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Respond(http.StatusOK, http.Header{"Content-Type": {"application/json"}}, kept))
	r, err := w.Refresh(t.Context(), in, connection(in, "oidc", g), g.Credential)
	if err != nil || r.Rescue == nil || r.Rescue.Credential.Get("refresh_token") != "next-refresh-token" {
		t.Fatalf("%+v, %v", r, err)
	}
	var re *providers.RefreshError
	if _, err := r.Finish(t.Context()); !errors.As(err, &re) || re.Class != providers.RefreshBroken || re.Spent {
		t.Errorf("Finish: %v", err)
	}
}

func TestTimeLogFinishWhenKeysAreOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	g := w.link(t, in)
	other := newService(t, w, nil) // another process: it has no keys yet
	w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogJWKS, sandbox.Drop())
	r, err := other.Refresh(t.Context(), in, connection(in, "oidc", g), g.Credential)
	if err != nil || r.Rescue == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	var re *providers.RefreshError
	if _, err := r.Finish(t.Context()); !errors.As(err, &re) || re.Class != providers.RefreshTransient {
		t.Errorf("Finish: %v", err)
	}
}

func TestTimeLogAPIRootMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	in.Overrides.AllowedHosts = append(in.Overrides.AllowedHosts, "*.elsewhere.example")
	g := w.link(t, in)
	root := g.BaseURL
	for _, tt := range []struct {
		name   string
		settle func(tl *sandbox.TimeLog)
		held   string
	}{
		{"stays", func(*sandbox.TimeLog) {}, ""},
		{"to an allowed host", func(tl *sandbox.TimeLog) {
			tl.Set(func(s *sandbox.TimeLogSettings) { s.TenantRoot = "https://app5.elsewhere.example/soxdemo" })
		}, "https://app5.elsewhere.example/soxdemo"},
		{"to another", func(tl *sandbox.TimeLog) {
			tl.Set(func(s *sandbox.TimeLogSettings) { s.TenantRoot = "https://evil.example/" })
		}, "not an allowed address"},
		{"out of reach", func(tl *sandbox.TimeLog) {
			tl.Faults().Always(sandbox.TimeLogResolveURI, sandbox.Status(http.StatusBadGateway))
		}, ""},
	} {
		tt.settle(w.sandbox.TimeLog())
		g = w.refresh(t.Context(), t, in, connection(in, "oidc", g), g.Credential)
		if g.BaseURL != root || g.HeldBaseURL != tt.held {
			t.Errorf("%s: base URL %q, held %q, want %q", tt.name, g.BaseURL, g.HeldBaseURL, tt.held)
		}
	}
}

func TestTimeLogRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	g := w.link(t, in)
	conn := connection(in, "oidc", g)
	tl := w.sandbox.TimeLog()
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeRevoked || out.Detail == "" {
		t.Fatalf("Revoke: %+v", out)
	}
	if n := tl.Count(sandbox.TimeLogRevocation); n != 2 {
		t.Errorf("%d revocations, want one for each token", n)
	}
	if _, err := w.Verify(t.Context(), in, conn, g.Credential); !errors.Is(err, providers.ErrRefused) {
		t.Errorf("the access token lives on: %v", err)
	}
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeRevoked {
		t.Errorf("Revoke again: %+v", out)
	}
	tl.Faults().Always(sandbox.TimeLogRevocation, sandbox.Status(http.StatusServiceUnavailable))
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeFailed || !strings.Contains(out.Detail, "TimeLog") {
		t.Errorf("Revoke when it is down: %+v", out)
	}
	// Without an endpoint: said honestly, with a way to do it by hand.
	in.Overrides.AuthorizationURL, in.Overrides.TokenURL, in.Overrides.JWKSURL = tl.URL()+"/a", tl.URL()+"/t", tl.URL()+"/k"
	tl.Set(func(s *sandbox.TimeLogSettings) {
		s.Discovery = func(d map[string]any) { delete(d, "revocation_endpoint") }
	})
	if out := newService(t, w, nil).Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeUnsupported || !strings.Contains(out.Detail, "profile") {
		t.Errorf("Revoke without an endpoint: %+v", out)
	}
}

func TestTimeLogImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	linked := w.link(t, in)
	cred := form("access_token", linked.Credential.Get("access_token"), "refresh_token", linked.Credential.Get("refresh_token"), "expires_at", "2026-03-01T13:00:00+01:00")
	g, err := w.Import(t.Context(), in, "oidc", cred, true)
	if err != nil {
		t.Fatal(err)
	}
	if g.BaseURL != linked.BaseURL || !g.Renewable || !g.ExpiresAt.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", g)
	}
	wantHeaders(t, g, headers(linked))

	// Unverified: nobody is asked, and the first refresh finds out the rest.
	tl := w.sandbox.TimeLog()
	before := tl.Count(sandbox.TimeLogResolveURI)
	g, err = w.Import(t.Context(), in, "oidc", cred, false)
	if err != nil || g.BaseURL != "" || tl.Count(sandbox.TimeLogResolveURI) != before {
		t.Fatalf("%+v, %v", g, err)
	}
	next := w.refresh(t.Context(), t, in, connection(in, "oidc", g), g.Credential)
	if next.BaseURL != linked.BaseURL || next.Account.ID != linked.Account.ID {
		t.Errorf("base URL %q, account %+v", next.BaseURL, next.Account)
	}
	// From then on it is held to that.
	defer tl.Tamper(sandbox.Refresh, sandbox.Tamper{IDToken: func(id *sandbox.IDToken) { id.Claims["sub"] = "1906" }})()
	r, err := w.Refresh(t.Context(), in, connection(in, "oidc", next), next.Credential)
	if err != nil {
		t.Fatal(err)
	}
	var re *providers.RefreshError
	if _, err := r.Finish(t.Context()); !errors.As(err, &re) || re.Class != providers.RefreshIdentityChanged || re.Code != "sub" {
		t.Errorf("Finish: %v", err)
	}

	for name, tt := range map[string]struct {
		cred    vault.Credential
		pointer string
	}{
		"no access token": {form("refresh_token", "r"), "/credential/access_token"},
		"a line break":    {form("access_token", "a\nb"), "/credential/access_token"},
		"two words":       {form("access_token", "Bearer a"), "/credential/access_token"},
		"no time":         {form("access_token", "a", "expires_at", "tomorrow"), "/credential/expires_at"},
		"something else":  {form("access_token", "a", "id_token", "x"), "/credential/id_token"},
		"refused":         {form("access_token", "wrong"), "/credential/access_token"},
	} {
		_, err := w.Import(t.Context(), in, "oidc", tt.cred, true)
		if f, ok := fault.As(err); !ok || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Pointer != tt.pointer {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = w.Import(t.Context(), in, "oauth", cred, true)
	wantFields(t, err, "/method")
}

// A caller that has gone does not take the answer along: that is for whoever
// calls to arrange, and a context that ends is a lost answer.
func TestTimeLogRefreshIsUncertainWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.timeLog()
	g := w.link(t, in)
	release := make(chan struct{})
	defer close(release)
	w.sandbox.TimeLog().Faults().Next(sandbox.TimeLogRefresh, 1, sandbox.Withhold(release))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := w.Refresh(ctx, in, connection(in, "oidc", g), g.Credential)
		done <- err
	}()
	if err := w.sandbox.TimeLog().WaitCount(t.Context(), sandbox.TimeLogRefresh, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	var re *providers.RefreshError
	if err := <-done; !errors.As(err, &re) || re.Class != providers.RefreshUncertain || !re.Spent {
		t.Errorf("%v", err)
	}
}
