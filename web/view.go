package web

import (
	"strings"
	"time"
)

// Field is one labelled input, drawn by the partial "field". A value of a
// secret field is never put back into a page; leave Value empty.
type Field struct {
	// Name is the form field's name and, with a prefix, its element id.
	Name string
	// Label is always shown; a placeholder is not a label.
	Label string
	// Type is the input's type: text (the default), password, email, url,
	// number, date, search, or textarea.
	Type string
	// Value is what the field starts with.
	Value string
	// Help says what is wanted, before anything is wrong.
	Help string
	// Error says what is wrong and how to put it right.
	Error string
	// Autocomplete is the HTML autofill token, such as "username",
	// "current-password" or "off".
	Autocomplete string
	// InputMode asks for a keyboard on phones ("email", "numeric", "url").
	InputMode string
	// Placeholder is an example of the form wanted, for people who can see it.
	Placeholder string
	// MaxLength is in UTF-16 units, as HTML counts; 0 means no limit.
	MaxLength int
	// Required fields are marked as such; optional ones say "optional".
	Required bool
	// Autofocus puts the cursor here. One field a page; see [FocusFirstError].
	Autofocus bool
	// Code draws the value in fixed-width type: tokens, keys, URLs.
	Code bool
}

// ID is the id of the input element.
func (f Field) ID() string { return "f-" + f.Name }

// InputType is Type with its default.
func (f Field) InputType() string {
	if f.Type == "" {
		return "text"
	}
	return f.Type
}

// DescribedBy is the value of aria-describedby: the error first, then the help.
func (f Field) DescribedBy() string {
	var ids []string
	if f.Error != "" {
		ids = append(ids, f.ID()+"-error")
	}
	if f.Help != "" {
		ids = append(ids, f.ID()+"-help")
	}
	return strings.Join(ids, " ")
}

// Spellcheck is "false" for everything that is not prose, so that no browser
// sends what was typed to a spelling service.
func (f Field) Spellcheck() string {
	if f.Type == "textarea" && !f.Code {
		return "true"
	}
	return "false"
}

// FocusFirstError puts the cursor into the first field with an error, or into
// the first field where none has one.
func FocusFirstError(fields []Field) {
	at := 0
	for i := range fields {
		if fields[i].Error != "" {
			at = i
			break
		}
	}
	for i := range fields {
		fields[i].Autofocus = i == at
	}
}

// Checkbox is one yes-or-no question, drawn by the partial "checkbox".
type Checkbox struct {
	// Name is the form field's name; Value is sent when it is ticked ("on"
	// where empty).
	Name, Value string
	// Label is the question; Help and Error are as in [Field].
	Label, Help, Error string
	// Checked is the state the page starts with.
	Checked bool
}

// ID is the id of the input element.
func (c Checkbox) ID() string { return "f-" + c.Name + "-" + c.Value }

// DescribedBy is the value of aria-describedby.
func (c Checkbox) DescribedBy() string {
	return Field{Name: c.Name + "-" + c.Value, Help: c.Help, Error: c.Error}.DescribedBy()
}

// Select is one choice of a short list, drawn by the partial "select".
type Select struct {
	// Name, Label, Help and Error are as in [Field].
	Name, Label, Help, Error string
	// Value is the value of the option chosen at first.
	Value string
	// Options are in the order shown.
	Options []Option
}

// ID is the id of the select element.
func (s Select) ID() string { return "f-" + s.Name }

// DescribedBy is the value of aria-describedby.
func (s Select) DescribedBy() string {
	return Field{Name: s.Name, Help: s.Help, Error: s.Error}.DescribedBy()
}

// Option is one line of a [Select].
type Option struct{ Value, Label string }

// Choice is one large card of the partial "choices", which takes a []Choice.
// With an Href it is a link; without, a submit button of the form around it
// that sends Name=Value.
type Choice struct {
	Href        string
	Name, Value string
	// Title is what is chosen, Text one sentence on what it means.
	Title, Text string
	// Recommended shows a badge that says so.
	Recommended bool
}

