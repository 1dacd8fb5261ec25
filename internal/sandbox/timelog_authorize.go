package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"

	// ticketLife is how long a sign-in page may be looked at.
	ticketLife = 10 * time.Minute
)

// authorizeRequest is an authorize request that was found in order.
type authorizeRequest struct {
	client      Client
	redirectURI string
	scope       []string
	state       string
	nonce       string
	mode        string
	challenge   string // PKCE S256; "" where the client sent none
	loginHint   string
	expires     time.Time
}

// authorizeFault says why a request is not in order.
type authorizeFault struct {
	code, description string
	// tell sends the error to the client. IdentityServer keeps every error
	// that the user cannot have caused on its own error page.
	tell bool
}

// authorize answers GET and POST /connect/authorize.
func (t *TimeLog) authorize(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	if r.Method == http.MethodPost {
		params = r.PostForm
	}
	req, fault := t.readAuthorize(params)
	switch {
	case fault != nil && fault.tell:
		t.reply(w, r, req, errorReply(req, fault.code, fault.description))
		return
	case fault != nil:
		t.errorPage(w, fault)
		return
	}
	if d, ok := t.nextDenial(); ok {
		t.reply(w, r, req, errorReply(req, d.code, d.description))
		return
	}
	if email := t.Settings().AutoApprove; email != "" {
		acc, ok := t.accounts.Get(email)
		if !ok {
			t.errorPage(w, &authorizeFault{code: "server_error", description: "AutoApprove names no account"})
			return
		}
		t.approve(w, r, req, acc)
		return
	}
	ticket := randomToken()
	req.expires = t.now().Add(ticketLife)
	t.mu.Lock()
	t.tickets[ticket] = req
	t.mu.Unlock()
	t.loginPage(w, http.StatusOK, loginData{Ticket: ticket, Request: req, Email: req.loginHint})
}

// readAuthorize checks a request in IdentityServer's order. Before client and
// redirect URI are known to belong together, nothing may be sent anywhere.
func (t *TimeLog) readAuthorize(p url.Values) (*authorizeRequest, *authorizeFault) {
	page := func(code, description string) *authorizeFault {
		return &authorizeFault{code: code, description: description}
	}
	for _, vs := range p {
		if len(vs) > 1 { // RFC 6749 section 3.1
			return nil, page("invalid_request", "Duplicate parameter")
		}
	}
	client, ok := t.client(p.Get("client_id"))
	if !ok {
		return nil, page("unauthorized_client", "Unknown client or client not enabled")
	}
	if !client.allowsRedirect(p.Get("redirect_uri")) {
		return nil, page("invalid_request", "Invalid redirect_uri")
	}
	set := t.Settings()
	req := &authorizeRequest{
		client:      client,
		redirectURI: p.Get("redirect_uri"),
		scope:       scopeFields(p.Get("scope")),
		state:       p.Get("state"),
		nonce:       p.Get("nonce"),
		mode:        p.Get("response_mode"),
		challenge:   p.Get("code_challenge"),
		loginHint:   p.Get("login_hint"),
	}
	if !slices.Equal(scopeFields(p.Get("response_type")), []string{"code", "id_token"}) {
		return nil, page("unsupported_response_type", "Response type not supported")
	}
	switch {
	case req.mode == "":
		req.mode = set.DefaultMode
	case req.mode == modeFragment, req.mode == modeFormPost, req.mode == modeQuery && set.AllowQuery:
	default:
		return nil, page("unsupported_response_type", "Invalid response_mode for response_type")
	}
	switch {
	case !slices.Contains(req.scope, scopeOpenID):
		return nil, page("invalid_scope", "openid scope is missing")
	case slices.ContainsFunc(req.scope, func(s string) bool { return !slices.Contains(client.Scopes, s) }):
		return nil, page("invalid_scope", "Invalid scope")
	case req.nonce == "": // REQUIRED in the hybrid flow, OpenID Connect Core 3.3.2.11
		return nil, page("invalid_request", "Invalid nonce")
	case req.challenge == "" && set.RequirePKCE:
		return nil, page("invalid_request", "code challenge required")
	case req.challenge != "" && p.Get("code_challenge_method") != "S256":
		return nil, page("invalid_request", "Transform algorithm not supported")
	case p.Get("prompt") == "none":
		return req, &authorizeFault{code: "login_required", tell: true}
	}
	return req, nil
}

func (c Client) allowsRedirect(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if !c.AnyLoopback {
		return false
	}
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}

