package providers_test

import (
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

func TestDisconnection(t *testing.T) {
	t.Parallel()
	s := newWorld(t)
	for _, tt := range []struct {
		name, provider, method string
		overrides              vault.Overrides
		tellable               bool
		title, byHand          string
	}{
		{name: "a session that DELETE ends", provider: "toggl", method: "session", tellable: true, title: "Toggl"},
		{name: "an API token", provider: "toggl", method: "api_token", title: "Toggl"},
		{name: "a password", provider: "clicktime", method: "password", title: "ClickTime"},
		{name: "RFC 7009 by the file", provider: "timelog", method: "oidc", tellable: true, title: "TimeLog", byHand: "connected applications"},
		{name: "the method's own hint", provider: "timelog", method: "personal_access_token", title: "TimeLog", byHand: "delete the personal access token"},
		{name: "a way of the provider's own", provider: "github", method: "oauth", tellable: true, title: "GitHub", byHand: "github.com/settings"},
		{name: "OAuth without any way", provider: "harvest", method: "oauth", title: "Harvest"},
		{name: "an endpoint by override", provider: "harvest", method: "oauth", overrides: vault.Overrides{RevocationURL: "https://id.example/revoke"}, tellable: true, title: "Harvest"},
		{name: "an issuer may publish one", provider: "oidc", method: "code", overrides: vault.Overrides{Issuer: "https://id.example"}, tellable: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := s.Disconnection(vault.Integration{Provider: tt.provider, Overrides: tt.overrides}, tt.method)
			if err != nil {
				t.Fatal(err)
			}
			if d.Tellable != tt.tellable || !strings.Contains(d.Provider, tt.title) || d.Provider == "" {
				t.Errorf("got %+v, want tellable %v at %q", d, tt.tellable, tt.title)
			}
			if !strings.Contains(d.ByHand, tt.byHand) || !strings.HasSuffix(d.ByHand, ".") {
				t.Errorf("by hand: %q, want a sentence with %q", d.ByHand, tt.byHand)
			}
		})
	}
	if _, err := s.Disconnection(vault.Integration{Provider: "gone"}, "any"); !fault.Is(err, fault.ProviderRejected) {
		t.Errorf("a provider that left the catalog: %v", err)
	}
}
