package providers

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// settings says which blocks of settings a scheme needs.
func (m *Method) settings() (need []string, ok bool) {
	switch m.Scheme {
	case SchemeBasic:
		return []string{"basic"}, true
	case SchemeToken:
		return []string{"token"}, true
	case SchemeExchange:
		return []string{"exchange", "token"}, true
	case SchemeSessionCookie:
		return []string{"session_cookie"}, true
	case SchemeOAuth2Code, SchemeOIDCHybrid, SchemeClientCredentials:
		return []string{"oauth"}, true
	}
	return nil, false
}

func (f *file) checkMethod(p *Provider, m *Method, at string) {
	f.identifier(join(at, "name"), m.Name)
	f.text(join(at, "title"), m.Title, true)
	f.text(join(at, "description"), m.Description, false)
	f.text(join(at, "disconnect_hint"), m.DisconnectHint, false)
	f.checkFields(m, at)
	f.steps(join(at, "guide"), m.Guide)
	need, ok := m.settings()
	if !ok {
		f.fault(join(at, "scheme"), "must be one of basic, token, exchange, session_cookie, oauth2_code, oauth2_client_credentials, oidc_hybrid")
		return
	}
	incomplete := false
	for _, block := range []struct {
		name  string
		there bool
	}{
		{"basic", m.Basic != nil},
		{"token", m.Token != nil},
		{"exchange", m.Exchange != nil},
		{"session_cookie", m.SessionCookie != nil},
		{"oauth", m.OAuth != nil},
	} {
		switch wanted := slices.Contains(need, block.name); {
		case wanted && !block.there:
			f.fault(at, "scheme %s needs %s", m.Scheme, block.name)
			incomplete = true
		case !wanted && block.there:
			f.fault(join(at, block.name), "is of no use to scheme %s", m.Scheme)
		}
	}
	if incomplete {
		return
	}
	switch m.Scheme {
	case SchemeBasic:
		f.values(join(at, "basic.username"), m.Basic.Username, m.fieldNames())
		f.values(join(at, "basic.password"), m.Basic.Password, m.fieldNames())
	case SchemeToken:
		f.checkToken(m, at, m.fieldNames())
	case SchemeExchange:
		f.checkExchange(p, m, at)
	case SchemeSessionCookie:
		f.checkSessionCookie(m, at)
	case SchemeOAuth2Code, SchemeOIDCHybrid, SchemeClientCredentials:
		f.checkOAuth(m, at)
	}
	f.checkRequestHeaders(p, m, at)
}

func (f *file) checkFields(m *Method, at string) {
	names := map[string]bool{}
	for i, field := range m.Fields {
		at := fmt.Sprintf("%s.fields[%d]", at, i)
		f.identifier(join(at, "name"), field.Name)
		if names[field.Name] {
			f.fault(join(at, "name"), "%q is the name of a field above", field.Name)
		}
		names[field.Name] = true
		f.text(join(at, "label"), field.Label, true)
		f.text(join(at, "help"), field.Help, false)
		f.text(join(at, "placeholder"), field.Placeholder, false)
		if !slices.Contains([]FieldType{FieldText, FieldEmail, FieldPassword, FieldToken, FieldDate, FieldCheckbox}, field.Type) {
			f.fault(join(at, "type"), "must be one of text, email, password, token, date, checkbox")
		}
		if field.MaxLength < 0 || field.MaxLength > maxHeaderValue {
			f.fault(join(at, "max_length"), "must be from 1 to %d", maxHeaderValue)
		}
		if _, err := regexp.Compile(field.Pattern); err != nil {
			f.fault(join(at, "pattern"), "is not a regular expression (RE2)")
		}
		if r := field.Reserved; r != nil {
			f.text(join(at, "reserved.value"), r.Value, true)
			f.text(join(at, "reserved.message"), r.Message, true)
		}
	}
	if m.Redirects() && len(m.Fields) > 0 {
		f.fault(join(at, "fields"), "scheme %s asks for nothing: the provider does", m.Scheme)
	}
}

func (m *Method) fieldNames() []string {
	names := make([]string, 0, len(m.Fields))
	for i := range m.Fields {
		names = append(names, m.Fields[i].Name)
	}
	return names
}

// values checks a template that has to make do with the given names.
func (f *file) values(path string, t Template, known []string) {
	f.template(path, t)
	for _, name := range t.names() {
		if !slices.Contains(known, name) {
			f.fault(path, "names {%s}, which is not there", name)
		}
	}
}

