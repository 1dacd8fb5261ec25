package tokenendpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/url"
	"strings"
	"unicode/utf8"
)

// document is what could be read of an answer, up to where it breaks off.
type document struct {
	top   members // holds errors
	inner members // holds tokens: top, or the object at the prefix
	odd   []string
	err   error // why this is not a whole, readable answer
}

// members are those of one object that are of interest, by lower-case name.
type members map[string]value

type value struct {
	kind     kind
	text     string // of a string, number or bool
	list     []string
	exact    bool // the name was in lower case
	conflict bool // another value of the name was different
}

type kind int

const (
	kindNone kind = iota // not there, or null
	kindString
	kindNumber
	kindBool
	kindList  // of strings
	kindOther // an object, or a list of other things
)

var (
	errNotJSON = errors.New("the answer is neither a JSON object nor a form")
	errCut     = errors.New("the answer is cut short")
)

// read never fails: what is wrong is in the document.
func read(contentType string, body []byte, prefix string, cut bool) *document {
	top := members{}
	d := &document{top: top, inner: top}
	var path []string
	if prefix != "" {
		d.inner = members{}
		path = strings.Split(prefix, ".")
	}
	if rest, ok := bytes.CutPrefix(body, []byte("\xef\xbb\xbf")); ok {
		body = rest
		d.odd = append(d.odd, "the body has a byte order mark")
	}
	if !utf8.Valid(body) {
		d.odd = append(d.odd, "the body is not UTF-8")
	}
	body = bytes.TrimSpace(body)
	media, _, _ := mime.ParseMediaType(contentType)
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	switch {
	case bytes.HasPrefix(body, []byte("{")):
		if !isJSON {
			d.odd = append(d.odd, "the content type is not JSON")
		}
		// An object that is closed lacks nothing but what its
		// Content-Length promised.
		d.json(body, path, cut && !json.Valid(body))
	case isJSON || prefix != "" || bytes.HasPrefix(body, []byte("<")):
		d.err = errNotJSON
	default:
		d.odd = append(d.odd, "the body is a form")
		d.form(body, cut)
	}
	return d
}

func (d *document) json(body []byte, path []string, cut bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	_, _ = dec.Token() // the brace that read saw
	if err := d.object(dec, path, d.top, cut); err != nil {
		d.err = errNotJSON
		if cut {
			d.err = errCut
		}
		return
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		d.err = errors.New("the answer goes on after its JSON object")
	}
}

// object reads the members of an object whose brace has been read, one by
// one, so that those before a fault are not lost. The errors of encoding/json
// may quote the body; they go no further than its caller.
func (d *document) object(dec *json.Decoder, path []string, into members, cut bool) error {
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if len(path) > 0 && name == path[0] {
			if err := d.descend(dec, path[1:], cut); err != nil {
				return err
			}
			continue
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		v := jsonValue(raw)
		if cut && v.kind == kindNumber {
			continue // its last digits may be missing
		}
		into.set(name, v)
	}
	_, err := dec.Token()
	return err
}

// descend reads the value at the prefix.
func (d *document) descend(dec *json.Decoder, path []string, cut bool) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		into := members{}
		if len(path) == 0 {
			into = d.inner
		}
		return d.object(dec, path, into, cut)
	case json.Delim('['):
		return errors.New("a list where an object was expected")
	}
	return nil
}

func jsonValue(raw json.RawMessage) value {
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return value{kind: kindString, text: s}
		}
	case 't', 'f':
		return value{kind: kindBool, text: string(raw)}
	case 'n':
		return value{}
	case '[':
		var list []string
		if json.Unmarshal(raw, &list) == nil {
			return value{kind: kindList, text: string(raw), list: list}
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return value{kind: kindNumber, text: string(raw)}
	}
	return value{kind: kindOther, text: string(raw)}
}

// form reads application/x-www-form-urlencoded, as GitHub answers unless asked
// not to. Of a form cut short the last pair is not to be trusted.
func (d *document) form(body []byte, cut bool) {
	pairs := strings.Split(string(body), "&")
	if cut {
		pairs = pairs[:len(pairs)-1]
	}
	for _, pair := range pairs {
		name, text, found := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		text, err2 := url.QueryUnescape(text)
		if !found || err != nil || err2 != nil {
			d.err = errNotJSON
			continue
		}
		if text != "" {
			d.top.set(name, value{kind: kindString, text: text})
		}
	}
	switch {
	case len(d.top) == 0:
		d.err = errNotJSON
	case cut && d.err == nil:
		d.err = errCut
	}
}

// set keeps a member of interest. Of two different values for a name, the one
// whose name is spelled right is kept, or else the last.
func (m members) set(name string, v value) {
	fold := strings.ToLower(name)
	switch fold {
	case "access_token", "refresh_token", "id_token", "token_type", "expires_in",
		"refresh_token_expires_in", "refresh_expires_in", "scope",
		"ok", "error", "error_description":
	default:
		return
	}
	v.exact = name == fold
	old, again := m[fold]
	if again && (old.kind != v.kind || old.text != v.text) {
		v.conflict = true
		if v.kind == kindNone || old.exact && !v.exact {
			v = old
			v.conflict = true
		}
	}
	m[fold] = v
}

// conflict names a member that came with two values, or nothing.
func (m members) conflict() string {
	for name, v := range m {
		if v.conflict {
			return name
		}
	}
	return ""
}

func (v value) absent() bool { return v.kind == kindNone }

// str is the text of a string; ok is false for anything else.
func (v value) str() (text string, ok bool) {
	if v.kind != kindString {
		return "", false
	}
	return v.text, true
}

// scopes takes "a b" and ["a","b"].
func (v value) scopes(separator string) ([]string, bool) {
	if separator == "" {
		separator = " "
	}
	list := v.list
	switch v.kind {
	case kindString:
		list = strings.Split(v.text, separator)
	case kindList:
	default:
		return nil, false
	}
	scopes := make([]string, 0, len(list))
	for _, s := range list {
		if s = strings.TrimSpace(s); s != "" {
			scopes = append(scopes, s)
		}
	}
	return scopes, true
}
