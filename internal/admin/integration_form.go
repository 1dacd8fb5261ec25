package admin

import (
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// integrationForm is what an admin decides about an integration.
type integrationForm struct {
	Names []web.Field // title, and the key of a new one
	// Client is client id, scopes and, for a new one, client secret; none where no
	// method has a use for them.
	Client  []web.Field
	Methods web.CheckGroup
	// Other is where else the service may be, for those who need it.
	Other     []web.Field
	OtherHelp string
	OtherOpen bool
	// Notices say what is wrong.
	Notices []web.Notice
}

// The form's fields, named as in the JSON of an integration.
const (
	fieldTitle  = "title"
	fieldKey    = "key"
	fieldID     = "client_id"
	fieldSecret = "client_secret"
	fieldScopes = "scopes"
	fieldMethod = "methods"
	fieldHosts  = "allowed_hosts"
)

// fields are all inputs in the order of the page.
func (f *integrationForm) fields() []*web.Field {
	var all []*web.Field
	for _, part := range [][]web.Field{f.Names, f.Client, f.Other} {
		for i := range part {
			all = append(all, &part[i])
		}
	}
	return all
}

// newIntegrationForm shows an integration of a provider; one without an id is new.
func newIntegrationForm(p *providers.Provider, in vault.Integration) integrationForm {
	fresh := in.ID == ""
	f := integrationForm{
		Names: []web.Field{{
			Name: fieldTitle, Label: "Title", Value: in.Title, MaxLength: 100, Autocomplete: "off", Placeholder: p.Title,
			Help: "What end users read. Without one they read " + p.Title + ".",
		}},
		Methods: methodBoxes(p, in.Methods),
	}
	if fresh {
		f.Names = append(f.Names, web.Field{
			Name: fieldKey, Label: "Key", Value: in.Key, Required: true, MaxLength: 64, Code: true, Autocomplete: "off",
			Help: "What backends call it, unique in this environment. It cannot be changed later.",
		})
	}
	asks := slices.ContainsFunc(p.Methods, func(m providers.Method) bool { return needsClient(&m) })
	if asks {
		f.Client = append(f.Client, web.Field{
			Name: fieldID, Label: "Client id", Value: in.ClientID, Code: true, MaxLength: 1024, Autocomplete: "off", Help: clientHelp(p),
		})
		if fresh {
			f.Client = append(f.Client, web.Field{
				Name: fieldSecret, Label: "Client secret", Type: "password", Code: true, MaxLength: 4096, Autocomplete: "new-password",
				Help: "It is encrypted, and never shown again.",
			})
		}
	}
	if slices.ContainsFunc(p.Methods, func(m providers.Method) bool { return m.OAuth != nil }) {
		f.Client = append(f.Client, web.Field{
			Name: fieldScopes, Label: "Scopes", Value: strings.Join(in.Scopes, " "), Code: true, MaxLength: 4096, Autocomplete: "off",
			Help: scopesHelp(p),
		})
	}
	f.Other = overrideFields(p, in.Overrides)
	if asks && !fresh && in.HasClientSecret {
		f.Other = append(f.Other, web.Field{
			Name: fieldSecret, Label: "Client secret, if you change an address", Type: "password", Code: true, MaxLength: 4096,
			Autocomplete: "new-password", Help: "It is sent to the new address, so you have to know it.",
		})
	}
	f.OtherHelp = "Only for another instance of the service than the usual one: staging, a tenant's own host. What is left empty is as in the provider file."
	if placeless(p) {
		f.OtherHelp = "Where the service is: the provider file does not say."
	}
	f.OtherOpen = placeless(p) || len(overridden(in.Overrides)) > 0
	return f
}

func clientHelp(p *providers.Provider) string {
	var need []string
	for i := range p.Methods {
		if m := &p.Methods[i]; needsClient(m) {
			need = append(need, "“"+m.Title+"”")
		}
	}
	if len(need) == len(p.Methods) {
		return "You get it from " + p.Title + " with the client secret."
	}
	return "You get it from " + p.Title + " with the client secret. Only needed for " + strings.Join(need, " and ") + "."
}

func scopesHelp(p *providers.Provider) string {
	help := "With spaces between them."
	for i := range p.Methods {
		if o := p.Methods[i].OAuth; o != nil && len(o.Scopes) > 0 {
			return help + " Left empty, these are asked for: " + strings.Join(o.Scopes, " ")
		}
	}
	return help + " Left empty, none are asked for."
}

// methodBoxes are the methods in the order in which they are offered, then the
// rest of the file's. No chosen ones are all.
func methodBoxes(p *providers.Provider, chosen []string) web.CheckGroup {
	g := web.CheckGroup{Name: fieldMethod, Legend: "Ways to link", Help: "What end users may choose from, in this order."}
	add := func(m *providers.Method, checked bool) {
		g.Boxes = append(g.Boxes, web.Checkbox{Name: fieldMethod, Value: m.Name, Label: m.Title, Help: m.Description, Checked: checked})
	}
	for _, name := range chosen {
		if m, ok := p.Method(name); ok {
			add(m, true)
		}
	}
	for i := range p.Methods {
		if m := &p.Methods[i]; !slices.Contains(chosen, m.Name) {
			add(m, len(chosen) == 0)
		}
	}
	return g
}

// overrideMeaning is what each override is for.
var overrideMeaning = [...]struct{ name, label, help string }{
	{"base_url", "API root", "Where the API is, such as https://api.example.com/v1."},
	{"issuer", "Issuer", "Where OpenID Connect discovery begins, exactly as the issuer writes it."},
	{"authorization_url", "Authorization endpoint", "Where end users sign in."},
	{"token_url", "Token endpoint", "Where codes and refresh tokens are sent, with the client secret."},
	{"revocation_url", "Revocation endpoint", "Where the provider is told that a credential is over (RFC 7009)."},
	{"jwks_url", "Signing keys", "The issuer's key set, to check id_tokens with."},
	{"session_url", "Sign-in address", "Where e-mail and password are traded for a session."},
	{"resolve_url", "Address of the account", "What answers where an account's API is."},
	{"response_mode", "Response mode", "How the provider's reply travels: query, fragment or form_post."},
	{fieldHosts, "Allowed hosts", "More hosts that an API root or a discovery document may name, with spaces between them."},
}

// overrideFields are the overrides that a provider has a use for, and those that
// are set.
func overrideFields(p *providers.Provider, o vault.Overrides) []web.Field {
	values := map[string]string{}
	for _, x := range overridden(o) {
		values[x.Name] = strings.TrimSpace(values[x.Name] + " " + x.Value)
	}
	useful := usefulOverrides(p)
	var fields []web.Field
	for _, x := range overrideMeaning {
		if values[x.name] == "" && !useful[x.name] {
			continue
		}
		fields = append(fields, web.Field{
			Name: x.name, Label: x.label, Help: x.help, Value: values[x.name], MaxLength: 2048, Code: true, Autocomplete: "off",
		})
	}
	return fields
}

func usefulOverrides(p *providers.Provider) map[string]bool {
	useful := map[string]bool{"base_url": true, "resolve_url": p.Resolve != nil, fieldHosts: p.Resolve != nil}
	for i := range p.Methods {
		m := &p.Methods[i]
		if m.SessionCookie != nil {
			useful["session_url"] = true
		}
		if m.OAuth == nil {
			continue
		}
		for _, name := range []string{"token_url", "revocation_url", fieldHosts} {
			useful[name] = true
		}
		if m.OAuth.Issuer != "" || placeless(p) {
			useful["issuer"] = true
		}
		if m.Redirects() {
			useful["authorization_url"], useful["response_mode"] = true, true
		}
		if m.Scheme == providers.SchemeOIDCHybrid || m.OAuth.JWKSURL != "" {
			useful["jwks_url"] = true
		}
	}
	return useful
}

// read takes what was typed into an integration, and into the form, so that none
// of it is lost; a client secret is not put back into a page.
func (f *integrationForm) read(form url.Values, p *providers.Provider, in *vault.Integration) {
	values := map[string]string{}
	for _, x := range f.fields() {
		values[x.Name] = form.Get(x.Name)
		if x.Name == fieldSecret {
			continue
		}
		values[x.Name] = strings.TrimSpace(values[x.Name])
		x.Value = values[x.Name]
	}
	in.Title = values[fieldTitle]
	if key, ok := values[fieldKey]; ok {
		in.Key = key
	}
	if id, ok := values[fieldID]; ok {
		in.ClientID = id
	}
	if scopes, ok := values[fieldScopes]; ok {
		in.Scopes = words(scopes)
	}
	if secret := values[fieldSecret]; secret != "" {
		in.ClientSecret = vault.NewSecret(secret)
	}
	in.Overrides = vault.Overrides{
		BaseURL: values["base_url"], Issuer: values["issuer"], AuthorizationURL: values["authorization_url"], TokenURL: values["token_url"],
		RevocationURL: values["revocation_url"], JWKSURL: values["jwks_url"], SessionURL: values["session_url"],
		ResolveURL: values["resolve_url"], ResponseMode: values["response_mode"], AllowedHosts: words(values[fieldHosts]),
	}
	ticked := form[fieldMethod]
	in.Methods = nil
	whole := true // all, in the order of the file: also those that it gets later
	for i := range f.Methods.Boxes {
		b := &f.Methods.Boxes[i]
		b.Checked = slices.Contains(ticked, b.Value)
		if b.Checked {
			in.Methods = append(in.Methods, b.Value)
		}
		whole = whole && b.Checked && p.Methods[i].Name == b.Value
	}
	if len(in.Methods) == 0 {
		f.Methods.Error = "Tick at least one."
	} else if whole {
		in.Methods = nil
	}
	f.OtherOpen = f.OtherOpen || len(overridden(in.Overrides)) > 0
}

// settings are what the form says, for people to compare; secrets aside.
func (f *integrationForm) settings() []setting {
	said := []setting{{f.Methods.Legend, chosen(boxLabel, "", f.Methods)}}
	for _, x := range f.fields() {
		if x.Name != fieldSecret {
			said = append(said, setting{x.Label, x.Value})
		}
	}
	return said
}

// words are the parts of a list that people type; nil for none.
func words(s string) []string {
	found := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(found) == 0 {
		return nil
	}
	return found
}

// blame puts what is wrong beside the fields, by the pointers of a fault into
// the JSON of an integration, and a summary above. What points at no field is in
// the summary alone.
func (f *integrationForm) blame(e *fault.Error, typedSecret bool) {
	var rest []string
	for _, x := range e.Fields {
		name := strings.TrimPrefix(strings.TrimPrefix(x.Pointer, "/"), "overrides/")
		name, _, _ = strings.Cut(name, "/")
		switch field := f.field(name); {
		case name == fieldMethod:
			f.Methods.Error = join(f.Methods.Error, x.Detail)
		case field != nil:
			field.Error = join(field.Error, x.Detail)
		default:
			rest = append(rest, x.Detail)
		}
	}
	if len(e.Fields) == 0 && f.Methods.Error == "" {
		rest = append(rest, e.Message)
	}
	f.summarise(strings.Join(rest, " "), typedSecret)
}

// summarise is the notice above the form, with a link to each field that is
// wrong and the cursor in the first.
func (f *integrationForm) summarise(text string, typedSecret bool) {
	n := web.Notice{Kind: web.Problem, Title: "Nothing was saved yet", Text: text}
	if f.Methods.Error != "" {
		n.Links = append(n.Links, web.Link{Href: "#" + f.Methods.ID(), Text: f.Methods.Legend + ": " + f.Methods.Error})
	}
	focused := false
	for _, x := range f.fields() {
		if x.Error == "" {
			continue
		}
		n.Links = append(n.Links, web.Link{Href: "#" + x.ID(), Text: x.Label + ": " + x.Error})
		x.Autofocus, focused = !focused, true
	}
	f.OtherOpen = f.OtherOpen || slices.ContainsFunc(f.Other, func(x web.Field) bool { return x.Error != "" })
	if typedSecret {
		n.Text = strings.TrimSpace(n.Text + " Type the client secret again: it is not kept in a page.")
	}
	f.Notices = []web.Notice{n}
}

func (f *integrationForm) field(name string) *web.Field {
	for _, x := range f.fields() {
		if x.Name == name {
			return x
		}
	}
	return nil
}

func join(a, b string) string { return strings.TrimSpace(a + " " + b) }
