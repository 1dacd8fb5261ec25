package sandbox_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/sandbox"
)

// goOIDCRefuses are the cases that go-oidc finds without any help. It is the
// judge of whether the sandbox really breaks what a case says; the rest of the
// refusals are the client's own work.
var goOIDCRefuses = []string{
	"signature_broken", "signature_of_stray_key", "payload_exchanged", "kid_unknown",
	"alg_none", "alg_none_kept_signature", "alg_hs256_client_secret", "alg_hs256_public_key", "alg_rs512_claimed",
	"jwk_in_header", "jku_in_header", "crit_unknown", "not_a_jwt",
	"iss_other", "iss_trailing_slash", "iss_missing", "aud_other", "aud_missing",
	"exp_past", "exp_missing", "exp_text", "nbf_future",
}

func TestCasesBreakWhatTheySay(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := start(t, sandbox.Config{Now: clk.Now})
	f := newFlow(t, s.TimeLog())
	ctx := oidc.ClientContext(context.Background(), f.c)
	provider, err := oidc.NewProvider(ctx, f.tl.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: sandbox.DemoClientID, Now: clk.Now})

	found := map[string]bool{}
	for _, c := range sandbox.Cases(sandbox.Every) {
		undo := func() {}
		var raw string
		switch c.On {
		case sandbox.Every:
			t.Fatalf("%s is on every channel", c.Name)
		case sandbox.Front:
			undo = f.tl.Tamper(c.On, c.Tamper)
			raw = f.authorize(authorizeParams()).Get("id_token")
		case sandbox.Back:
			undo = f.tl.Tamper(c.On, c.Tamper)
			raw, _ = tolerant(t, f.token(exchangeForm(f.authorize(authorizeParams()).Get("code"))).body)["id_token"].(string)
		case sandbox.Refresh:
			head := text(t, f.link(), "refresh_token")
			undo = f.tl.Tamper(c.On, c.Tamper)
			raw, _ = tolerant(t, f.token(refreshForm(head)).body)["id_token"].(string)
		}
		undo()
		if raw == "" {
			if c.Name != "id_token_missing" && c.Name != "reply_without_id_token" {
				t.Errorf("%v %s: no id_token", c.On, c.Name)
			}
			continue
		}
		if c.Name == "exp_far" {
			continue // go-oidc's verdict hangs on how the machine turns 1e20 into an int64
		}
		_, err := verifier.Verify(ctx, raw)
		refuses := slices.Contains(goOIDCRefuses, c.Name)
		found[c.Name] = true
		if refuses != (err != nil) {
			t.Errorf("%v %s: go-oidc says %v", c.On, c.Name, err)
		}
		if refuses && c.Accept {
			t.Errorf("%v %s: accepted by the table, refused by go-oidc: %v", c.On, c.Name, err)
		}
	}
	for _, name := range goOIDCRefuses {
		if !found[name] {
			t.Errorf("no case %s", name)
		}
	}
	if a := f.link(); a["id_token"] == nil { // every undo undid
		t.Errorf("after all cases: %v", a)
	}
}

func tolerant(t *testing.T, body string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "\ufeff")), &m); err != nil {
		t.Fatalf("answer %q: %v", body, err)
	}
	return m
}

func TestCasesHaveNamesOfTheirOwnAndARule(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, on := range []sandbox.Channel{sandbox.Front, sandbox.Back, sandbox.Refresh} {
		cases := sandbox.Cases(on)
		if len(cases) < 50 {
			t.Errorf("%d cases on %v", len(cases), on)
		}
		for _, c := range cases {
			id := c.On.String() + " " + c.Name
			if c.On != on || c.Rule == "" || seen[id] {
				t.Errorf("case %s: %+v", id, c)
			}
			seen[id] = true
		}
	}
}

