package vault

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"github.com/claviger/claviger/internal/fault"
)

// Bounds of what a key may be limited to.
const (
	maxKeyIntegrations = 100
	maxKeyAddresses    = 100
)

var apiKeyIDPattern = regexp.MustCompile(`^` + apiKeyIDPrefix + `_[0-9a-v]{26}$`)

// checkAPIKey says what is wrong with a key that is asked for. Integrations that
// are not there are missing; only the database knows them.
func checkAPIKey(caller Caller, n NewAPIKey, missing []string) []fault.Field {
	var fields []fault.Field
	if n.ID != "" && !apiKeyIDPattern.MatchString(n.ID) {
		fields = append(fields, fault.Field{Pointer: "/id", Detail: "Is not the id of an API key."})
	}
	if f := checkText("/name", n.Name, 1, 100); f != nil {
		fields = append(fields, *f)
	}
	fields = append(fields, checkKeyScopes(caller, n)...)
	fields = append(fields, eachOnce("/integrations", n.Integrations, maxKeyIntegrations, func(key string) string {
		if !namePattern.MatchString(key) || slices.Contains(missing, key) {
			return noIntegration
		}
		return ""
	})...)
	return append(fields, eachOnce("/addresses", n.Addresses, maxKeyAddresses, func(a string) string {
		if _, err := ParseAddress(a); err != nil {
			return "It " + err.Error() + "."
		}
		return ""
	})...)
}

const noIntegration = "There is no such integration."

func checkKeyScopes(caller Caller, n NewAPIKey) []fault.Field {
	if len(n.Scopes) == 0 {
		return []fault.Field{{Pointer: "/scopes", Detail: "Name at least one scope."}}
	}
	var fields []fault.Field
	for i, s := range n.Scopes {
		pointer := fmt.Sprintf("/scopes/%d", i)
		switch {
		case !slices.Contains(AllScopes(), s):
			fields = append(fields, fault.Field{Pointer: pointer, Detail: "There is no such scope."})
		case !mayGrant(caller, s):
			fields = append(fields, fault.Field{Pointer: pointer, Detail: "Your own key lacks this scope."})
		case s.Whole() && len(n.Integrations) > 0:
			fields = append(fields, fault.Field{Pointer: pointer, Detail: "Is about the whole environment, and does not go with a limit to integrations."})
		}
	}
	return fields
}

// mayGrant reports whether the caller may hand out a scope: their own, or any
// where they decide on admins, who read no credentials themselves and have to
// give somebody the right to.
func mayGrant(caller Caller, s Scope) bool {
	return caller.May(s) || caller.Kind == CallerAdmin && caller.May(ScopeAdminsWrite)
}

// eachOnce checks a list, and that nothing is on it twice.
func eachOnce(pointer string, list []string, most int, check func(string) string) []fault.Field {
	if len(list) > most {
		return []fault.Field{{Pointer: pointer, Detail: fmt.Sprintf("At most %d.", most)}}
	}
	var fields []fault.Field
	for i, s := range list {
		detail := check(s)
		if detail == "" && slices.Index(list, s) < i {
			detail = "Is named twice."
		}
		if detail != "" {
			fields = append(fields, fault.Field{Pointer: fmt.Sprintf("%s/%d", pointer, i), Detail: detail})
		}
	}
	return fields
}

// addresses are those asked for, read.
func (n NewAPIKey) addresses() ([]netip.Prefix, error) {
	var read []netip.Prefix
	for i, a := range n.Addresses {
		p, err := ParseAddress(a)
		if err != nil {
			return nil, fault.InvalidField(fmt.Sprintf("/addresses/%d", i), "It %s.", err)
		}
		read = append(read, p)
	}
	return read, nil
}

func (v *Vault) checkExpiry(n NewAPIKey) []fault.Field {
	if !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(v.now()) {
		return []fault.Field{{Pointer: "/expires_at", Detail: "Must be in the future."}}
	}
	return nil
}

// CheckAPIKey says what is wrong with a key that is asked for, all of it at once
// as a [*fault.Error], or nil. An expiry in the past is wrong for a key that is
// to be made, and only history for one that is there. Whether there are the
// integrations that it is limited to is not looked at.
func (v *Vault) CheckAPIKey(caller Caller, n NewAPIKey, there bool) error {
	fields := checkAPIKey(caller, n, nil)
	if !there {
		fields = append(fields, v.checkExpiry(n)...)
	}
	return invalid(fields)
}

func (v *Vault) checkNewAPIKey(ctx context.Context, caller Caller, n NewAPIKey) error {
	missing, err := v.missingIntegrations(ctx, v.store, caller, n.Integrations, nil)
	if err != nil {
		return err
	}
	return invalid(append(checkAPIKey(caller, n, missing), v.checkExpiry(n)...))
}

// checkChangedAPIKey is checkNewAPIKey for a key that is there: what it was
// limited to before may be gone, and its end may be past.
func (v *Vault) checkChangedAPIKey(ctx context.Context, r Reader, caller Caller, before, n NewAPIKey) error {
	missing, err := v.missingIntegrations(ctx, r, caller, n.Integrations, before.Integrations)
	if err != nil {
		return err
	}
	fields := checkAPIKey(caller, n, missing)
	if !n.ExpiresAt.Equal(before.ExpiresAt) && caller.Kind != CallerSystem {
		fields = append(fields, v.checkExpiry(n)...)
	}
	return invalid(fields)
}

// missingIntegrations are the keys of those that are not there; known ones are
// not looked up.
func (v *Vault) missingIntegrations(ctx context.Context, r Reader, caller Caller, keys, known []string) ([]string, error) {
	var none []string
	if len(keys) > maxKeyIntegrations {
		return nil, nil // which is wrong with it
	}
	for _, key := range keys {
		if slices.Contains(known, key) {
			continue
		}
		switch _, err := v.integration(ctx, r, caller, key); {
		case fault.Is(err, fault.NotFound):
			none = append(none, key)
		case err != nil:
			return nil, fmt.Errorf("reading integration: %w", err)
		}
	}
	return none, nil
}

func invalid(fields []fault.Field) error {
	if fields != nil {
		return fault.InvalidFields(fields...)
	}
	return nil
}
