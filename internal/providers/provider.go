package providers

// Provider is a service that people link, as its file in the catalog says.
type Provider struct {
	// Name is the key of the catalog and the file's name without ".yaml".
	Name        string `yaml:"name"`
	Title       string `yaml:"title"`
	Description string `yaml:"description"`
	Website     string `yaml:"website"`
	Docs        string `yaml:"docs"`
	// BaseURL is the root of the API, without a slash at the end. Empty where
	// it differs by account (see Resolve) or is the integration's to say.
	BaseURL string `yaml:"base_url"`
	// RequestHeaders go on every request to the provider: on ours, and among
	// the headers handed out. A value may name values of the credential, as
	// in "{account_id}".
	RequestHeaders map[string]Template `yaml:"request_headers"`
	// AllowedHosts are the hosts that an API root learnt from the provider may
	// be on: "api.example.com", or "*.example.com" for any host below it.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// Verify asks the provider whether a credential works, and whose it is.
	Verify *Verify `yaml:"verify"`
	// Resolve asks the provider where this account's API is.
	Resolve *Resolve `yaml:"resolve"`
	// VerifyEvery is how often a credential that has no end is verified; a day
	// where the file says nothing.
	VerifyEvery Every `yaml:"verify_every"`
	// DisconnectHint says how an end user takes the access back by hand. It is
	// shown where the provider cannot be told.
	DisconnectHint string `yaml:"disconnect_hint"`
	// Setup is what an admin does at the provider before the integration works:
	// where to register, what to paste, where the client id comes from.
	Setup   []Step   `yaml:"setup"`
	Methods []Method `yaml:"methods"`
}

// Method finds a method by name.
func (p *Provider) Method(name string) (*Method, bool) {
	for i := range p.Methods {
		if p.Methods[i].Name == name {
			return &p.Methods[i], true
		}
	}
	return nil, false
}

// Scheme is the behaviour behind a method.
type Scheme string

// The schemes.
const (
	SchemeBasic             Scheme = "basic"
	SchemeToken             Scheme = "token"
	SchemeExchange          Scheme = "exchange"
	SchemeSessionCookie     Scheme = "session_cookie"
	SchemeOAuth2Code        Scheme = "oauth2_code"
	SchemeClientCredentials Scheme = "oauth2_client_credentials"
	SchemeOIDCHybrid        Scheme = "oidc_hybrid"
)

// Method is one way to authenticate at a provider.
type Method struct {
	Name        string `yaml:"name"`
	Title       string `yaml:"title"`
	Description string `yaml:"description"`
	Scheme      Scheme `yaml:"scheme"`
	// Recommended is true for at most one method of a provider.
	Recommended bool    `yaml:"recommended"`
	Fields      []Field `yaml:"fields"`
	// Guide is the way to the values that the form asks for.
	Guide []Step `yaml:"guide"`
	// DisconnectHint takes the place of the provider's.
	DisconnectHint string `yaml:"disconnect_hint"`

	// The settings of the scheme; which ones are there follows from it.

	Basic         *Basic         `yaml:"basic"`
	Token         *Token         `yaml:"token"`
	Exchange      *Exchange      `yaml:"exchange"`
	SessionCookie *SessionCookie `yaml:"session_cookie"`
	OAuth         *OAuth         `yaml:"oauth"`
}

// Redirects reports whether the method sends the browser to the provider: its
// way is [Service.Begin] and [Service.Complete], not [Service.Submit].
func (m *Method) Redirects() bool {
	return m.Scheme == SchemeOAuth2Code || m.Scheme == SchemeOIDCHybrid
}

// Field finds a field by name.
func (m *Method) Field(name string) (*Field, bool) {
	for i := range m.Fields {
		if m.Fields[i].Name == name {
			return &m.Fields[i], true
		}
	}
	return nil, false
}

// FieldType says how a field is asked for and checked.
type FieldType string

// The field types.
const (
	FieldText     FieldType = "text"
	FieldEmail    FieldType = "email"
	FieldPassword FieldType = "password"
	// FieldToken is something copied from somewhere: white space around it,
	// line ends included, comes from the clipboard and is cut off. No other
	// type is trimmed.
	FieldToken FieldType = "token"
	// FieldDate is a day as YYYY-MM-DD, today or later.
	FieldDate     FieldType = "date"
	FieldCheckbox FieldType = "checkbox" // "true" where it is ticked
)

