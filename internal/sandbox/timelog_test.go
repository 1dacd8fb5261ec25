package sandbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/sandbox"
)

// verifyIDToken lets an implementation that is not ours verify an id_token.
func verifyIDToken(t *testing.T, f *flow, now func() time.Time, raw string) (*oidc.IDToken, map[string]any) {
	t.Helper()
	ctx := oidc.ClientContext(context.Background(), f.c)
	p, err := oidc.NewProvider(ctx, f.tl.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	tok, err := p.Verifier(&oidc.Config{ClientID: sandbox.DemoClientID, Now: now}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := tok.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	return tok, claims
}

// The hybrid flow from authorize to API, its tokens verified by go-oidc.
func TestTimeLogHybridFlow(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sb := start(t, sandbox.Config{Now: clk.Now})
	f := newFlow(t, sb.TimeLog())

	reply := f.authorize(authorizeParams())
	if got := reply.Get("state"); got != "state-of-the-attempt" {
		t.Errorf("state %q came back", got)
	}
	for _, name := range []string{"code", "id_token", "scope", "session_state"} {
		if reply.Get(name) == "" {
			t.Errorf("reply has no %s", name)
		}
	}
	front, claims := verifyIDToken(t, f, clk.Now, reply.Get("id_token"))
	if front.Nonce != "nonce-of-the-attempt" || front.Subject != "1815" {
		t.Errorf("front id_token has nonce %q, sub %q", front.Nonce, front.Subject)
	}
	for _, name := range []string{"c_hash", "s_hash", "sid", "auth_time", "iat"} {
		if claims[name] == nil {
			t.Errorf("front id_token has no %s", name)
		}
	}
	for name, of := range map[string]string{"c_hash": reply.Get("code"), "s_hash": reply.Get("state")} {
		sum := sha256.Sum256([]byte(of))
		if want := base64.RawURLEncoding.EncodeToString(sum[:16]); claims[name] != want {
			t.Errorf("%s %v, want %s", name, claims[name], want)
		}
	}
	if life := front.Expiry.Sub(front.IssuedAt); life != 5*time.Minute {
		t.Errorf("front id_token lives %v", life)
	}

	a := f.token(exchangeForm(reply.Get("code")))
	wantStatus(t, a, http.StatusOK)
	tokens := a.json(t)
	if tokens["token_type"] != "Bearer" || tokens["expires_in"] != 3600.0 {
		t.Errorf("token answer %v", tokens)
	}
	back, backClaims := verifyIDToken(t, f, clk.Now, text(t, tokens, "id_token"))
	if back.Nonce != front.Nonce || back.Subject != front.Subject || back.Issuer != front.Issuer {
		t.Errorf("back id_token is for %q at %q, nonce %q", back.Subject, back.Issuer, back.Nonce)
	}
	if err := back.VerifyAccessToken(text(t, tokens, "access_token")); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(claims["sid"], backClaims["sid"]); diff != "" {
		t.Error("sid differs: ", diff)
	}

	bearer := header("Authorization", "Bearer "+text(t, tokens, "access_token"))
	a = send(t, f.c, http.MethodGet, f.tl.URL()+"/api/ResolveUri", "", bearer)
	wantStatus(t, a, http.StatusOK)
	root := text(t, a.json(t), "url")
	if root != f.tl.URL()+"/soxdemo" {
		t.Errorf("tenant root %q", root)
	}
	wantStatus(t, send(t, f.c, http.MethodGet, root+"/api/v1/user", "", bearer), http.StatusOK)
	wantStatus(t, send(t, f.c, http.MethodGet, root+"/api/v1/user", ""), http.StatusUnauthorized)
	clk.advance(time.Hour)
	wantStatus(t, send(t, f.c, http.MethodGet, root+"/api/v1/user", "", bearer), http.StatusUnauthorized)

	next := f.token(refreshForm(text(t, tokens, "refresh_token")))
	wantStatus(t, next, http.StatusOK)
	tokens = next.json(t)
	again, againClaims := verifyIDToken(t, f, clk.Now, text(t, tokens, "id_token"))
	if _, ok := againClaims["nonce"]; ok || again.Subject != front.Subject {
		t.Errorf("id_token of the refresh: %v", againClaims)
	}
	if err := again.VerifyAccessToken(text(t, tokens, "access_token")); err != nil {
		t.Error(err)
	}
}
