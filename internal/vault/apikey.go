package vault

import (
	"net/netip"
	"slices"
	"time"
)

// APIKey is a backend's key without the key: only its hash is kept.
type APIKey struct {
	ID            string
	EnvironmentID string
	Name          string
	// Prefix is the start of the key, for people to recognise it by.
	Prefix string
	Hash   []byte
	Scopes []Scope
	// Integrations are the keys of those that the key is limited to; empty is no
	// limit. One that is gone stays on the list: the key then reaches nothing there.
	Integrations []string
	// Addresses are those that the key is taken from; empty is no limit.
	Addresses []netip.Prefix
	// ReplacesID is the key that this one was made to take over from.
	ReplacesID string
	ExpiresAt  time.Time
	RevokedAt  time.Time
	CreatedAt  time.Time
	// LastUsedAt is coarse: written in batches.
	LastUsedAt time.Time
}

// Live reports whether the key works at that time.
func (k *APIKey) Live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// NewAPIKey is what somebody asks for. A zero ExpiresAt never expires.
type NewAPIKey struct {
	// ID is for who has to be able to ask twice without getting two keys: one of
	// [NewAPIKeyID]; a second key with it is a conflict. Empty: the vault's choice.
	ID     string
	Name   string
	Scopes []Scope
	// Integrations are keys of integrations; none is no limit.
	Integrations []string
	// Addresses are what [ParseAddresses] takes; none is no limit.
	Addresses []string
	ExpiresAt time.Time
}

// Asked is what asking for the same key would be.
func (k *APIKey) Asked() NewAPIKey {
	addresses := make([]string, len(k.Addresses))
	for i, a := range k.Addresses {
		addresses[i] = a.String()
	}
	return NewAPIKey{
		Name: k.Name, Scopes: slices.Clone(k.Scopes), Integrations: slices.Clone(k.Integrations), Addresses: addresses, ExpiresAt: k.ExpiresAt,
	}
}

// APIKeyPatch changes an API key; nil members stay, and a zero time is never.
type APIKeyPatch struct {
	// Seen is the [APIKey.Version] that the change was made from: where another one
	// is there by now, it is [ErrChangedSince]. Nil takes what there is.
	Seen         *string
	Name         *string
	Scopes       *[]Scope
	Integrations *[]string
	Addresses    *[]string
	ExpiresAt    *time.Time
}

// Patch changes a key into the one that is asked for.
func (n NewAPIKey) Patch() APIKeyPatch {
	return APIKeyPatch{Name: &n.Name, Scopes: &n.Scopes, Integrations: &n.Integrations, Addresses: &n.Addresses, ExpiresAt: &n.ExpiresAt}
}

func (p APIKeyPatch) apply(n *NewAPIKey) {
	set(&n.Name, p.Name)
	set(&n.Scopes, p.Scopes)
	set(&n.Integrations, p.Integrations)
	set(&n.Addresses, p.Addresses)
	set(&n.ExpiresAt, p.ExpiresAt)
}

// NewAPIKeyID makes an id for a key that is to be made.
func NewAPIKeyID() string { return newID(apiKeyIDPrefix) }

const apiKeyIDPrefix = "key"

// expiry is as the databases keep it.
func (n NewAPIKey) expiry() time.Time {
	if n.ExpiresAt.IsZero() {
		return time.Time{}
	}
	return n.ExpiresAt.UTC().Truncate(time.Microsecond)
}
