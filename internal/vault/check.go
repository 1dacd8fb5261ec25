package vault

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/claviger/claviger/internal/fault"
)

// MaxTags is how many tags a connection may have.
const MaxTags = 50

// Bounds of what hosts may store beside a connection.
const (
	maxTagKey   = 64
	maxTagValue = 256
	maxURL      = 2048
)

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$`)

// checkName is for keys and names that stand in URLs and commands.
func checkName(pointer, s string) *fault.Field {
	if !namePattern.MatchString(s) {
		return &fault.Field{Pointer: pointer, Detail: "1 to 64 lower-case letters, digits, - or _, beginning and ending with a letter or digit."}
	}
	return nil
}

// checkText is for text that people read: valid UTF-8, no control characters.
func checkText(pointer, s string, shortest, longest int) *fault.Field {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return &fault.Field{Pointer: pointer, Detail: "Must be valid UTF-8."}
	case strings.ContainsFunc(s, unicode.IsControl):
		return &fault.Field{Pointer: pointer, Detail: "Must not contain control characters."}
	case n < shortest && n == 0:
		return &fault.Field{Pointer: pointer, Detail: "Is required."}
	case n < shortest || n > longest:
		return &fault.Field{Pointer: pointer, Detail: fmt.Sprintf("Must have %d to %d characters.", shortest, longest)}
	}
	return nil
}

func checkEndUser(u EndUser) []fault.Field {
	var fields []fault.Field
	for _, f := range []*fault.Field{
		checkText("/end_user/id", u.ID, 1, 256),
		checkText("/end_user/email", u.Email, 0, 320),
		checkText("/end_user/name", u.Name, 0, 256),
	} {
		if f != nil {
			fields = append(fields, *f)
		}
	}
	return fields
}

func checkTags(tags map[string]string) []fault.Field {
	if len(tags) > MaxTags {
		return []fault.Field{{Pointer: "/tags", Detail: fmt.Sprintf("At most %d tags.", MaxTags)}}
	}
	var fields []fault.Field
	for k, value := range tags {
		pointer := "/tags/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k)
		// In NFC, in which they are kept for filters, text may be longer.
		if f := cmp.Or(checkText("/tags", k, 1, maxTagKey), checkText("/tags", norm.NFC.String(k), 1, maxTagKey)); f != nil {
			fields = append(fields, *f)
		}
		if f := cmp.Or(checkText(pointer, value, 0, maxTagValue), checkText(pointer, norm.NFC.String(value), 0, maxTagValue)); f != nil {
			fields = append(fields, *f)
		}
	}
	if len(FoldTags(tags)) < len(tags) {
		fields = append(fields, fault.Field{Pointer: "/tags", Detail: "Two names are the same but for the way in which their accents are written."})
	}
	return fields
}

// checkReturnURL: https, or http on the loopback for development; nothing that
// a browser and we could read in two ways.
func (v *Vault) checkReturnURL(raw string) *fault.Field {
	bad := func(detail string) *fault.Field { return &fault.Field{Pointer: "/return_url", Detail: detail} }
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxURL || u.Host == "" || strings.ContainsAny(raw, "\\ \t\r\n"):
		return bad("Must be an absolute URL of at most 2,048 characters.")
	case u.User != nil || u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return bad("Must not have user information or a fragment.")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return bad("Must be https, or http on a loopback host.")
	}
	for _, name := range []string{"session_id", "status", "result"} {
		if u.Query().Has(name) {
			return bad("Must not have a query parameter " + name + ": it is added on the way back.")
		}
	}
	if len(v.returns) == 0 {
		return nil
	}
	u.RawQuery, u.ForceQuery = "", false
	for _, registered := range v.returns {
		if u.String() == registered {
			return nil
		}
	}
	return bad("Is not one of the registered return URLs.")
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
