package providers

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/claviger/claviger/internal/providers/outbound"
)

// check looks for sense in a file that was decoded without a fault. It goes
// on after a fault: an author wants to see all of them.
func (f *file) check(p *Provider) {
	f.identifier("name", p.Name)
	f.text("title", p.Title, true)
	f.text("description", p.Description, false)
	f.text("disconnect_hint", p.DisconnectHint, false)
	f.webURL("website", p.Website)
	f.webURL("docs", p.Docs)
	f.endpoint("base_url", p.BaseURL, false)
	if strings.HasSuffix(p.BaseURL, "/") {
		f.fault("base_url", "must not end with a slash")
	}
	f.hosts("allowed_hosts", p.AllowedHosts, false)
	for _, name := range sortedKeys(p.RequestHeaders) {
		at := join("request_headers", name)
		f.header(at, name)
		f.template(at, p.RequestHeaders[name])
	}
	if p.Verify != nil {
		f.checkVerify(p)
	}
	if p.Resolve != nil {
		f.checkResolve(p)
	}
	f.checkVerifyEvery(p)
	f.steps("setup", p.Setup)
	if len(p.Methods) == 0 {
		f.fault("methods", "must list at least one method")
	}
	seen, recommended := map[string]bool{}, 0
	for i := range p.Methods {
		at := fmt.Sprintf("methods[%d]", i)
		m := &p.Methods[i]
		if seen[m.Name] {
			f.fault(join(at, "name"), "%q is the name of a method above", m.Name)
		}
		seen[m.Name] = true
		if m.Recommended {
			recommended++
		}
		if recommended > 1 && m.Recommended {
			f.fault(join(at, "recommended"), "another method is recommended already")
		}
		f.checkMethod(p, m, at)
	}
}

func (f *file) checkVerify(p *Provider) {
	v := p.Verify
	if !slices.Contains([]string{"", http.MethodGet, http.MethodPost}, v.Method) {
		f.fault("verify.method", "must be GET or POST")
	}
	f.oneOf("verify", "path", v.Path, "url", v.URL)
	f.path("verify.path", v.Path)
	f.endpoint("verify.url", v.URL, false)
	if v.Path != "" && p.BaseURL == "" && p.Resolve == nil {
		f.fault("verify.path", "needs a base_url to follow")
	}
	f.statuses("verify.refused", v.Refused)
	f.success("verify.success", v.Success)
	f.account("verify.account", v.Account)
	for _, name := range sortedKeys(v.Values) {
		at := join("verify.values", name)
		f.identifier(at, name)
		f.paths(at, v.Values[name], true)
	}
}

func (f *file) checkResolve(p *Provider) {
	r := p.Resolve
	f.oneOf("resolve", "path", r.Path, "url", r.URL)
	f.path("resolve.path", r.Path)
	f.endpoint("resolve.url", r.URL, false)
	f.paths("resolve.field", r.Field, true)
	f.statuses("resolve.refused", r.Refused)
	if len(p.AllowedHosts) == 0 {
		f.fault("resolve", "needs allowed_hosts: an answer must not choose just any host")
	}
	if p.BaseURL != "" {
		f.fault("base_url", "the API root comes from resolve; there cannot be both")
	}
	if r.Path != "" && p.issuer() == "" {
		f.fault("resolve.path", "follows the issuer, and no method has one")
	}
}

// issuer is the first one that a method names.
func (p *Provider) issuer() string {
	for i := range p.Methods {
		if o := p.Methods[i].OAuth; o != nil && o.Issuer != "" {
			return o.Issuer
		}
	}
	return ""
}

// The checks of single values.

var nameForm = regexp.MustCompile(`^` + namePattern + `$`)

func (f *file) identifier(path, s string) {
	if !nameForm.MatchString(s) {
		f.fault(path, "must be a name: lower-case letters, digits and underscores, at most 64, a letter first")
	}
}

// text is a line or two for people.
func (f *file) text(path, s string, required bool) {
	switch {
	case required && strings.TrimSpace(s) == "":
		f.fault(path, "is missing")
	case len(s) > 1000:
		f.fault(path, "is longer than 1000 bytes")
	case s != strings.TrimSpace(s):
		f.fault(path, "has white space around it")
	}
}