// decide answers POST /account/login: the sign-in page's two buttons.
func (t *TimeLog) decide(w http.ResponseWriter, r *http.Request) {
	ticket := r.PostForm.Get("ticket")
	t.mu.Lock()
	req, ok := t.tickets[ticket]
	t.mu.Unlock()
	if !ok || !t.now().Before(req.expires) {
		t.errorPage(w, &authorizeFault{code: "expired", description: "This sign-in page was used already or is too old. Please start again."})
		return
	}
	if r.PostForm.Get("action") != "cancel" {
		email := strings.TrimSpace(r.PostForm.Get("email"))
		acc, ok := t.accounts.byPassword(email, r.PostForm.Get("password"))
		if !ok {
			t.loginPage(w, http.StatusOK, loginData{Ticket: ticket, Request: req, Email: email, Failed: true})
			return
		}
		if t.useTicket(w, ticket) {
			t.approve(w, r, req, acc)
		}
		return
	}
	if t.useTicket(w, ticket) {
		t.reply(w, r, req, errorReply(req, "access_denied", ""))
	}
}

// useTicket uses a sign-in page up; of two clicks at once, one wins.
func (t *TimeLog) useTicket(w http.ResponseWriter, ticket string) bool {
	t.mu.Lock()
	_, ok := t.tickets[ticket]
	delete(t.tickets, ticket)
	t.mu.Unlock()
	if !ok {
		t.errorPage(w, &authorizeFault{code: "expired", description: "This sign-in page was used already. Please start again."})
	}
	return ok
}

// approve issues a code and the front-channel id_token.
func (t *TimeLog) approve(w http.ResponseWriter, r *http.Request, req *authorizeRequest, acc Account) {
	g := &grant{
		client:   req.client,
		email:    acc.Email,
		subject:  acc.ID,
		issuer:   t.baseURL(r),
		scope:    req.scope,
		nonce:    req.nonce,
		state:    req.state,
		sid:      strings.ToUpper(randomHex(16)),
		authTime: t.now(),
	}
	value := t.newCode(g, req)
	claims := t.idClaims(g)
	claims["nonce"] = g.nonce
	claims["c_hash"] = leftHalf(value)
	if g.state != "" {
		claims["s_hash"] = leftHalf(g.state)
	}
	idToken, err := t.forge(Front, req.client, claims)
	if err != nil {
		t.log.Error("sandbox: making the front-channel id_token", "error", err)
		t.errorPage(w, &authorizeFault{code: "server_error", description: err.Error()})
		return
	}
	params := url.Values{
		"code":          {value},
		"id_token":      {idToken},
		"scope":         {strings.Join(req.scope, " ")},
		"session_state": {sessionState(req, g.sid)},
	}
	if req.state != "" {
		params.Set("state", req.state)
	}
	t.reply(w, r, req, params)
}

func errorReply(req *authorizeRequest, code, description string) url.Values {
	params := url.Values{"error": {code}}
	if description != "" {
		params.Set("error_description", description)
	}
	if req.state != "" {
		params.Set("state", req.state)
	}
	return params
}

// sessionState is made as OpenID Connect Session Management 1.0 section 3.2
// says: a salted hash of client, origin and session.
func sessionState(req *authorizeRequest, sid string) string {
	origin := req.redirectURI
	if u, err := url.Parse(req.redirectURI); err == nil {
		origin = u.Scheme + "://" + u.Host
	}
	salt := strings.ToUpper(randomHex(16))
	return sha256URL(req.client.ID+origin+sid+salt) + "." + salt
}

// reply sends the browser back with params, by the request's response mode.
func (t *TimeLog) reply(w http.ResponseWriter, r *http.Request, req *authorizeRequest, params url.Values) {
	rep := &Reply{Issuer: t.baseURL(r), RedirectURI: req.redirectURI, Mode: req.mode, Params: params}
	for _, tm := range t.tampersOn(Front) {
		if tm.Reply != nil {
			tm.Reply(rep)
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if rep.Mode == modeFormPost {
		t.formPostPage(w, rep)
		return
	}
	to := rep.RedirectURI
	switch {
	case rep.Mode == modeFragment:
		to += "#" + rep.Params.Encode()
	case strings.Contains(to, "?"):
		to += "&" + rep.Params.Encode()
	default:
		to += "?" + rep.Params.Encode()
	}
	if rep.Params.Has("error") && rep.Mode == modeQuery {
		to += "#_=_" // IdentityServer's guard against a fragment carried over
	}
	// 303 after a POST, so that no browser posts the password onwards.
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther
	}
	w.Header().Set("Location", to)
	w.WriteHeader(status)
}
