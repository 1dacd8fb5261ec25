package providers_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/sandbox"
	"github.com/claviger/claviger/internal/vault"
)

func clickTimeHeaders(token string) map[string]string {
	return map[string]string{"Authorization": "Token " + token, "Content-Type": "application/json"}
}

func TestClickTimeByToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.clickTime()
	g, err := w.Submit(t.Context(), in, "token", form("token", sandbox.ClickTimeAdaToken+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(clickTimeHeaders(sandbox.ClickTimeAdaToken), headers(g)); diff != "" {
		t.Error(diff)
	}
	if g.BaseURL != in.Overrides.BaseURL || g.Account.Label != sandbox.AdaEmail || g.Account.ID == "" || g.Renewable || !g.ExpiresAt.IsZero() {
		t.Errorf("%+v", g)
	}
	conn := connection(in, "token", g)
	if out := w.Revoke(t.Context(), in, conn, g.Credential); out.Outcome != vault.OutcomeUnsupported {
		t.Errorf("Revoke: %+v", out)
	}
	if w.sandbox.ClickTime().Count(sandbox.ClickTimeResetToken) != 0 {
		t.Error("the token was reset, which others use too")
	}
	if _, err := w.sandbox.ClickTime().Accounts().ResetToken(sandbox.AdaEmail); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Verify(t.Context(), in, conn, g.Credential); !errors.Is(err, providers.ErrRefused) {
		t.Errorf("Verify of a regenerated token: %v", err)
	}
	var re *providers.RefreshError
	if _, err := w.Refresh(t.Context(), in, conn, g.Credential); !errors.As(err, &re) || re.Class != providers.RefreshIntegration {
		t.Errorf("Refresh: %v", err)
	}
}

// Wherever the answer carries the token, and in whatever case.
func TestClickTimeByPassword(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"as the sandbox has it": "",
		"at the top":            `{"AuthToken":"` + sandbox.ClickTimeAdaToken + `"}`,
		"under data":            `{"data":{"AuthToken":"` + sandbox.ClickTimeAdaToken + `"}}`,
		"in lower case":         `{"data":{"authtoken":"` + sandbox.ClickTimeAdaToken + `"}}`,
		"in other cases":        `{"Data":{"authToken":"` + sandbox.ClickTimeAdaToken + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if answer != "" {
				w.sandbox.ClickTime().Faults().Next(sandbox.ClickTimeMe, 1, sandbox.Respond(http.StatusOK, nil, answer))
			}
			g, err := w.Submit(t.Context(), w.clickTime(), "password", form("email", sandbox.AdaEmail, "password", sandbox.ClickTimeAdaPassword))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(clickTimeHeaders(sandbox.ClickTimeAdaToken), headers(g)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"token"}, g.Credential.Names()); diff != "" {
				t.Errorf("the password was not forgotten: %s", diff)
			}
			calls := w.sandbox.ClickTime().Calls(sandbox.Any)
			if len(calls) != 2 || calls[0].Auth != sandbox.AuthBasic || calls[1].Auth != sandbox.AuthToken {
				t.Errorf("calls %+v; want the password once, then the token", calls)
			}
		})
	}
}

func TestClickTimeAnswersThatHoldNoToken(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"none":          `{"data":{"Email":"ada@example.com"}}`,
		"empty":         `{"data":{"AuthToken":""}}`,
		"an object":     `{"data":{"AuthToken":{}}}`,
		"a header more": `{"data":{"AuthToken":"a\r\nX-Injected: 1"}}`,
		"no JSON":       `<html>`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sandbox.ClickTime().Faults().Next(sandbox.ClickTimeMe, 1, sandbox.Respond(http.StatusOK, nil, answer))
			_, err := w.Submit(t.Context(), w.clickTime(), "password", form("email", sandbox.AdaEmail, "password", sandbox.ClickTimeAdaPassword))
			_ = wantKind(t, err, fault.ProviderRejected)
		})
	}
}

func TestClickTimeWrongPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.Submit(t.Context(), w.clickTime(), "password", form("email", sandbox.AdaEmail, "password", "wrong"))
	wantFields(t, err, "password")
	if !errors.Is(err, providers.ErrRefused) {
		t.Errorf("%v is not ErrRefused", err)
	}
}

func TestClickTimeImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, cred := range map[string]vault.Credential{
		"password": form("email", sandbox.AdaEmail, "password", sandbox.ClickTimeAdaPassword),
		"token":    form("token", sandbox.ClickTimeAdaToken),
	} {
		g, err := w.Import(t.Context(), w.clickTime(), "password", cred, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(clickTimeHeaders(sandbox.ClickTimeAdaToken), headers(g)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