func (f *file) checkToken(m *Method, at string, known []string) {
	at = join(at, "token")
	f.header(join(at, "header"), m.Token.Header)
	f.values(join(at, "value"), m.Token.Value, known)
	if name := m.Token.Expires; name != "" {
		if field, ok := m.Field(name); !ok || field.Type != FieldDate {
			f.fault(join(at, "expires"), "must name a field of type date")
		}
	}
}

// exchanged is the name of the value that an exchange yields.
const exchanged = "token"

func (f *file) checkExchange(p *Provider, m *Method, at string) {
	f.checkToken(m, at, []string{exchanged})
	if m.Token.Expires != "" {
		f.fault(join(at, "token.expires"), "is of no use to scheme exchange")
	}
	at = join(at, "exchange")
	if p.BaseURL == "" {
		f.fault(join(at, "path"), "needs a base_url to follow")
	}
	if m.Exchange.Path == "" {
		f.fault(join(at, "path"), "is missing")
	}
	f.path(join(at, "path"), m.Exchange.Path)
	f.values(join(at, "username"), m.Exchange.Username, m.fieldNames())
	f.values(join(at, "password"), m.Exchange.Password, m.fieldNames())
	f.paths(join(at, "token"), m.Exchange.Token, true)
	f.statuses(join(at, "refused"), m.Exchange.Refused)
}

func (f *file) checkSessionCookie(m *Method, at string) {
	at = join(at, "session_cookie")
	s := m.SessionCookie
	f.endpoint(join(at, "url"), s.URL, true)
	if len(s.Body) == 0 {
		f.fault(join(at, "body"), "is missing")
	}
	for _, name := range sortedKeys(s.Body) {
		f.values(join(join(at, "body"), name), s.Body[name], m.fieldNames())
	}
	if len(s.Cookies) == 0 {
		f.fault(join(at, "cookies"), "needs at least one name")
	}
	for i, name := range s.Cookies {
		// RFC 6265 section 4.1.1: a cookie's name is a token, as a header's is.
		if !httpguts.ValidHeaderFieldName(name) {
			f.fault(fmt.Sprintf("%s.cookies[%d]", at, i), "is not the name of a cookie")
		}
	}
	f.statuses(join(at, "refused"), s.Refused)
	if s.Keep != "" {
		if field, ok := m.Field(s.Keep); !ok || field.Type != FieldCheckbox {
			f.fault(join(at, "keep"), "must name a field of type checkbox")
		}
	}
}