// steps is a guide for people.
func (f *file) steps(path string, steps []Step) {
	for i, step := range steps {
		at := fmt.Sprintf("%s[%d]", path, i)
		f.text(join(at, "text"), step.Text, true)
		f.webURL(join(at, "link"), step.Link)
	}
}

// webURL is a link for people; empty is none.
func (f *file) webURL(path, s string) {
	if s == "" {
		return
	}
	if u, err := url.Parse(s); err != nil || !strings.HasPrefix(s, "https://") || u.Host == "" || u.User != nil || !isVisible(s) || len(s) > 2048 {
		f.fault(path, "must be an https URL")
	}
}

// endpoint is where a credential will be sent. A file has no use for plain
// http: an integration that wants it, for a test, overrides the URL.
func (f *file) endpoint(path, s string, required bool) {
	if s == "" {
		if required {
			f.fault(path, "is missing")
		}
		return
	}
	u, err := url.Parse(s)
	if err != nil || !strings.HasPrefix(s, "https://") || u.Host == "" || strings.ContainsAny(s, "@?#") || !isVisible(s) || len(s) > 2048 {
		f.fault(path, "must be an https URL without user name, query and fragment")
	}
}

func (f *file) path(path, s string) {
	if s == "" {
		return
	}
	if _, err := url.Parse(s); err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsAny(s, "?#") || !isVisible(s) {
		f.fault(path, "must begin with one slash and have no query")
	}
}

// isVisible is ASCII without the space.
func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (f *file) oneOf(path, a, av, b, bv string) {
	if (av == "") == (bv == "") {
		f.fault(path, "needs either %s or %s", a, b)
	}
}

func (f *file) paths(path string, p Paths, required bool) {
	if required && len(p) == 0 {
		f.fault(path, "needs at least one path")
	}
	for i, s := range p {
		if err := checkPath(s); err != nil {
			f.fault(fmt.Sprintf("%s[%d]", path, i), "%v", err)
		}
	}
}

func (f *file) account(path string, a Account) {
	f.paths(join(path, "id"), a.ID, true)
	f.paths(join(path, "label"), a.Label, false)
}

func (f *file) statuses(path string, refused []int) {
	for i, s := range refused {
		if s < 400 || s > 499 || s == http.StatusTooManyRequests {
			f.fault(fmt.Sprintf("%s[%d]", path, i), "must be a status from 400 to 499 that says no; 429 says later")
		}
	}
}

func (f *file) success(path string, s *Success) {
	if s == nil {
		return
	}
	f.paths(join(path, "field"), Paths{s.Field}, true)
	if s.Error != "" {
		f.paths(join(path, "error"), Paths{s.Error}, true)
	} else if len(s.Refused) > 0 {
		f.fault(join(path, "refused"), "needs error, to be compared with")
	}
}

func (f *file) hosts(path string, patterns []string, anyHost bool) {
	for i, p := range patterns {
		if anyHost && p == "*" {
			continue
		}
		if !validHostPattern(p) {
			f.fault(fmt.Sprintf("%s[%d]", path, i), "must be a host such as api.example.com, or *.example.com for all below it")
		}
	}
}

// validHostPattern reports whether [outbound.HostAllowed] can make anything
// of a pattern, and whether it leaves something to be excluded.
func validHostPattern(p string) bool {
	name, below := strings.CutPrefix(p, "*.")
	if !outbound.HostAllowed(name, []string{name}) {
		return false
	}
	return !below || strings.Contains(name, ".") // not *.com
}

func (f *file) header(path, name string) {
	switch {
	case !httpguts.ValidHeaderFieldName(name):
		f.fault(path, "is not the name of a header")
	case isHopHeader(http.CanonicalHeaderKey(name)):
		f.fault(path, "is a header that belongs to the connection, not to the credential")
	}
}

// isHopHeader knows the headers that whoever makes the request decides on.
func isHopHeader(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func (f *file) template(path string, t Template) {
	if err := t.check(); err != nil {
		f.fault(path, "%v", err)
	}
	if t == "" {
		f.fault(path, "is empty")
	}
}
