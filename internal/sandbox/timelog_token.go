package sandbox

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// tokenFault is an error answer of the token endpoint (RFC 6749 section 5.2).
type tokenFault struct {
	status            int
	code, description string
}

func invalidGrant() *tokenFault { return &tokenFault{http.StatusBadRequest, "invalid_grant", ""} }

func invalidRequest(description string) *tokenFault {
	return &tokenFault{http.StatusBadRequest, "invalid_request", description}
}

func grantEndpoint(r *http.Request) Endpoint {
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		return TimeLogExchange
	case "refresh_token":
		return TimeLogRefresh
	}
	return TimeLogOtherGrant
}

// token answers POST /connect/token.
func (t *TimeLog) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store, no-cache, max-age=0")
	w.Header().Set("Pragma", "no-cache")
	client, fault := t.authenticateClient(r)
	if fault != nil {
		t.tokenError(w, fault)
		return
	}
	switch grantEndpoint(r) {
	case TimeLogExchange:
		t.exchange(w, r.PostForm, client)
	case TimeLogRefresh:
		t.refreshGrant(w, r, client)
	default:
		t.tokenError(w, &tokenFault{http.StatusBadRequest, "unsupported_grant_type", ""})
	}
}

// authenticateClient takes client_secret_basic and client_secret_post, not both.
func (t *TimeLog) authenticateClient(r *http.Request) (Client, *tokenFault) {
	if !isForm(r) {
		return Client{}, invalidRequest("")
	}
	for _, vs := range r.PostForm {
		if len(vs) > 1 { // RFC 6749 section 3.2
			return Client{}, invalidRequest("Duplicate parameter")
		}
	}
	refused := &tokenFault{t.Settings().InvalidClientStatus, "invalid_client", ""}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if u, p, ok := r.BasicAuth(); ok {
		if secret != "" { // RFC 6749 section 2.3: one method a request
			return Client{}, invalidRequest("Multiple client credentials")
		}
		// Section 2.3.1: both are form-encoded first.
		bid, err1 := url.QueryUnescape(u)
		bsecret, err2 := url.QueryUnescape(p)
		if err1 != nil || err2 != nil || (id != "" && id != bid) {
			return Client{}, refused
		}
		id, secret = bid, bsecret
	}
	c, ok := t.client(id)
	if !ok || secret == "" || subtle.ConstantTimeCompare([]byte(secret), []byte(c.Secret)) != 1 {
		return Client{}, refused
	}
	return c, nil
}

func (t *TimeLog) exchange(w http.ResponseWriter, form url.Values, client Client) {
	value, redirectURI, verifier := form.Get("code"), form.Get("redirect_uri"), form.Get("code_verifier")
	t.secrets.add(verifier)
	if value == "" {
		t.tokenError(w, invalidGrant())
		return
	}
	g, f, fault := t.spendCode(client, value, redirectURI, verifier)
	if fault != nil {
		t.tokenError(w, fault)
		return
	}
	head := ""
	if f != nil {
		head = t.headOf(f)
	}
	t.answerTokens(w, Back, issue{grant: g, family: f, refresh: head, scope: g.scope})
}

// refreshGrant wants redirect_uri again, as TimeLog documents it. A request
// without it is refused before the refresh token is looked at.
func (t *TimeLog) refreshGrant(w http.ResponseWriter, r *http.Request, client Client) {
	form := r.PostForm
	switch {
	case form.Get("refresh_token") == "":
		t.tokenError(w, invalidRequest("refresh_token is missing"))
		return
	case form.Get("redirect_uri") == "":
		t.tokenError(w, invalidRequest("redirect_uri is missing"))
		return
	}
	f, next, fault := t.spendRefresh(client, form.Get("refresh_token"), form.Get("redirect_uri"), recordOf(r))
	if fault != nil {
		t.tokenError(w, fault)
		return
	}
	t.answerTokens(w, Refresh, issue{grant: f.grant, family: f, refresh: next, scope: f.grant.scope})
}

func (t *TimeLog) headOf(f *family) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return f.Head
}

// issue is what one successful token answer is made of.
type issue struct {
	grant   *grant
	family  *family
	refresh string
	scope   []string
	life    time.Duration // of the access token; 0: as in the settings
}

