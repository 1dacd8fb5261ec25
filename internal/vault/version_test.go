package vault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/vault"
)

// wantStale: a change that was made from what is there no more does nothing.
func wantStale(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, vault.ErrChangedSince) {
		t.Fatalf("got %v, want ErrChangedSince", err)
	}
}

func TestNobodyOverwritesAnAPIKey(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		k, _, err := b.CreateAPIKey(ctx, b.caller, vault.NewAPIKey{Name: "worker", Scopes: []vault.Scope{vault.ScopeCredentialsRead}, Addresses: []string{"10.0.0.0/8"}})
		must(t, err)
		read := func() vault.APIKey {
			t.Helper()
			k, err := b.APIKey(ctx, b.caller, k.ID)
			must(t, err)
			return k
		}
		version := func() string { k := read(); return k.Version() }
		first := version()
		if first != k.Version() {
			t.Error("the key that was made has another version than the one that is there")
		}
		patch := func(seen string, change func(*vault.NewAPIKey)) vault.APIKeyPatch {
			now := read()
			n := now.Asked()
			change(&n)
			p := n.Patch()
			p.Seen = &seen
			return p
		}
		for what, change := range map[string]func(*vault.NewAPIKey){
			"name":         func(n *vault.NewAPIKey) { n.Name = "worker of Ada" },
			"scopes":       func(n *vault.NewAPIKey) { n.Scopes = append(n.Scopes, vault.ScopeConnectionsRead) },
			"integrations": func(n *vault.NewAPIKey) { n.Integrations = []string{"timelog"} },
			"addresses":    func(n *vault.NewAPIKey) { n.Addresses = []string{"10.1.0.0/16", "192.0.2.1"} },
			"end":          func(n *vault.NewAPIKey) { n.ExpiresAt = b.clock().Add(time.Hour) },
		} {
			seen, back := version(), read()
			theirs := patch(seen, change)
			_, err := b.ChangeAPIKey(ctx, b.caller, k.ID, theirs)
			must(t, err)
			if version() == seen {
				t.Errorf("another %s, and the version is the same", what)
			}
			before := len(b.adminTrail(t, 200))
			_, err = b.ChangeAPIKey(ctx, b.caller, k.ID, patch(seen, func(n *vault.NewAPIKey) { n.Name = "mine" }))
			wantStale(t, err)
			if got := read(); got.Name == "mine" || len(b.adminTrail(t, 200)) != before {
				t.Errorf("after another %s a stale change is %+v", what, got)
			}
			// To ask for what is there overwrites nothing, such as the same form twice.
			_, err = b.ChangeAPIKey(ctx, b.caller, k.ID, theirs)
			must(t, err)
			// Nor does a change from what was changed back.
			_, err = b.ChangeAPIKey(ctx, b.caller, k.ID, back.Asked().Patch())
			must(t, err)
			_, err = b.ChangeAPIKey(ctx, b.caller, k.ID, patch(seen, func(*vault.NewAPIKey) {}))
			must(t, err)
			if version() != first {
				t.Errorf("another %s, changed back, is another version", what)
			}
		}
	})
}

func TestNobodyOverwritesAnIntegration(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		read := func() vault.Integration {
			t.Helper()
			in, err := b.Integration(ctx, b.caller, "timelog")
			must(t, err)
			return in
		}
		first := read().Version()
		secret := vault.NewSecret("planted-other-secret")
		_, err := b.PatchIntegration(ctx, b.caller, "timelog", vault.IntegrationPatch{ClientSecret: &secret})
		must(t, err)
		if read().Version() != first {
			t.Error("another client secret is another version")
		}
		mine := "mine"
		for what, p := range map[string]vault.IntegrationPatch{
			"title":     {Title: new("theirs")},
			"client id": {ClientID: new("their-client")},
			"scopes":    {Scopes: &[]string{"openid"}},
			"methods":   {Methods: &[]string{"oidc"}},
			"overrides": {Overrides: &vault.Overrides{ResponseMode: "form_post"}},
		} {
			seen := read().Version()
			_, err := b.PatchIntegration(ctx, b.caller, "timelog", p)
			must(t, err)
			_, err = b.PatchIntegration(ctx, b.caller, "timelog", vault.IntegrationPatch{Seen: &seen, Title: &mine})
			if !errors.Is(err, vault.ErrChangedSince) {
				t.Fatalf("after another %s: %v", what, err)
			}
			p.Seen = &seen
			_, err = b.PatchIntegration(ctx, b.caller, "timelog", p)
			must(t, err)
		}
		now := read().Version()
		in, err := b.PatchIntegration(ctx, b.caller, "timelog", vault.IntegrationPatch{Seen: &now, Title: &mine})
		if err != nil || in.Title != mine || in.ClientID != "their-client" {
			t.Errorf("%+v, %v", in, err)
		}
	})
}

func TestNobodyOverwritesTags(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		c := b.linked(t, "r1")
		tag := func(seen string, tags map[string]string) error {
			_, err := b.PatchConnection(t.Context(), b.caller, c.ID, vault.ConnectionPatch{SeenTags: &seen, Tags: &tags})
			return err
		}
		none := c.TagsVersion()
		blue := map[string]string{"team": "blue", "plan": "pro"}
		must(t, tag(none, blue))
		must(t, tag(none, blue)) // the same form twice
		wantStale(t, tag(none, map[string]string{"team": "red"}))
		c = b.connection(t, c.ID)
		if diff := cmp.Diff(blue, c.Tags); diff != "" {
			t.Error(diff)
		}
		// Metadata is nothing that a form of tags overwrites.
		_, err := b.PatchConnection(t.Context(), b.caller, c.ID, vault.ConnectionPatch{Metadata: &map[string]any{"a": "b"}})
		must(t, err)
		must(t, tag(c.TagsVersion(), map[string]string{"team": "red"}))
	})
}

func TestNobodyOverwritesARoleOrAName(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		owner, _ := b.admin(t, "Owner", vault.RoleOwner)
		ada, _ := b.admin(t, "Ada", vault.RoleViewer)
		must(t, b.SetAdminRole(ctx, owner, ada.ID, vault.RoleViewer, vault.RoleOwner))
		wantStale(t, b.SetAdminRole(ctx, owner, ada.ID, vault.RoleViewer, vault.RoleOperator))
		must(t, b.SetAdminRole(ctx, owner, ada.ID, vault.RoleViewer, vault.RoleOwner)) // as she is

		env, err := b.CreateEnvironment(ctx, owner, "staging")
		must(t, err)
		must(t, b.RenameEnvironment(ctx, owner, env.ID, "staging", "tests"))
		wantStale(t, b.RenameEnvironment(ctx, owner, env.ID, "staging", "mine"))
		must(t, b.RenameEnvironment(ctx, owner, env.ID, "staging", "tests"))
	})
}