// Each case changes its own thing and nothing else.
func TestCasesChangeOneThing(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := start(t, sandbox.Config{Now: clk.Now})
	f := newFlow(t, s.TimeLog())
	byName := map[string]sandbox.Case{}
	for _, c := range sandbox.Cases(sandbox.Front) {
		byName[c.Name] = c
	}
	tests := []struct{ name, claim string }{
		{"nonce_missing", "nonce"},
		{"nonce_wrong", "nonce"},
		{"nonce_empty", "nonce"},
		{"c_hash_missing", "c_hash"},
		{"c_hash_wrong", "c_hash"},
		{"s_hash_wrong", "s_hash"},
		{"aud_two", "aud"},
		{"aud_array_of_one", "aud"},
		{"azp_other", "azp"},
		{"azp_right", "azp"},
		{"exp_past", "exp"},
		{"iat_missing", "iat"},
		{"iat_old", "iat"},
		{"sub_missing", "sub"},
		{"sub_empty", "sub"},
		{"sub_too_long", "sub"},
		{"sub_control_character", "sub"},
		{"sub_in_capitals_too", "SUB"},
		{"sub_twice", "sub"},
	}
	// What is new in every token of the same second.
	fresh := []string{"c_hash", "sid"}
	_, plain := jwtParts(t, f.authorize(authorizeParams()).Get("id_token"))
	for _, tt := range tests {
		undo := f.tl.Tamper(sandbox.Front, byName[tt.name].Tamper)
		_, claims := jwtParts(t, f.authorize(authorizeParams()).Get("id_token"))
		undo()
		if cmp.Equal(plain[tt.claim], claims[tt.claim]) {
			t.Errorf("%s: %s is still %v", tt.name, tt.claim, claims[tt.claim])
		}
		for name, v := range plain {
			if name != tt.claim && !slices.Contains(fresh, name) && !cmp.Equal(v, claims[name]) {
				t.Errorf("%s: %s is %v, was %v", tt.name, name, claims[name], v)
			}
		}
	}
}

