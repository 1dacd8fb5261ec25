package admin

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// apiKeyForm is what an admin decides about an API key.
type apiKeyForm struct {
	Name web.Field
	// Scopes are grouped by resource, with a box for each verb.
	Scopes       []web.CheckGroup
	ScopesError  string
	Integrations web.CheckGroup
	Life         web.Select
	Until        web.Field
	Addresses    web.Field
	// Notices say what is wrong.
	Notices []web.Notice

	asked []vault.Scope
}

// The form's fields, named as in the JSON of a key where they are in it.
const (
	fieldName         = "name"
	fieldScope        = "scopes"
	fieldIntegrations = "integrations"
	fieldAddresses    = "addresses"
	fieldLife         = "life"
	fieldUntil        = "until"
)

// The lives of a key on offer.
const (
	lifeKept  = "kept" // as it is
	lifeNever = "never"
	lifeMonth = "30"
	lifeThree = "90"
	lifeYear  = "365"
	lifeDate  = "date"
)

// scopeGroups are the scopes by resource, in the order in which people need them.
var scopeGroups = [...]struct {
	name, legend string
	scopes       []scopeMeaning
}{
	{"credentials", "Headers", []scopeMeaning{
		{vault.ScopeCredentialsRead, "Read", "Fetch headers, refresh them, report that a provider refuses them."},
		{vault.ScopeCredentialsReadRaw, "Read raw", "Read the credential itself, refresh token included. Few backends need it."},
	}},
	{"connect", "Connect links", []scopeMeaning{
		{vault.ScopeConnectWrite, "Write", "Make links for end users, and redeem what they linked."},
	}},
	{"connections", "Connections", []scopeMeaning{
		{vault.ScopeConnectionsRead, "Read", "List them and see them, without secrets."},
		{vault.ScopeConnectionsWrite, "Write", "Import them, and change tags and metadata."},
		{vault.ScopeConnectionsRevoke, "Revoke", "End them."},
	}},
	{"integrations", "Integrations", []scopeMeaning{
		{vault.ScopeProvidersRead, "Read the catalog", "See which providers there are."},
		{vault.ScopeIntegrationsRead, "Read", "See what is set up, without secrets."},
		{vault.ScopeIntegrationsWrite, "Write", "Set providers up and change them."},
	}},
	{"events", "Events", []scopeMeaning{
		{vault.ScopeEventsRead, "Read", "Follow what happens to connections."},
	}},
	{"environment", "The whole environment", []scopeMeaning{
		{vault.ScopeAuditRead, "Read the trail", "See who did what."},
		{vault.ScopeAPIKeysWrite, "Write API keys", "Make, change and revoke keys, also without limits."},
	}},
}

type scopeMeaning struct {
	scope      vault.Scope
	verb, help string
}

// scopePresets are what most keys are for.
var scopePresets = [...]struct {
	name, title, text string
	scopes            []vault.Scope
}{
	{"read", "Read headers only", "For a worker that calls providers.", []vault.Scope{vault.ScopeCredentialsRead}},
	{"link", "Link and read", "For an application whose users link accounts.", []vault.Scope{
		vault.ScopeConnectWrite, vault.ScopeConnectionsRead, vault.ScopeCredentialsRead,
	}},
	{"all", "Everything", "For whoever administers the environment.", vault.AllScopes()},
}

// newAPIKeyForm shows a key that is asked for; there says that it is there, with
// an end that can be kept.
func newAPIKeyForm(n vault.NewAPIKey, integrations []vault.Integration, there bool) apiKeyForm {
	f := apiKeyForm{
		Name: web.Field{
			Name: fieldName, Label: "Name", Value: n.Name, Required: true, MaxLength: 100, Autocomplete: "off",
			Help: "What it is for: the service that will hold it.",
		},
		Integrations: web.CheckGroup{
			Name: fieldIntegrations, Legend: "Only these integrations",
			Help: "Whatever belongs to others is not there for the key. Without a tick there is no limit.",
		},
		Addresses: web.Field{
			Name: fieldAddresses, Label: "Only from these addresses", Type: "textarea", Code: true, Autocomplete: "off",
			Value: strings.Join(n.Addresses, "\n"), Placeholder: "10.20.0.0/16",
			Help: "Addresses or CIDRs, one a line, IPv4 or IPv6. From elsewhere the key is refused like an unknown one.",
		},
	}
	for _, g := range scopeGroups {
		group := web.CheckGroup{Name: g.name, Legend: g.legend}
		for _, s := range g.scopes {
			group.Boxes = append(group.Boxes, web.Checkbox{
				Name: fieldScope, Value: string(s.scope), Label: s.verb, Help: s.help, Checked: slices.Contains(n.Scopes, s.scope),
			})
		}
		f.Scopes = append(f.Scopes, group)
	}
	for _, key := range integrationKeys(integrations, n.Integrations) {
		f.Integrations.Boxes = append(f.Integrations.Boxes, web.Checkbox{
			Name: fieldIntegrations, Value: key, Label: key, Checked: slices.Contains(n.Integrations, key),
		})
	}
	f.Life, f.Until = lifeFields(n.ExpiresAt, there)
	return f
}

