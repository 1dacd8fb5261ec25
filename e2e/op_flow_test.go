package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

// relyingParty is the least that can talk to the provider: it sends a browser
// there and takes what comes back. It checks nothing, which is the broker's
// part; these tests are about the provider.
type relyingParty struct {
	op       *openIDProvider
	url      string
	verifier string
	replies  chan url.Values
}

func newRelyingParty(t *testing.T, op *openIDProvider) *relyingParty {
	t.Helper()
	rp := &relyingParty{op: op, verifier: rand.Text() + rand.Text(), replies: make(chan url.Values, 1)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>Back</title><p id="back">back</p>`)
		if r.Method == http.MethodPost {
			_ = r.ParseForm()
			rp.replies <- r.PostForm
		}
	}))
	t.Cleanup(srv.Close)
	rp.url = srv.URL + "/callback"
	op.change(t, opSettings{RedirectURIs: []string{rp.url}})
	return rp
}

func (rp *relyingParty) authorizationURL(mode string) string {
	challenge := sha256.Sum256([]byte(rp.verifier))
	q := url.Values{
		"client_id":             {rp.op.clientID},
		"scope":                 {"openid offline_access tlp"},
		"response_type":         {"code id_token"},
		"redirect_uri":          {rp.url},
		"nonce":                 {"the-nonce"},
		"state":                 {"the-state"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	if mode != "" {
		q.Set("response_mode", mode)
	}
	return rp.op.issuer + "/connect/authorize?" + q.Encode()
}

type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	ExpiresIn    int    `json:"expires_in"`
	Error        string `json:"error"`
}

func (rp *relyingParty) post(t *testing.T, path string, form url.Values) (int, tokenAnswer) {
	t.Helper()
	form.Set("client_id", rp.op.clientID)
	form.Set("client_secret", rp.op.clientSecret)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, rp.op.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var answer tokenAnswer
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("%s answered %q", path, body)
		}
	}
	return res.StatusCode, answer
}

func (rp *relyingParty) redeem(t *testing.T, code string) tokenAnswer {
	t.Helper()
	status, answer := rp.post(t, "/connect/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {rp.url}, "code_verifier": {rp.verifier},
	})
	if status != http.StatusOK {
		t.Fatalf("the code was refused: %d %s", status, answer.Error)
	}
	return answer
}

func (rp *relyingParty) refresh(t *testing.T, token string) (int, tokenAnswer) {
	t.Helper()
	return rp.post(t, "/connect/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "redirect_uri": {rp.url},
	})
}

func TestOpenIDProviderDiscovery(t *testing.T) {
	t.Parallel()
	op := startOpenIDProvider(t, opSettings{})
	var doc struct {
		Issuer        string   `json:"issuer"`
		ResponseTypes []string `json:"response_types_supported"`
		ResponseModes []string `json:"response_modes_supported"`
		Challenges    []string `json:"code_challenge_methods_supported"`
		Algs          []string `json:"id_token_signing_alg_values_supported"`
		Revocation    string   `json:"revocation_endpoint"`
		JWKS          string   `json:"jwks_uri"`
	}
	getJSON(t, op.issuer+"/.well-known/openid-configuration", "", http.StatusOK, &doc)
	if doc.Issuer != op.issuer || doc.Revocation != op.issuer+"/connect/revocation" {
		t.Errorf("issuer %s, revocation endpoint %s", doc.Issuer, doc.Revocation)
	}
	if diff := cmp.Diff([]string{"code id_token", "code"}, doc.ResponseTypes); diff != "" {
		t.Errorf("response types (-want +got):\n%s", diff)
	}
	for _, want := range []string{"form_post", "fragment"} {
		if !strings.Contains(strings.Join(doc.ResponseModes, " "), want) {
			t.Errorf("response modes %q lack %s", doc.ResponseModes, want)
		}
	}
	if diff := cmp.Diff([]string{"S256"}, doc.Challenges); diff != "" {
		t.Errorf("PKCE (-want +got):\n%s", diff)
	}
	var keys struct {
		Keys []map[string]string `json:"keys"`
	}
	getJSON(t, doc.JWKS, "", http.StatusOK, &keys)
	if len(keys.Keys) != 1 || keys.Keys[0]["d"] != "" || keys.Keys[0]["kid"] == "" {
		t.Errorf("published keys: %v", keys.Keys)
	}
	getJSON(t, op.issuer+"/api/ResolveUri", "", http.StatusUnauthorized, nil)
	getJSON(t, op.issuer+"/api/ResolveUri", "made-up", http.StatusUnauthorized, nil)
}

func TestOpenIDProviderHybridFlow(t *testing.T) {
	t.Parallel()
	op := startOpenIDProvider(t, opSettings{AccessTokenTTL: 1234})
	rp := newRelyingParty(t, op)
	p := newPage(t, look{NoScript: true})
	p.open(rp.authorizationURL("form_post"))
	p.fill("[name=account]", "berta")
	p.follow("[value=allow]")
	p.follow("button") // form_post without scripts asks for a click
	reply := <-rp.replies
	if reply.Get("state") != "the-state" || reply.Get("code") == "" || strings.Count(reply.Get("id_token"), ".") != 2 {
		t.Fatalf("the reply has %d parameters and state %q", len(reply), reply.Get("state"))
	}

	first := rp.redeem(t, reply.Get("code"))
	if first.RefreshToken == "" || first.IDToken == "" || first.ExpiresIn != 1234 {
		t.Fatalf("the token answer: refresh token %t, id_token %t, expires_in %d",
			first.RefreshToken != "", first.IDToken != "", first.ExpiresIn)
	}
	var resolved struct{ URL string }
	getJSON(t, op.issuer+"/api/ResolveUri", first.AccessToken, http.StatusOK, &resolved)
	if resolved.URL != op.issuer+"/soxdemo" {
		t.Errorf("ResolveUri answers %q", resolved.URL)
	}
	var who struct{ Account string }
	getJSON(t, resolved.URL+"/api/whoami", first.AccessToken, http.StatusOK, &who)
	if who.Account != "berta" {
		t.Errorf("the token is %q's", who.Account)
	}

	status, second := rp.refresh(t, first.RefreshToken)
	if status != http.StatusOK || second.RefreshToken == "" || second.RefreshToken == first.RefreshToken {
		t.Fatalf("refresh: %d %s, rotated: %t", status, second.Error, second.RefreshToken != first.RefreshToken)
	}
	if status, _ := rp.post(t, "/connect/revocation", url.Values{"token": {second.RefreshToken}}); status != http.StatusOK {
		t.Errorf("revocation: %d", status)
	}
	getJSON(t, resolved.URL+"/api/whoami", second.AccessToken, http.StatusUnauthorized, nil)
	if status, answer := rp.refresh(t, second.RefreshToken); status != http.StatusBadRequest || answer.Error != "invalid_grant" {
		t.Errorf("refresh after revocation: %d %s", status, answer.Error)
	}
	if got := op.tokenCalls(t, "refresh_token"); got != 2 {
		t.Errorf("%d refreshes were counted, want 2", got)
	}
}

func TestOpenIDProviderRevokesOnReuse(t *testing.T) {
	t.Parallel()
	op := startOpenIDProvider(t, opSettings{AutoLogin: "anna"})
	rp := newRelyingParty(t, op)
	p := newPage(t, look{})
	p.open(rp.authorizationURL("")) // fragment, the default
	p.do(chromedp.WaitVisible(chromedp.CSS("#back")))
	_, fragment, _ := strings.Cut(p.url(), "#")
	reply, err := url.ParseQuery(fragment)
	if err != nil || reply.Get("code") == "" || reply.Get("id_token") == "" {
		t.Fatalf("landed on a page whose fragment has %d parameters: %v", len(reply), err)
	}
	first := rp.redeem(t, reply.Get("code"))
	_, second := rp.refresh(t, first.RefreshToken)
	if status, answer := rp.refresh(t, first.RefreshToken); status != http.StatusBadRequest || answer.Error != "invalid_grant" {
		t.Errorf("a spent refresh token: %d %s", status, answer.Error)
	}
	if status, _ := rp.refresh(t, second.RefreshToken); status != http.StatusBadRequest {
		t.Errorf("the chain lives on after a reuse: %d", status)
	}
}

func TestOpenIDProviderDenies(t *testing.T) {
	t.Parallel()
	op := startOpenIDProvider(t, opSettings{})
	rp := newRelyingParty(t, op)
	p := newPage(t, look{})
	p.open(rp.authorizationURL("form_post"))
	p.do(chromedp.Click(chromedp.CSS("[value=deny]")))
	p.waitFor("#back")
	if reply := <-rp.replies; reply.Get("error") != "access_denied" || reply.Get("state") != "the-state" || reply.Has("code") {
		t.Errorf("the reply has error %q, state %q", reply.Get("error"), reply.Get("state"))
	}
}
