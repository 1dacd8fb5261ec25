package providers_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

// TestProbe: what is wrong with an integration is found without an account.
func TestProbe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(w *world, in *vault.Integration)
		want   []string // probes, with "!" where one failed
		detail string   // of the last one that failed
	}{
		{"fine", func(*world, *vault.Integration) {}, []string{"settings", "discovery", "keys", "reach", "clock"}, ""},
		{"no client id", func(_ *world, in *vault.Integration) { in.ClientID = "" }, []string{"settings!"}, "needs a client id"},
		{"not in the catalog", func(_ *world, in *vault.Integration) { in.Provider = "gone" }, []string{"settings!"}, "no provider"},
		{"no discovery document", func(w *world, _ *vault.Integration) {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogDiscovery, sandbox.Status(http.StatusNotFound))
		}, []string{"settings", "discovery!"}, "cannot be reached"},
		{"another issuer's document", func(_ *world, in *vault.Integration) { in.Overrides.Issuer += "/other" }, []string{"settings", "discovery!"}, ""},
		{"no keys", func(w *world, _ *vault.Integration) {
			w.sandbox.TimeLog().Faults().Always(sandbox.TimeLogJWKS, sandbox.Status(http.StatusInternalServerError))
		}, []string{"settings", "discovery", "keys!", "reach", "clock"}, "cannot be reached"},
		{"a wrong clock", func(w *world, _ *vault.Integration) { w.clock.advance(-10*time.Minute - 35*time.Second) }, []string{"settings", "discovery", "keys", "reach", "clock!"}, "10m3"}, // the header has whole seconds
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.clock.advance(time.Since(w.clock.Now())) // the sandbox's Date is the real one
			in := w.timeLog()
			tt.change(w, &in)
			var got []string
			detail := ""
			for _, f := range w.Probe(t.Context(), in) {
				word := string(f.Probe)
				if !f.OK {
					word, detail = word+"!", f.Detail
				}
				got = append(got, word)
				if f.Detail == "" {
					t.Errorf("%s says nothing", f.Probe)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("found (-want +got)\n%s", diff)
			}
			if !strings.Contains(detail, tt.detail) || (detail == "") != (tt.detail == "" && !strings.Contains(strings.Join(tt.want, ""), "!")) {
				t.Errorf("says %q, want %q", detail, tt.detail)
			}
			if n := w.sandbox.TimeLog().TokenCalls(); n != 0 {
				t.Errorf("the token endpoint was asked %d times for tokens", n)
			}
		})
	}
}

// TestProbeWithoutOAuth: a form's provider is only reached.
func TestProbeWithoutOAuth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock.advance(time.Since(w.clock.Now()))
	in := w.toggl()
	found := w.Probe(t.Context(), in)
	if len(found) != 3 || !found[1].OK || found[1].Probe != providers.ProbeReach || found[1].Host != strings.TrimPrefix(in.Overrides.BaseURL, "http://") {
		t.Errorf("found %+v", found)
	}
	in.Overrides = vault.Overrides{BaseURL: "http://127.0.0.1:9"}
	in.Methods = []string{"api_token"}
	found = w.Probe(t.Context(), in)
	if len(found) != 2 || found[1].OK || !strings.Contains(found[1].Detail, "does not answer") {
		t.Errorf("nobody there: %+v", found)
	}
}

func TestHeaderNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tt := range []struct {
		provider, method string
		want             []string
	}{
		{"toggl", "api_token", []string{"Authorization"}},
		{"toggl", "session", []string{"Cookie"}},
		{"timelog", "oidc", []string{"Authorization"}},
		{"clicktime", "password", []string{"Authorization", "Content-Type"}},
		{"token", "api_key", []string{"X-Api-Key"}},
		{"harvest", "oauth", []string{"Authorization", "Harvest-Account-Id"}},
	} {
		got, err := w.HeaderNames(vault.Integration{Provider: tt.provider}, tt.method)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s, %s (-want +got)\n%s", tt.provider, tt.method, diff)
		}
	}
	if _, err := w.HeaderNames(vault.Integration{Provider: "toggl"}, "nothing"); err == nil {
		t.Error("a method that is not there has headers")
	}
}
