package providers

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// Values that an import may bring instead of the fields of a form.
const (
	valueUsername = "username"
	valuePassword = "password"
)

// ticked is what is kept of a checkbox.
const ticked = "true"

// checkForm checks what a form or an import brings against the fields of the
// method, and gives the values back as they are used. All faults come at
// once, with field names as pointers.
func (t target) checkForm(form vault.Credential, now time.Time) (vault.Credential, error) {
	values := vault.Credential{}
	var faults []fault.Field
	for i := range t.method.Fields {
		field := &t.method.Fields[i]
		value, detail := field.clean(form.Get(field.Name), now)
		if detail != "" {
			faults = append(faults, fault.Field{Pointer: field.Name, Detail: detail})
		}
		if value != "" {
			values[field.Name] = vault.NewSecret(value)
		}
	}
	for _, name := range form.Names() {
		if _, ok := t.method.Field(name); ok {
			continue
		}
		switch value := form.Get(name); {
		case t.learnt(name) && isPlain(value):
			values[name] = form[name]
		default:
			faults = append(faults, fault.Field{Pointer: name, Detail: "This method has no such field."})
		}
	}
	if len(faults) > 0 {
		return nil, fault.InvalidFields(faults...)
	}
	return values, nil
}

// learnt reports whether a value is one that the provider tells when it is
// asked; an import that asks nobody brings it along.
func (t target) learnt(name string) bool {
	return t.provider.Verify != nil && len(t.provider.Verify.Values[name]) > 0
}

// clean gives a value as it is used, or says what is wrong with it. Details
// do not repeat the value.
func (f *Field) clean(v string, now time.Time) (value, detail string) {
	if f.Type == FieldToken {
		// What comes along from the clipboard. Nothing else is ever trimmed: a
		// space may well be part of a password.
		v = strings.TrimSpace(v)
	}
	if f.Type == FieldCheckbox {
		return cleanCheckbox(v)
	}
	switch {
	case v == "" && f.Required:
		return "", "Fill this in."
	case v == "":
		return "", ""
	case len(v) > f.Limit():
		return "", "This is too long."
	}
	if detail := unfitText(v); detail != "" {
		return "", detail
	}
	switch {
	case f.Reserved != nil && v == f.Reserved.Value:
		return "", f.Reserved.Message
	case f.Type == FieldEmail && !isEmail(v):
		return "", "This is not an e-mail address."
	case f.Type == FieldDate:
		return cleanDate(v, now)
	case !f.matches(v):
		return "", "This does not look right. Copy it once more, as a whole."
	}
	return v, ""
}

func (f *Field) matches(v string) bool {
	if f.Pattern == "" {
		return true
	}
	ok, err := regexp.MatchString(`^(?:`+f.Pattern+`)$`, v)
	return err == nil && ok // the catalog has no pattern that does not compile
}

func cleanCheckbox(v string) (value, detail string) {
	switch v {
	case "on", ticked, "1":
		return ticked, ""
	case "", "false", "0":
		return "", ""
	}
	return "", "This is either true or false."
}

// isEmail is the browser's idea of an address, roughly: the provider knows
// which ones exist.
func isEmail(v string) bool {
	i := strings.LastIndexByte(v, '@')
	return i > 0 && i < len(v)-1 && !strings.ContainsAny(v, " \t")
}

func cleanDate(v string, now time.Time) (value, detail string) {
	day, err := time.Parse(time.DateOnly, v)
	switch {
	case err != nil:
		return "", "Give the date as year, month and day: 2027-03-31."
	case endOf(day).Before(now):
		return "", "This date is in the past."
	case day.After(now.AddDate(20, 0, 0)):
		return "", "This date is too far away."
	}
	return v, ""
}

// endOf is the end of a day, UTC: the last moment of which somebody can say
// that the day is not over yet here.
func endOf(day time.Time) time.Time { return day.AddDate(0, 0, 1) }

// isVerbatim reports whether a credential is a user name and password given as
// such, where the method's own fields are called otherwise.
func (t target) isVerbatim(c vault.Credential) bool {
	if _, own := t.method.Field(valueUsername); own || c[valueUsername].IsZero() {
		return false
	}
	return !slices.ContainsFunc(c.Names(), func(n string) bool { return n != valueUsername && n != valuePassword })
}

// fieldOf is the field of the form in which a value came.
func (t target) fieldOf(name string) string {
	if _, ok := t.method.Field(name); ok {
		return name
	}
	return first(t.secretField(), name)
}

// escapePointer is RFC 6901 section 3.
func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}