// integrationKeys are the keys of those there are, and of those that are gone
// and named all the same.
func integrationKeys(there []vault.Integration, named []string) []string {
	keys := slices.Clone(named)
	for _, in := range there {
		keys = append(keys, in.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// lifeFields ask for the end of a key.
func lifeFields(end time.Time, there bool) (web.Select, web.Field) {
	life := web.Select{Name: fieldLife, Label: "Ends", Value: lifeThree, Options: []web.Option{
		{Value: lifeMonth, Label: "In 30 days"},
		{Value: lifeThree, Label: "In 90 days"},
		{Value: lifeYear, Label: "In a year"},
		{Value: lifeDate, Label: "At the end of a day, UTC"},
		{Value: lifeNever, Label: "Never"},
	}}
	if there {
		kept := web.Option{Value: lifeKept, Label: "As it is: never"}
		if !end.IsZero() {
			kept.Label = "As it is: " + end.UTC().Format("2 January 2006 at 15:04 UTC")
		}
		life.Value, life.Options = lifeKept, slices.Insert(life.Options, 0, kept)
	}
	return life, web.Field{Name: fieldUntil, Label: "That day", Type: "date", Autocomplete: "off"}
}

// read takes what was typed, so that none of it is lost, and answers it as it is
// asked for; the end is nil where it is kept.
func (f *apiKeyForm) read(form url.Values, now time.Time) (vault.NewAPIKey, *time.Time) {
	f.Name.Value = strings.TrimSpace(form.Get(fieldName))
	f.Addresses.Value = strings.TrimSpace(form.Get(fieldAddresses))
	n := vault.NewAPIKey{Name: f.Name.Value, Addresses: words(f.Addresses.Value)}
	for i := range f.Scopes {
		n.Scopes = append(n.Scopes, toScopes(ticked(&f.Scopes[i], form[fieldScope]))...)
	}
	f.asked = n.Scopes
	for _, key := range form[fieldIntegrations] {
		// One that is gone since the form was shown is a mistake to be told of: to
		// drop it would make a limit wider, or none.
		if !slices.ContainsFunc(f.Integrations.Boxes, func(b web.Checkbox) bool { return b.Value == key }) {
			f.Integrations.Boxes = append(f.Integrations.Boxes, web.Checkbox{Name: fieldIntegrations, Value: key, Label: key})
		}
	}
	n.Integrations = ticked(&f.Integrations, form[fieldIntegrations])
	end := readLife(form, now, &f.Life, &f.Until)
	if end != nil {
		n.ExpiresAt = *end
	}
	return n, end
}

// ticked are the values of a group's boxes that were ticked, in its order.
func ticked(g *web.CheckGroup, values []string) []string {
	var chosen []string
	for i := range g.Boxes {
		b := &g.Boxes[i]
		if b.Checked = slices.Contains(values, b.Value); b.Checked {
			chosen = append(chosen, b.Value)
		}
	}
	return chosen
}

func toScopes(words []string) []vault.Scope {
	scopes := make([]vault.Scope, len(words))
	for i, w := range words {
		scopes[i] = vault.Scope(w)
	}
	return scopes
}

// readLife reads the end that was chosen, zero for never; nil where it is kept,
// or not readable, which is in a field's error then.
func readLife(form url.Values, now time.Time, life *web.Select, until *web.Field) *time.Time {
	until.Value = form.Get(fieldUntil)
	if len(until.Value) > maxParam {
		until.Value = ""
	}
	chosen := form.Get(fieldLife)
	if !slices.ContainsFunc(life.Options, func(o web.Option) bool { return o.Value == chosen }) {
		life.Error = "Choose when it ends."
		return nil
	}
	life.Value = chosen
	end := now.UTC()
	switch chosen {
	case lifeKept:
		return nil
	case lifeNever:
		return &time.Time{}
	case lifeMonth:
		end = end.AddDate(0, 0, 30)
	case lifeThree:
		end = end.AddDate(0, 0, 90)
	case lifeYear:
		end = end.AddDate(1, 0, 0)
	case lifeDate:
		day, err := time.Parse(time.DateOnly, until.Value)
		if err != nil {
			until.Error = "Choose a day, such as 2030-12-31."
			return nil
		}
		end = day.AddDate(0, 0, 1)
	}
	return &end
}

// unread is the fault of a form of which something could not be read, with
// whatever else is wrong, all at once; nil where all could be.
func (f *apiKeyForm) unread(wrong error) error {
	if f.Life.Error == "" && f.Until.Error == "" {
		return nil
	}
	if wrong == nil {
		return fault.InvalidFields()
	}
	return wrong
}

// blames puts an error of the vault into the form, if it is about the form.
func (f *apiKeyForm) blames(err error) bool {
	e, ok := fault.As(err)
	if !ok || e.Kind != fault.Invalid {
		return false
	}
	f.blame(e)
	return true
}

// keep offers the end that a key has by now.
func (f *apiKeyForm) keep(as web.Option) { f.Life.Options[0] = as }

// settings are what the form says, for people to compare.
func (f *apiKeyForm) settings() []setting {
	const none = "no limit"
	end := f.Life.Value
	for _, o := range f.Life.Options {
		if o.Value == f.Life.Value {
			end = o.Label
		}
	}
	if f.Life.Value == lifeDate {
		end = f.Until.Value
	}
	addresses := strings.Join(words(f.Addresses.Value), ", ")
	if addresses == "" {
		addresses = none
	}
	return []setting{
		{f.Name.Label, f.Name.Value},
		{"May", chosen(boxValue, "", f.Scopes...)},
		{f.Integrations.Legend, chosen(boxValue, none, f.Integrations)},
		{f.Life.Label, end},
		{f.Addresses.Label, addresses},
	}
}

// blame puts what is wrong beside the fields, by the pointers of a fault into
// the JSON of a key, and a summary above.
func (f *apiKeyForm) blame(e *fault.Error) {
	var rest []string
	for _, x := range e.Fields {
		name, at, _ := strings.Cut(strings.TrimPrefix(x.Pointer, "/"), "/")
		switch name {
		case fieldName:
			f.Name.Error = join(f.Name.Error, x.Detail)
		case fieldScope:
			if i, err := strconv.Atoi(at); err == nil && i < len(f.asked) {
				x.Detail = string(f.asked[i]) + ": " + x.Detail
			}
			f.ScopesError = join(f.ScopesError, x.Detail)
		case fieldIntegrations:
			f.Integrations.Error = once(f.Integrations.Error, x.Detail)
		case fieldAddresses:
			f.Addresses.Error = join(f.Addresses.Error, x.Detail)
		case "expires_at":
			f.Until.Error = join(f.Until.Error, x.Detail)
		default:
			rest = append(rest, x.Detail)
		}
	}
	n := web.Notice{Kind: web.Problem, Title: "Nothing was saved yet", Text: strings.Join(rest, " ")}
	for _, x := range []struct{ id, label, wrong string }{
		{f.Name.ID(), f.Name.Label, f.Name.Error},
		{"f-" + fieldScope, "What it may do", f.ScopesError},
		{f.Integrations.ID(), f.Integrations.Legend, f.Integrations.Error},
		{f.Life.ID(), f.Life.Label, f.Life.Error},
		{f.Until.ID(), f.Until.Label, f.Until.Error},
		{f.Addresses.ID(), f.Addresses.Label, f.Addresses.Error},
	} {
		if x.wrong != "" {
			n.Links = append(n.Links, web.Link{Href: "#" + x.id, Text: x.label + ": " + x.wrong})
		}
	}
	f.Notices = []web.Notice{n}
}

// once adds a sentence that is not there yet: of several boxes the same may be
// wrong.
func once(text, more string) string {
	if strings.Contains(text, more) {
		return text
	}
	return join(text, more)
}