func (f *file) checkOAuth(m *Method, at string) {
	at = join(at, "oauth")
	o := m.OAuth
	f.endpoint(join(at, "issuer"), o.Issuer, false)
	f.endpoint(join(at, "authorization_url"), o.AuthorizationURL, false)
	f.endpoint(join(at, "token_url"), o.TokenURL, false)
	f.endpoint(join(at, "revocation_url"), o.RevocationURL, false)
	f.endpoint(join(at, "jwks_url"), o.JWKSURL, false)
	f.hosts(join(at, "endpoint_hosts"), o.EndpointHosts, true)
	for i, alg := range o.SigningAlgorithms {
		if !slices.Contains(signingAlgorithms(), alg) {
			f.fault(fmt.Sprintf("%s.signing_algorithms[%d]", at, i), "must be one of %s", strings.Join(signingAlgorithms(), ", "))
		}
	}
	for i, s := range o.Scopes {
		if !validScope(s) {
			f.fault(fmt.Sprintf("%s.scopes[%d]", at, i), "is not a scope")
		}
	}
	if o.ScopeParameter != "" {
		f.identifier(join(at, "scope_parameter"), o.ScopeParameter)
	}
	for _, separator := range []struct{ name, value string }{{"scope_separator", o.ScopeSeparator}, {"granted_separator", o.GrantedSeparator}} {
		if !slices.Contains([]string{"", " ", ","}, separator.value) {
			f.fault(join(at, separator.name), "must be a space or a comma")
		}
	}
	if !validResponseMode(o.ResponseMode) {
		f.fault(join(at, "response_mode"), "must be one of query, fragment, form_post")
	}
	for _, name := range sortedKeys(o.AuthorizeParams) {
		if isOwnParameter(name) {
			f.fault(join(join(at, "authorize_params"), name), "is a parameter that the flow sets itself")
		}
	}
	if !slices.Contains([]PKCE{"", PKCES256, PKCENone}, o.PKCE) {
		f.fault(join(at, "pkce"), "must be S256 or none")
	}
	if !slices.Contains([]ClientAuth{"", ClientAuthBasic, ClientAuthPost}, o.ClientAuth) {
		f.fault(join(at, "client_auth"), "must be basic or post")
	}
	if !slices.Contains([]ClientAuth{"", ClientAuthBasic, ClientAuthPost, ClientAuthNone}, o.RevocationAuth) {
		f.fault(join(at, "revocation_auth"), "must be basic, post or none")
	}
	if o.DefaultExpiresIn < 0 || o.DefaultExpiresIn > int(longestLife/time.Second) {
		f.fault(join(at, "default_expires_in"), "must be a number of seconds, ten years at most")
	}
	if !slices.Contains([]Reuse{"", ReuseAllowed, ReuseGrace, ReuseReject, ReuseRevoke}, o.Reuse) {
		f.fault(join(at, "reuse"), "must be one of allowed, grace, reject, revoke")
	}
	if o.TokenObject != "" {
		f.paths(join(at, "token_object"), Paths{o.TokenObject}, true)
	}
	for _, list := range []struct {
		name  string
		words []string
	}{{"token_types", o.TokenTypes}, {"terminal_codes", o.TerminalCodes}, {"client_codes", o.ClientCodes}} {
		for i, word := range list.words {
			if !validScope(word) {
				f.fault(fmt.Sprintf("%s.%s[%d]", at, list.name, i), "must be one word")
			}
		}
	}
	f.checkRevocation(o, at)
	if m.Scheme == SchemeOIDCHybrid && !slices.Contains(o.Scopes, "openid") {
		f.fault(join(at, "scopes"), "must have openid for the hybrid flow")
	}
}

func (f *file) checkRevocation(o *OAuth, at string) {
	if o.Revocation == nil {
		return
	}
	r, at := o.Revocation, join(at, "revocation")
	if o.RevocationURL != "" {
		f.fault(at, "takes the place of revocation_url; there cannot be both")
	}
	if !slices.Contains([]string{http.MethodPost, http.MethodDelete}, r.Method) {
		f.fault(join(at, "method"), "must be POST or DELETE")
	}
	f.template(join(at, "url"), Template(r.URL))
	f.endpoint(join(at, "url"), strings.ReplaceAll(r.URL, "{client_id}", "x"), true)
	f.values(join(at, "url"), Template(r.URL), []string{"client_id"}) // a URL is no place for a secret
	if !slices.Contains([]RevocationBy{ByClient, ByToken}, r.Auth) {
		f.fault(join(at, "auth"), "must be client or token")
	}
	for _, name := range sortedKeys(r.JSON) {
		f.template(join(join(at, "json"), name), r.JSON[name])
	}
	f.statuses(join(at, "gone"), r.Gone)
	f.success(join(at, "success"), r.Success)
}

// checkRequestHeaders finds headers whose values nobody provides.
func (f *file) checkRequestHeaders(p *Provider, m *Method, at string) {
	known := m.fieldNames()
	if p.Verify != nil {
		known = append(known, sortedKeys(p.Verify.Values)...)
	}
	for _, name := range sortedKeys(p.RequestHeaders) {
		for _, value := range p.RequestHeaders[name].names() {
			if !slices.Contains(known, value) {
				f.fault(join("request_headers", name), "names {%s}, which %s does not have", value, at)
			}
		}
	}
}

// signingAlgorithms are the ones that can be pinned: asymmetric, all of them.
func signingAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// isOwnParameter knows the parameters of an authorization request that are
// never a file's to set.
func isOwnParameter(name string) bool {
	switch name {
	case "client_id", "client_secret", "code_challenge", "code_challenge_method", "nonce", "redirect_uri",
		"response_mode", "response_type", "scope", "state", "request", "request_uri":
		return true
	}
	return false
}

// validScope is RFC 6749 section 3.3, and the slash-separated and URL-like
// scopes that fit it.
func validScope(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return false
		}
	}
	return true
}

func validResponseMode(m ResponseMode) bool {
	return slices.Contains([]ResponseMode{"", ModeQuery, ModeFragment, ModeFormPost}, m)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
