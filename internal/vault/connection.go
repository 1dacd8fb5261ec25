package vault

import (
	"reflect"
	"time"
)

// Status is where a connection stands. The same words stand in SQL, JSON and
// on the pages.
type Status string

// The statuses. A connection moves pending → active ⇄ reconnect_required, and
// from any of them to revoked, which is the end.
const (
	// StatusPending is linked and not yet redeemed by the host: no headers.
	StatusPending Status = "pending"
	// StatusActive has a sealed credential that is believed to work.
	StatusActive Status = "active"
	// StatusReconnectRequired waits for the end user to link again. The sealed
	// credential may still be there, for telling the provider on revocation.
	StatusReconnectRequired Status = "reconnect_required"
	// StatusRevoked has no ciphertext any more.
	StatusRevoked Status = "revoked"
)

// Statuses lists the statuses.
func Statuses() []Status {
	return []Status{StatusPending, StatusActive, StatusReconnectRequired, StatusRevoked}
}

// The reasons beside a status, for people and for programs that decide.
const (
	ReasonInvalidGrant     = "invalid_grant"        // the provider refused the refresh token
	ReasonOutcomeLost      = "refresh_outcome_lost" // a refresh was sent, its answer never arrived, and the token is spent
	ReasonExpired          = "expired"              // past its life, and nothing to renew it with
	ReasonRejected         = "rejected"             // the provider refuses the credential
	ReasonIdentityChanged  = "identity_changed"     // a refresh came back for another account
	ReasonNotRedeemed      = "not_redeemed"         // the host did not redeem the result in time
	ReasonWrongEndUser     = "wrong_end_user"       // the host redeemed it for somebody else
	ReasonRevokedByCaller  = "revoked_by_caller"    // revoked over REST, by an admin or with its integration
	ReasonRevokedByEndUser = "revoked_by_end_user"  // the end user disconnected it on their own page
	ReasonTestOver         = "test_over"            // an admin's test of the integration is over
	ReasonBaseURLHeld      = "base_url_held"        // the provider names another API root than before; ours is kept
)

// EndUser is the person whose account it is, as the host application names them.
type EndUser struct {
	ID    string `json:"id"`
	Email string `json:"email,omitempty"`
	Name  string `json:"name,omitempty"`
}

// Account is the linked account, as the provider names it.
type Account struct {
	ID    string `json:"id"`
	Label string `json:"label"`
}

// Connection is one linked account without its secrets. Zero times mean
// "never" or "not known".
type Connection struct {
	ID            string
	EnvironmentID string
	IntegrationID string
	Integration   string // the integration's key
	Provider      string
	Method        string
	Status        Status
	StatusReason  string
	// Generation counts up with every change of the credential, from 1.
	Generation int64
	EndUser    EndUser
	Account    Account
	BaseURL    string
	Scopes     []string
	// ExpiresAt is the end of what the headers carry; RefreshExpiresAt the end
	// of what renews it.
	ExpiresAt        time.Time
	RefreshExpiresAt time.Time
	// Renewable says that the credential can be renewed without the end user.
	Renewable       bool
	LastRefreshedAt time.Time
	LastReadAt      time.Time
	CreatedAt       time.Time
	UpdatedAt       time.Time
	Tags            map[string]string
	Metadata        map[string]any
	ExternalID      string
	// ReplacesID is set on a pending candidate that mends another connection
	// once the host has redeemed it. Candidates are in no list.
	ReplacesID string
	// DueAt is when the connection is looked at next, to be renewed or verified.
	DueAt time.Time
	// Failures is how many refreshes have failed in a row.
	Failures int
	// PendingUntil is when an unredeemed connection is revoked.
	PendingUntil time.Time
}

// ConnectionFilter narrows a list. Empty members do not narrow.
type ConnectionFilter struct {
	Integration string // key
	EndUserID   string
	Status      Status
	Tags        map[string]string // all of them must be there
	// Query has the beginnings of words, all of which must be there, in any case:
	// in the external id, the end user and the account's label, see
	// [Connection.Terms]; the beginning of an id; or a tag, as "tag:team=blue".
	Query    string
	LastRead LastRead
	Expires  Expires
	// Failing: the last refresh failed.
	Failing bool
	// At is the moment from which LastRead and Expires count; the vault's clock
	// where it is zero. Whoever pages, or means the same set later, keeps it.
	At time.Time
	// Within are keys of integrations that the caller is limited to; the vault
	// fills it in.
	Within []string
	Page   Page
}

// all reports whether the filter narrows nothing. It looks at every member, so
// that none that is added later is forgotten.
func (f ConnectionFilter) all() bool {
	f = f.tagged()
	f.Page, f.At = Page{}, time.Time{}
	if len(f.Tags) == 0 {
		f.Tags = nil
	}
	if len(f.Words()) == 0 {
		f.Query = ""
	}
	return reflect.ValueOf(f).IsZero()
}

// Page asks for a part of a list that is sorted newest first.
type Page struct {
	// Cursor is the id of the last item seen; empty starts at the newest.
	Cursor string
	// Limit is at most this many items, 1 to 200.
	Limit int
}

// ConnectionPatch changes what the host may change; nil members stay.
type ConnectionPatch struct {
	// SeenTags is the [Connection.TagsVersion] that the change was made from: where
	// other tags are there by now, it is [ErrChangedSince]. Nil takes what there is.
	SeenTags *string
	Tags     *map[string]string
	Metadata *map[string]any
}