// answerTokens makes an access token and an id_token and sends all three.
func (t *TimeLog) answerTokens(w http.ResponseWriter, c Channel, is issue) {
	members, err := t.tokenMembers(c, is)
	if err != nil {
		t.log.Error("sandbox: making tokens", "error", err)
		t.tokenError(w, &tokenFault{http.StatusInternalServerError, "server_error", ""})
		return
	}
	answer := &TokenAnswer{Channel: c, Status: http.StatusOK, Header: w.Header(), Members: members}
	answer.Header.Set("Content-Type", "application/json; charset=UTF-8")
	tampers := t.tampersOn(c)
	for _, tm := range tampers {
		if tm.Answer != nil {
			tm.Answer(answer)
		}
	}
	body, err := json.Marshal(answer.Members)
	if err != nil {
		t.log.Error("sandbox: encoding token answer", "error", err)
		t.tokenError(w, &tokenFault{http.StatusInternalServerError, "server_error", ""})
		return
	}
	for _, tm := range tampers {
		if tm.Body != nil {
			body = tm.Body(body)
		}
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write(body)
}

func (t *TimeLog) tokenMembers(c Channel, is issue) (map[string]any, error) {
	set := t.Settings()
	access, err := t.newAccessToken(is)
	if err != nil {
		return nil, err
	}
	claims := t.idClaims(is.grant)
	claims["at_hash"] = leftHalf(access)
	if c == Back {
		claims["nonce"] = is.grant.nonce
		if is.grant.state != "" {
			claims["s_hash"] = leftHalf(is.grant.state)
		}
	}
	idToken, err := t.forge(c, is.grant.client, claims)
	if err != nil {
		return nil, err
	}
	members := map[string]any{
		"access_token": access,
		"token_type":   "Bearer",
		"expires_in":   int64(set.AccessLife.Seconds()),
		"id_token":     idToken,
		"scope":        strings.Join(is.scope, " "),
	}
	if is.refresh != "" {
		members["refresh_token"] = is.refresh
	}
	return members, nil
}

// idClaims are the claims that every id_token of a grant has, in the shape of
// IdentityServer's.
func (t *TimeLog) idClaims(g *grant) map[string]any {
	now := t.now()
	return map[string]any{
		"iss":       g.issuer,
		"aud":       g.client.ID,
		"sub":       g.subject,
		"iat":       now.Unix(),
		"nbf":       now.Unix(),
		"exp":       now.Add(t.Settings().IDTokenLife).Unix(),
		"auth_time": g.authTime.Unix(),
		"sid":       g.sid,
		"idp":       "local",
		"amr":       []string{"pwd"},
	}
}

// newAccessToken issues an access token; a JWT after RFC 9068, or a handle.
func (t *TimeLog) newAccessToken(is issue) (string, error) {
	set, now := t.Settings(), t.now()
	expires := now.Add(cmp.Or(is.life, set.AccessLife))
	value := strings.ToUpper(randomHex(32))
	if !set.OpaqueAccessTokens {
		payload, err := json.Marshal(map[string]any{
			"iss": is.grant.issuer, "aud": "tlp", "client_id": is.grant.client.ID, "sub": is.grant.subject,
			"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(), "auth_time": is.grant.authTime.Unix(),
			"jti": value, "sid": is.grant.sid, "scope": is.scope,
		})
		if err != nil {
			return "", err
		}
		key, err := t.keys.current()
		if err != nil {
			return "", err
		}
		header := map[string]any{"alg": "RS256", "typ": "at+jwt", "kid": key.KeyID}
		if value, err = t.keys.sign(header, payload, CurrentKey, is.grant.client); err != nil {
			return "", err
		}
	}
	t.secrets.add(value)
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &accessToken{grant: is.grant, family: is.family, issued: now, expires: expires}
	if is.family != nil {
		is.family.accessMade++
		a.number = is.family.accessMade
	}
	t.access[value] = a
	return value, nil
}

func (t *TimeLog) tokenError(w http.ResponseWriter, f *tokenFault) {
	body := map[string]string{"error": f.code}
	if f.description != "" {
		body["error_description"] = f.description
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="TimeLog"`)
	}
	writeJSON(w, f.status, body)
}

// revocation answers POST /connect/revocation (RFC 7009): a refresh token takes
// its family along, an access token goes alone, an unknown token is fine.
func (t *TimeLog) revocation(w http.ResponseWriter, r *http.Request) {
	client, fault := t.authenticateClient(r)
	if fault != nil {
		t.tokenError(w, fault)
		return
	}
	value := r.PostForm.Get("token")
	if value == "" {
		t.tokenError(w, invalidRequest(""))
		return
	}
	if hint := r.PostForm.Get("token_type_hint"); hint != "" && !slices.Contains([]string{"access_token", "refresh_token"}, hint) {
		t.tokenError(w, &tokenFault{http.StatusBadRequest, "unsupported_token_type", ""})
		return
	}
	t.mu.Lock()
	if tok, ok := t.refresh[value]; ok && tok.family.ClientID == client.ID {
		t.revocations[tok.family.ID]++
		tok.family.revoke("client", t.now())
	}
	if a, ok := t.access[value]; ok && a.grant.client.ID == client.ID {
		a.revoke(t.now())
	}
	t.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

// pkceMatches checks a verifier against an S256 challenge (RFC 7636 section
// 4.6). A verifier nobody asked for is as wrong as a missing one.
func pkceMatches(challenge, verifier string) bool {
	if challenge == "" || verifier == "" {
		return challenge == verifier
	}
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(sha256URL(verifier)), []byte(challenge)) == 1
}

func sha256URL(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