// Field is one value that a form asks for, or an import brings.
type Field struct {
	Name  string    `yaml:"name"`
	Label string    `yaml:"label"`
	Type  FieldType `yaml:"type"`
	// Secret values are hidden while typed and never shown again. Passwords and
	// tokens are secret whatever the file says.
	Secret       bool   `yaml:"secret"`
	Required     bool   `yaml:"required"`
	Help         string `yaml:"help"`
	Placeholder  string `yaml:"placeholder"`
	Autocomplete string `yaml:"autocomplete"`
	// Pattern is a regular expression (RE2) that the whole value has to match.
	Pattern string `yaml:"pattern"`
	// MaxLength is in bytes; 0 means [DefaultMaxLength].
	MaxLength int `yaml:"max_length"`
	// Reserved is a value that means something else at the provider.
	Reserved *Reserved `yaml:"reserved"`
}

// DefaultMaxLength is the most bytes a field takes where its file says nothing.
const DefaultMaxLength = 1024

// Limit is the most bytes the field takes.
func (f *Field) Limit() int {
	if f.MaxLength > 0 {
		return f.MaxLength
	}
	return DefaultMaxLength
}

// IsSecret reports whether the value is hidden.
func (f *Field) IsSecret() bool {
	return f.Secret || f.Type == FieldPassword || f.Type == FieldToken
}

// Reserved is a value that a field does not take, and the sentence that says why.
type Reserved struct {
	Value   string `yaml:"value"`
	Message string `yaml:"message"`
}

// Step is one step of a guide: plain text, and where it leads.
type Step struct {
	Text string `yaml:"text"`
	Link string `yaml:"link"`
}

// Verify is a call that tells whether a credential works, and whose it is.
type Verify struct {
	// Method is GET where the file says nothing.
	Method string `yaml:"method"`
	// Path is put after the base URL; URL is used as it is. One of the two.
	Path string `yaml:"path"`
	URL  string `yaml:"url"`
	// Refused are the statuses that mean that the credential is not accepted;
	// 401 where the file says nothing.
	Refused []int `yaml:"refused"`
	// Success is for services that answer 200 to everything.
	Success *Success `yaml:"success"`
	Account Account  `yaml:"account"`
	// Values are taken from the answer into the credential, by name.
	Values map[string]Paths `yaml:"values"`
	// IgnoreCase lets the paths find members whatever their case.
	IgnoreCase bool `yaml:"ignore_case"`
}

// Success says how a body of status 200 tells yes from no.
type Success struct {
	// Field has to be true.
	Field string `yaml:"field"`
	// Error holds the reason otherwise.
	Error string `yaml:"error"`
	// Refused are the reasons that mean that the credential is not accepted.
	Refused []string `yaml:"refused"`
}

// Account says where an answer names the account.
type Account struct {
	ID    Paths `yaml:"id"`
	Label Paths `yaml:"label"`
}

// Resolve is a call that answers the API root of the account. It is made with
// the headers of the credential and so verifies it as well.
type Resolve struct {
	// Path is put after the issuer; URL is used as it is. One of the two.
	Path    string `yaml:"path"`
	URL     string `yaml:"url"`
	Field   Paths  `yaml:"field"`
	Refused []int  `yaml:"refused"` // 401 where the file says nothing
}

// Basic is the settings of scheme basic. An import may bring "username" and
// "password" themselves; they are then used as they are.
type Basic struct {
	Username Template `yaml:"username"`
	Password Template `yaml:"password"`
}

// Token is the settings of scheme token, and the second half of exchange.
type Token struct {
	Header string   `yaml:"header"`
	Value  Template `yaml:"value"`
	// Expires is the date field with the last day of the token, if any.
	Expires string `yaml:"expires"`
}

// Exchange is the settings of scheme exchange: one request with Basic
// authentication, whose answer carries the token. What the user typed is
// forgotten after it; the token is kept as "token".
type Exchange struct {
	Path     string   `yaml:"path"`
	Username Template `yaml:"username"`
	Password Template `yaml:"password"`
	// Token is where the answer may carry it; the first one found counts.
	Token      Paths `yaml:"token"`
	IgnoreCase bool  `yaml:"ignore_case"`
	Refused    []int `yaml:"refused"` // 401 where the file says nothing
}

// SessionCookie is the settings of scheme session_cookie: a POST of a JSON
// object that is answered with a cookie, and a DELETE that ends it.
type SessionCookie struct {
	URL  string              `yaml:"url"`
	Body map[string]Template `yaml:"body"`
	// Cookies are the names it may have; the first one found counts.
	Cookies []string `yaml:"cookies"`
	Refused []int    `yaml:"refused"` // 401 where the file says nothing
	// Keep is the checkbox by which the user lets us keep what they typed, so
	// that the session can be renewed.
	Keep string `yaml:"keep"`
	// Delete says that DELETE at the same URL ends the session.
	Delete bool `yaml:"delete"`
}
