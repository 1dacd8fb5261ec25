package connect

import (
	"cmp"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// input is one line of a form: a field or a checkbox.
type input struct {
	Field *web.Field
	Check *web.Checkbox
}

// link is the error of an input as a link to it; ok is false without one.
func (i input) link() (l web.Link, ok bool) {
	if c := i.Check; c != nil {
		return web.Link{Href: "#" + c.ID(), Text: c.Label + ": " + c.Error}, c.Error != ""
	}
	f := i.Field
	return web.Link{Href: "#" + f.ID(), Text: f.Label + ": " + f.Error}, f.Error != ""
}

// ticked is the value that a checkbox of ours sends.
const ticked = "true"

// readForm reads the fields of a method, byte by byte as they were typed. What
// cannot be a value of any field is refused by the field's name; the form is
// there all the same, to be shown again.
func readForm(c echo.Context, m *providers.Method) (url.Values, error) {
	form, err := httpd.Form(c)
	if err != nil {
		if fields := unfit(m, c.Request().PostForm); fields != nil {
			return c.Request().PostForm, fault.InvalidFields(fields...)
		}
		return nil, err
	}
	var fields []fault.Field
	for i := range m.Fields {
		if name := m.Fields[i].Name; len(form[name]) > 1 {
			fields = append(fields, fault.Field{Pointer: name, Detail: "This is there twice."})
		}
	}
	if fields != nil {
		return form, fault.InvalidFields(fields...)
	}
	return form, nil
}

func unfit(m *providers.Method, form url.Values) []fault.Field {
	var fields []fault.Field
	for i := range m.Fields {
		name := m.Fields[i].Name
		for _, s := range form[name] {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				fields = append(fields, fault.Field{Pointer: name, Detail: "This holds characters that cannot be used. Type it in, or copy it once more."})
				break
			}
		}
	}
	return fields
}

// credential is what was typed into the fields of a method, and nothing else
// of the form.
func credential(m *providers.Method, form url.Values) vault.Credential {
	values := vault.Credential{}
	for i := range m.Fields {
		if s := form.Get(m.Fields[i].Name); s != "" {
			values[m.Fields[i].Name] = vault.NewSecret(s)
		}
	}
	return values
}

// inputs are the fields of a method as they are drawn, with what was typed
// before, but never a secret, and with what is wrong. The cursor goes to the
// first field that has an error; without one it stays at the top of the page.
func inputs(m *providers.Method, form url.Values, faults []fault.Field) []input {
	wrong := map[string]string{}
	for _, f := range faults {
		wrong[f.Pointer] = f.Detail
	}
	var all []input
	focused := false
	for i := range m.Fields {
		f := &m.Fields[i]
		problem := wrong[f.Name]
		if f.Type == providers.FieldCheckbox {
			all = append(all, input{Check: &web.Checkbox{
				Name: f.Name, Value: ticked, Label: f.Label, Help: f.Help, Error: problem,
				Checked: form.Get(f.Name) != "",
			}})
			continue
		}
		field := draw(f)
		field.Error = problem
		field.Autofocus = problem != "" && !focused
		focused = focused || field.Autofocus
		if !f.IsSecret() && utf8.ValidString(form.Get(f.Name)) {
			field.Value = form.Get(f.Name)
		}
		all = append(all, input{Field: &field})
	}
	return all
}

// draw is a field of a provider file as an input. It has no maxlength: a
// browser cuts off what is pasted in silence, and half a token is a riddle.
func draw(f *providers.Field) web.Field {
	field := web.Field{
		Name: f.Name, Label: f.Label, Help: f.Help, Placeholder: f.Placeholder,
		Required: f.Required, Autocomplete: f.Autocomplete,
	}
	switch f.Type {
	case providers.FieldEmail:
		// Not type=email: it trims what was typed, and its bubbles speak the
		// browser's language instead of the page's.
		field.InputMode = "email"
		field.Autocomplete = cmp.Or(field.Autocomplete, "username")
	case providers.FieldPassword:
		field.Type = "password"
	case providers.FieldToken:
		field.Type, field.Code = "password", true
	case providers.FieldDate:
		field.Type = "date"
	case providers.FieldText, providers.FieldCheckbox:
	}
	if f.IsSecret() {
		field.Type = "password"
	}
	field.Autocomplete = cmp.Or(field.Autocomplete, "off")
	return field
}

// summary is the notice above a form that was not accepted. What is wrong with
// no field of it stands there as well.
func summary(all []input, f *fault.Error) web.Notice {
	n := web.Notice{Kind: web.Problem, Title: "This was not accepted"}
	for _, i := range all {
		if l, ok := i.link(); ok {
			n.Links = append(n.Links, l)
		}
	}
	if n.Links == nil {
		n.Text = f.Message
		for _, field := range f.Fields {
			n.Text = field.Detail
		}
	}
	return n
}

// guide is the way to what the form asks for, nil where the file has none.
func guide(m *providers.Method) *web.Guide {
	if len(m.Guide) == 0 {
		return nil
	}
	g := &web.Guide{Title: "Where to find it"}
	if len(m.Guide) == 1 {
		g.Title = "Before you begin"
	}
	for _, s := range m.Guide {
		step := web.Step{Text: s.Text}
		if s.Link != "" {
			step.Link = web.Link{Href: s.Link, Text: shortURL(s.Link)}
		}
		g.Steps = append(g.Steps, step)
	}
	return g
}

// shortURL is a URL as people say it: track.toggl.com/profile.
func shortURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return raw
	}
	return strings.TrimSuffix(strings.TrimPrefix(u.Host, "www.")+u.Path, "/")
}
