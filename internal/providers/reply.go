package providers

import (
	"fmt"
	"net/url"

	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
)

// Reply is what a provider sent back through the browser (RFC 6749 section
// 4.1.2, OpenID Connect Core section 3.3.2.5): a success with a code, or an
// error. Nothing of it has been verified.
type Reply struct {
	Mode  ResponseMode
	State vault.Secret
	Code  vault.Secret
	// IDToken is there in the hybrid flow.
	IDToken vault.Secret
	// Issuer is the parameter iss of RFC 9207.
	Issuer string
	// Error is the provider's error code, empty for a success. Its
	// error_description is left behind: anybody can write one into a URL.
	Error string
}

// MaxReply is the most bytes that all parameters of a reply have together.
const MaxReply = 64 << 10

// replyLimit knows the parameters that are looked at, and the most bytes they
// may have. Everything else is ignored (RFC 6749 section 4.1.2), as long as
// the whole is not too large.
func replyLimit(name string) (limit int, known bool) {
	switch name {
	case "state":
		return 512, true
	case "code":
		return 4 << 10, true
	case "id_token":
		return 16 << 10, true
	case "iss":
		return 2 << 10, true
	case "error":
		return 128, true
	}
	return 0, false
}

// ReplyError is a reply that no provider sends. It quotes nothing of it.
type ReplyError struct{ Problem string }

// Error is the text for the log.
func (e *ReplyError) Error() string { return "reading the provider's reply: " + e.Problem }

// ParseReply reads the parameters that came in one mode: the query, the
// fragment or the posted form. It is for the caller to see that they came in
// one mode only. A parameter that comes twice (RFC 6749 section 3.1), is too
// long or has other than printable ASCII is a [*ReplyError], and so is a reply
// without state, one that is neither success nor error, and one that is both.
func ParseReply(mode ResponseMode, values url.Values) (Reply, error) {
	if mode == "" || !validResponseMode(mode) {
		return Reply{}, &ReplyError{fmt.Sprintf("%q is no response mode", mode)}
	}
	size := 0
	for _, name := range sortedKeys(values) {
		list := values[name]
		if len(list) != 1 {
			return Reply{}, &ReplyError{"a parameter comes more than once"}
		}
		size += len(name) + len(list[0])
		limit, known := replyLimit(name)
		switch {
		case size > MaxReply:
			return Reply{}, &ReplyError{"it is too long"}
		case !known:
		case len(list[0]) > limit:
			return Reply{}, &ReplyError{name + " is too long"}
		case !isPrintable(list[0]):
			return Reply{}, &ReplyError{name + " has a character that does not belong there"}
		}
	}
	r := Reply{
		Mode:    mode,
		State:   vault.NewSecret(values.Get("state")),
		Code:    vault.NewSecret(values.Get("code")),
		IDToken: vault.NewSecret(values.Get("id_token")),
		Issuer:  values.Get("iss"),
		Error:   values.Get("error"),
	}
	switch {
	case r.State.IsZero():
		return Reply{}, &ReplyError{"it has no state"}
	case r.Error != "" && (!r.Code.IsZero() || !r.IDToken.IsZero()):
		return Reply{}, &ReplyError{"it is an error and a success"}
	case r.Error == "" && r.Code.IsZero():
		return Reply{}, &ReplyError{"it has neither a code nor an error"}
	}
	return r, nil
}

// Values is the reply as parameters, for keeping it, sealed, until the browser
// that the trip belongs to comes for it. [ParseReply] reads them back.
func (r Reply) Values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{
		"state": r.State.Reveal(), "code": r.Code.Reveal(), "id_token": r.IDToken.Reveal(), "iss": r.Issuer, "error": r.Error,
	} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// linkError is an error reply as the end user's trip ends with it.
func (r Reply) linkError(t target) *LinkError {
	e := &LinkError{Reason: ReasonProvider, Message: fmt.Sprintf("%s answered with an error. Try again; if it stays, tell whoever sent you here.", t.provider.Title)}
	if oidc.IsReplyCode(r.Error) {
		e.Reason = r.Error
	}
	switch e.Reason {
	case "access_denied", "consent_required":
		e.Message = fmt.Sprintf("You did not give access at %s, so nothing was linked.", t.provider.Title)
	case "server_error", "temporarily_unavailable":
		e.Message = fmt.Sprintf("%s has a problem right now. Try again in a little while.", t.provider.Title)
	case "login_required", "interaction_required", "account_selection_required":
		e.Message = fmt.Sprintf("You were not signed in at %s. Try again and sign in there.", t.provider.Title)
	}
	return e
}