func TestCasesAroundTheIDToken(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	find := func(on sandbox.Channel, name string) sandbox.Tamper {
		for _, c := range sandbox.Cases(on) {
			if c.Name == name {
				return c.Tamper
			}
		}
		t.Fatalf("no case %q", name)
		return sandbox.Tamper{}
	}
	replies := map[string]func(url.Values) bool{
		"reply_without_code":   func(p url.Values) bool { return !p.Has("code") && p.Has("id_token") },
		"reply_with_two_codes": func(p url.Values) bool { return len(p["code"]) == 2 },
		"state_missing":        func(p url.Values) bool { return !p.Has("state") && p.Has("code") },
		"state_empty":          func(p url.Values) bool { return p.Has("state") && p.Get("state") == "" },
		"state_wrong":          func(p url.Values) bool { return p.Get("state") != "" && p.Get("state") != "state-of-the-attempt" },
		"iss_parameter_right":  func(p url.Values) bool { return p.Get("iss") == f.tl.Issuer() },
		"iss_parameter_wrong":  func(p url.Values) bool { return p.Has("iss") && p.Get("iss") != f.tl.Issuer() },
		"json_serialization":   func(p url.Values) bool { return strings.HasPrefix(p.Get("id_token"), `{"protected":"`) },
		"white_space_inside":   func(p url.Values) bool { return strings.Contains(p.Get("id_token"), "\n") },
	}
	for name, ok := range replies {
		undo := f.tl.Tamper(sandbox.Front, find(sandbox.Front, name))
		if p := f.authorize(authorizeParams()); !ok(p) {
			t.Errorf("%s: reply %v", name, p)
		}
		undo()
	}
	answers := map[string]func(answer) bool{
		"expires_in_with_fraction": func(a answer) bool { return strings.Contains(a.body, `"expires_in":3600.0}`) },
		"expires_in_exponent":      func(a answer) bool { return strings.Contains(a.body, `"expires_in":3.6e3}`) },
		"expires_in_string":        func(a answer) bool { return strings.Contains(a.body, `"expires_in":"3600"`) },
		"expires_in_missing":       func(a answer) bool { return !strings.Contains(a.body, `expires_in`) },
		"byte_order_mark":          func(a answer) bool { return strings.HasPrefix(a.body, "\xef\xbb\xbf{") },
		"content_type_text":        func(a answer) bool { return strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") },
		"token_type_mac":           func(a answer) bool { return strings.Contains(a.body, `"token_type":"mac"`) },
		"access_token_missing":     func(a answer) bool { return !strings.Contains(a.body, `"access_token"`) },
	}
	for name, ok := range answers {
		head := text(t, f.link(), "refresh_token")
		undo := f.tl.Tamper(sandbox.Refresh, find(sandbox.Refresh, name))
		a := f.token(refreshForm(head))
		if wantStatus(t, a, http.StatusOK); !ok(a) {
			t.Errorf("%s: %v %s", name, a.Header, a.body)
		}
		undo()
	}
}

func TestOnTokenSeesEveryAnswer(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	var seen []sandbox.Channel
	undo := f.tl.OnToken(func(a *sandbox.TokenAnswer) {
		seen = append(seen, a.Channel)
		a.Members["x_added"] = "here"
	})
	tokens := f.link()
	again := f.token(refreshForm(text(t, tokens, "refresh_token"))).json(t)
	if !slices.Equal(seen, []sandbox.Channel{sandbox.Back, sandbox.Refresh}) || tokens["x_added"] != "here" || again["x_added"] != "here" {
		t.Errorf("saw %v; answers %v, %v", seen, tokens, again)
	}
	undo()
	if tokens = f.link(); tokens["x_added"] != nil {
		t.Errorf("after undo: %v", tokens)
	}
	f.tl.Tamper(sandbox.Every, sandbox.Tamper{Answer: func(a *sandbox.TokenAnswer) { a.Status = http.StatusTeapot }})
	f.tl.Untamper()
	f.link()
}

// Keys rotate; go-oidc follows the published ones and only those.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := start(t, sandbox.Config{Now: clk.Now})
	f := newFlow(t, s.TimeLog())
	ctx := oidc.ClientContext(context.Background(), f.c)
	verify := func(raw string) error {
		p, err := oidc.NewProvider(ctx, f.tl.Issuer()) // with an empty key cache
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Verifier(&oidc.Config{ClientID: sandbox.DemoClientID, Now: clk.Now}).Verify(ctx, raw)
		return err
	}
	idToken := func() string { return f.authorize(authorizeParams()).Get("id_token") }
	first := idToken()
	if err := f.tl.RotateKeys(true); err != nil {
		t.Fatal(err)
	}
	second := idToken()
	head1, _ := jwtParts(t, first)
	head2, _ := jwtParts(t, second)
	if head1["kid"] == head2["kid"] || verify(first) != nil || verify(second) != nil {
		t.Errorf("kids %v, %v; %v, %v", head1["kid"], head2["kid"], verify(first), verify(second))
	}
	if err := f.tl.RotateKeys(false); err != nil {
		t.Fatal(err)
	}
	if third := idToken(); verify(first) == nil || verify(second) == nil || verify(third) != nil {
		t.Errorf("after the old keys went: %v, %v, %v", verify(first), verify(second), verify(third))
	}
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.OmitKID = true })
	nameless := idToken()
	if head, _ := jwtParts(t, nameless); head["kid"] != nil || verify(nameless) != nil {
		t.Errorf("without kid: %v, %v", head, verify(nameless))
	}
	jwks := send(t, f.c, http.MethodGet, f.tl.URL()+"/.well-known/openid-configuration/jwks", "").body
	if strings.Contains(jwks, `"kid"`) || strings.Contains(jwks, `"d"`) {
		t.Errorf("JWKS: %s", jwks)
	}
}

func TestDiscoveryIsASwitch(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	s.TimeLog().Set(func(set *sandbox.TimeLogSettings) {
		set.Discovery = func(doc map[string]any) { doc["issuer"] = "https://login.example.org" }
	})
	ctx := oidc.ClientContext(context.Background(), client(t))
	if _, err := oidc.NewProvider(ctx, s.TimeLog().Issuer()); err == nil || !strings.Contains(err.Error(), "issuer") {
		t.Errorf("go-oidc says %v", err)
	}
}

func TestIDTokenLifeIsASwitch(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	f := newFlow(t, s.TimeLog())
	f.tl.Set(func(s *sandbox.TimeLogSettings) { s.IDTokenLife = time.Minute })
	tok, _ := verifyIDToken(t, f, time.Now, f.authorize(authorizeParams()).Get("id_token"))
	if life := tok.Expiry.Sub(tok.IssuedAt); life != time.Minute {
		t.Errorf("life %v", life)
	}
}
