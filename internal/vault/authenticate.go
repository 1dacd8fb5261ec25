package vault

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

const unauthenticated = "A valid API key is required."

// What is in the trail of a known key that was not taken.
const (
	// ReasonAddress: it came from an address that it is not for.
	ReasonAddress = "address"
	// ReasonKeyExpired and ReasonKeyRevoked: it is past its end.
	ReasonKeyExpired = "key_expired"
	ReasonKeyRevoked = "key_revoked"
)

// overFor says why a key is good no more, "" where it is.
func overFor(revoked bool, expires, now time.Time) string {
	switch {
	case revoked:
		return ReasonKeyRevoked
	case !expires.IsZero() && !now.Before(expires):
		return ReasonKeyExpired
	}
	return ""
}

// Bearer is what a request presents: an API key, and where it comes from.
type Bearer struct {
	Key Secret
	// From is the client's address, as far as proxies are trusted to tell. The
	// zero address is one that is not known: no key that is limited to addresses
	// is taken from there.
	From netip.Addr
}

// Authenticate answers who presents the key. Unknown, expired and revoked keys
// get one answer in one time, and so does a good key from an address that it is
// not for: whoever has stolen it is not told that it is good. The lookup happens
// for every one of them.
func (v *Vault) Authenticate(ctx context.Context, b Bearer) (Caller, error) {
	if b.Key.IsZero() {
		return Caller{}, fault.New(fault.Unauthenticated, "%s", unauthenticated)
	}
	hash := HashToken(b.Key)
	k, err := v.store.APIKeyByHash(ctx, hash)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Caller{}, fmt.Errorf("looking up API key: %w", err)
	}
	if k == nil || !sameHash(k.Hash, hash) {
		return Caller{}, fault.New(fault.Unauthenticated, "%s", unauthenticated)
	}
	caller := k.caller()
	if reason := overFor(!k.RevokedAt.IsZero(), k.ExpiresAt, v.now()); reason != "" {
		return Caller{}, v.turnAway(caller, reason)
	}
	if err := v.admit(caller, k.Addresses, b.From); err != nil {
		return Caller{}, err
	}
	v.reads.add(caller, "", "", v.now(), false)
	return caller, nil
}

// admit answers nil where a good key is taken from that address.
func (v *Vault) admit(caller Caller, limits []netip.Prefix, from netip.Addr) error {
	if permits(limits, from) {
		return nil
	}
	return v.turnAway(caller, ReasonAddress)
}

// turnAway answers whoever has a known key as if nobody knew it. It goes into the
// trail gathered by the minute: no flood fills it, and nothing is written before
// the answer, which would take longer than for an unknown key.
func (v *Vault) turnAway(caller Caller, reason string) error {
	e := v.entry(caller, ActionRefused)
	e.Allowed, e.Reason = false, reason
	v.strangers.gather(e)
	return fault.New(fault.Unauthenticated, "%s", unauthenticated)
}

// caller is who the key makes of its bearer.
func (k *APIKey) caller() Caller {
	return Caller{Kind: CallerAPIKey, ID: k.ID, EnvironmentID: k.EnvironmentID, Scopes: k.Scopes, Integrations: k.Integrations}
}