// NoticeKind is how a [Notice] looks and how urgently it is read out.
type NoticeKind string

// The kinds of notice.
const (
	Info    NoticeKind = "info"
	Success NoticeKind = "success"
	Warning NoticeKind = "warning"
	Problem NoticeKind = "error"
)

// Notice is a message above the content, drawn by the partial "notice".
type Notice struct {
	// Kind chooses colour, icon and ARIA role.
	Kind NoticeKind
	// Title is a short sentence; Text says more and may be empty.
	Title, Text string
	// Links lead to what the notice is about: the fields that are wrong, or
	// the next step.
	Links []Link
}

// Role is the ARIA role: problems interrupt, the rest waits its turn.
func (n Notice) Role() string {
	if n.Kind == Problem {
		return "alert"
	}
	return "status"
}

// FieldErrors is the notice above a form that was not accepted, with a link to
// each field that is wrong. ok is false where all of them are right.
func FieldErrors(title string, fields []Field) (n Notice, ok bool) {
	n = Notice{Kind: Problem, Title: title}
	for _, f := range fields {
		if f.Error != "" {
			n.Links = append(n.Links, Link{Href: "#" + f.ID(), Text: f.Label + ": " + f.Error})
		}
	}
	return n, len(n.Links) > 0
}

// Link is a text that leads somewhere.
type Link struct{ Href, Text string }

// Guide is the numbered list beside a form, drawn by the partial "guide".
type Guide struct {
	Title string
	Steps []Step
	// Note is a closing sentence, such as how to take it all back.
	Note string
}

// Step is one thing to do. Its link, where there is one, opens in a new tab so
// that the form stays.
type Step struct {
	Text string
	Link Link
}

// Pagination leads through a list by cursor, drawn by the partial
// "pagination". An empty Href draws nothing for that direction.
type Pagination struct {
	// First leads back to the start, Next to what follows.
	First, Next string
	// Summary says what is shown: "50 connections".
	Summary string
}

// Copy is a value to take elsewhere, with a copy button where scripts run;
// drawn by the partial "copy".
type Copy struct {
	// Name makes the element id; unique on the page.
	Name string
	// Label says what it is.
	Label string
	// Value is shown in fixed-width type and copied as it is.
	Value string
}

// ID is the id of the value's element.
func (c Copy) ID() string { return "copy-" + c.Name }

// CheckGroup is several checkboxes under one question, drawn by the partial
// "check-group".
type CheckGroup struct {
	// Name makes the element id; unique on the page.
	Name string
	// Legend is the question; Help and Error are as in [Field].
	Legend, Help, Error string
	Boxes               []Checkbox
}

// ID is the id of the fieldset.
func (g CheckGroup) ID() string { return "f-" + g.Name }

// DescribedBy is the value of aria-describedby.
func (g CheckGroup) DescribedBy() string {
	return Field{Name: g.Name, Help: g.Help, Error: g.Error}.DescribedBy()
}

// StageState is where a [Stage] stands.
type StageState string

// The states.
const (
	StageDone    StageState = "done"
	StageFailed  StageState = "failed"
	StageNow     StageState = "now"     // under way, or what to do next
	StageWaiting StageState = "waiting" // not begun
	StageSkipped StageState = "skipped" // does not apply
)

// Word is the state for those who see no mark.
func (s StageState) Word() string {
	switch s {
	case StageDone:
		return "Done"
	case StageFailed:
		return "Failed"
	case StageNow:
		return "Now"
	case StageSkipped:
		return "Not needed"
	case StageWaiting:
	}
	return "Waiting"
}

// Stage is one step of something that runs; a list of them is drawn by the
// partial "stages".
type Stage struct {
	State StageState
	Title string
	// At is when it ended, zero where that is not known; Later, how long that was
	// after the step before, in words ("1.2 s later").
	At    time.Time
	Later string
	// Text says what came of it; Advice what to do about it. Both may be empty.
	Text, Advice string
	// Copy is a value that the advice is about; nil for none.
	Copy *Copy
}
