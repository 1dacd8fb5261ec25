package vault

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// What a store answers with, beside faults of its own. They are matched by
// errors.Is.
var (
	// ErrNotFound: no such row in that environment.
	ErrNotFound = errors.New("not found")
	// ErrDuplicate: a unique constraint says that it exists already.
	ErrDuplicate = errors.New("already exists")
	// ErrUnfit: the row breaks a rule of the schema, and always will.
	ErrUnfit = errors.New("not fit to be stored")
	// ErrInUse: something refers to the row.
	ErrInUse = errors.New("still referred to")
)

// ConnectionRow is a connection as it is stored: metadata in clear, secrets sealed.
type ConnectionRow struct {
	Connection
	// Credential and Answer are sealed blobs; both nil once revoked.
	Credential []byte
	Answer     []byte
	Lease      Lease
}

// HeadersRow is what serving headers takes of a key, its environment and a
// connection.
type HeadersRow struct {
	KeyID         string
	EnvironmentID string
	KeyHash       []byte
	// Scopes and KeyLimits are shared; not to be changed.
	Scopes       []Scope
	KeyLimits    *KeyLimits // nil: none
	KeyExpiresAt time.Time  // zero: never
	KeyRevoked   bool
	// StrictReads is the environment's.
	StrictReads bool
	// Status is empty where the environment has no such connection; nothing below
	// is set then.
	Status       Status
	StatusReason string
	Generation   int64
	ExpiresAt    time.Time
	Renewable    bool
	Answer       []byte // sealed; nil once revoked
	// Integration is the key of the connection's, where there are KeyLimits.
	Integration string
}

// KeyLimits are those of an API key; empty lists do not limit.
type KeyLimits struct {
	Integrations []string
	Addresses    []netip.Prefix
}

// Lease is the right to refresh one connection, held by one process for a
// bounded time. Epoch counts up with every claim and fences late writers.
type Lease struct {
	Owner string
	Epoch int64
	// Until is in the database's own time, so that replicas need not agree on
	// the clock. Zero: nobody holds it.
	Until time.Time
	// Held is Until compared with the database's time at the read.
	Held bool
	// Spending is the keyed fingerprint of the token that the last holder was
	// about to send, nil once its outcome is known. Found by a new holder, it
	// means that the outcome of a call was lost.
	Spending []byte
}

// Release is what a holder leaves behind when it gives a lease back.
type Release struct {
	// KeepSpending: the outcome of what was sent is not known.
	KeepSpending bool
	// Failed counts one more failure in a row.
	Failed bool
	// DueAt moves the next look; zero leaves it.
	DueAt time.Time
}

// CredentialChange is what changes together with the credential.
type CredentialChange struct {
	Credential       []byte
	Answer           []byte
	Status           Status
	StatusReason     string
	BaseURL          string
	Account          Account
	Scopes           []string
	ExpiresAt        time.Time
	RefreshExpiresAt time.Time
	Renewable        bool
	// DueAt is when the connection is looked at next; zero: never. The failures
	// in a row end with the change.
	DueAt time.Time
	// Refreshed sets last_refreshed_at; a link or reconnect leaves it.
	Refreshed bool
	// Spending marks the new refresh token as one that may be spent.
	Spending []byte
	// KeepLease saves in the middle of a renewal: the holder goes on.
	KeepLease bool
	// Method is empty where it stays.
	Method string
	// Relabelled says that the account has another label than before: it is
	// found by other words.
	Relabelled bool
	At         time.Time
}

// SessionRow is a connect session as it is stored. Hashes are SHA-256.
type SessionRow struct {
	ConnectSession
	TokenHash   []byte
	BindingHash []byte // nil until bound
	// ResultHash is nil unless the session waits to be redeemed.
	ResultHash      []byte
	ResultExpiresAt time.Time
	// PendingID is the connection that waits for the redeem.
	PendingID string
	Wrong     int // wrong credentials so far
}

// AttemptRow is an attempt as it is stored.
type AttemptRow struct {
	ID            string
	EnvironmentID string
	SessionID     string
	IntegrationID string
	Method        string
	StateHash     []byte
	BindingHash   []byte
	Sealed        []byte
	Reply         []byte // sealed, nil until the provider's reply has arrived
	CreatedAt     time.Time
	ExpiresAt     time.Time
}

// IntegrationRow is an integration with its sealed client secret.
type IntegrationRow struct {
	Integration
	SealedSecret   []byte // nil where there is none
	SealedPrevious []byte // the one before, nil where there is none
}

// RevocationRow is a provider still to be told that a credential is revoked.
// The connection has no ciphertext any more; this has the last copy.
type RevocationRow struct {
	ID string
	// Connection as it was, for those who tell: id, environment, integration,
	// provider, method, base URL, account. Stored as JSON.
	Connection Connection
	Sealed     []byte
	CreatedAt  time.Time
	// DueAt is when it is told, or told again.
	DueAt time.Time
	Tries int
	// BulkID is the bulk revocation that wants to know the outcome, if any.
	BulkID string
}

// Reader reads. Everything that belongs to an environment is asked for with
// it; a row of another environment is [ErrNotFound].
type Reader interface {
	adminReader
	timelineReader
	overviewReader
	bulkReader
	auditReader

	Environment(ctx context.Context, id string) (*Environment, error)
	EnvironmentByName(ctx context.Context, name string) (*Environment, error)
	Environments(ctx context.Context) ([]Environment, error)

	apiKeyReader

	Integration(ctx context.Context, environmentID, id string) (*IntegrationRow, error)
	IntegrationByKey(ctx context.Context, environmentID, key string) (*IntegrationRow, error)
	// IntegrationByID is for the callback, whose path is all there is.
	IntegrationByID(ctx context.Context, id string) (*IntegrationRow, error)
	// Integrations lists them, those with one of the keys where there are keys.
	Integrations(ctx context.Context, environmentID string, keys []string, page Page) ([]Integration, error)

	Session(ctx context.Context, environmentID, id string) (*SessionRow, error)
	// SessionByID and SessionByToken are for browsers, which know no environment.
	SessionByID(ctx context.Context, id string) (*SessionRow, error)
	SessionByToken(ctx context.Context, tokenHash []byte) (*SessionRow, error)
	// AttemptByState finds an attempt without using it up.
	AttemptByState(ctx context.Context, stateHash []byte) (*AttemptRow, error)

	Connection(ctx context.Context, environmentID, id string) (*ConnectionRow, error)
	// Connections lists without candidates and without ciphertext, in the order of
	// the filter.
	Connections(ctx context.Context, environmentID string, f ConnectionFilter) ([]Connection, error)
	// CountConnections counts what the filter matches, up to most; 0 is all.
	CountConnections(ctx context.Context, environmentID string, f ConnectionFilter, most int) (int, error)
	// ManagedConnections lists what an end user gets to see of their own, newest
	// first and without ciphertext.
	ManagedConnections(ctx context.Context, environmentID string, f ManagedFilter) ([]Connection, error)
	// CandidatesOf lists the ids of the candidates that are to mend a connection.
	CandidatesOf(ctx context.Context, environmentID, id string) ([]string, error)
	// ConnectionsOf lists the ids of the connections of an integration that are
	// not revoked, candidates too: up to limit from the one after the given on.
	ConnectionsOf(ctx context.Context, environmentID, integrationID, after string, limit int) ([]string, error)

	// Events lists up to limit of those that have a position, oldest first, from
	// the one after the given position on; those of integrations with one of the
	// keys where there are keys.
	Events(ctx context.Context, environmentID string, keys []string, after int64, limit int) ([]Event, error)
}

// Tx writes, in one transaction. Methods that say "reports whether" are
// compare-and-set: false means that the row was not as expected, and nothing changed.
type Tx interface {
	Reader
	adminTx
	bulkTx
	outboxTx
	auditTx

	InsertEnvironment(ctx context.Context, e Environment) error
	// RenameEnvironment answers [ErrDuplicate] where another has the name, and
	// [ErrNotFound] where this one is not called from.
	RenameEnvironment(ctx context.Context, id, from, to string) error
	// SetStrictReads reports whether that changed anything.
	SetStrictReads(ctx context.Context, id string, strict bool) (bool, error)
	// SetEnvironmentKeyset replaces old by keyset and reports whether old was there.
	SetEnvironmentKeyset(ctx context.Context, id string, old, keyset []byte) (bool, error)

	apiKeyTx
	secretTx

	InsertIntegration(ctx context.Context, i IntegrationRow) error
	// LockIntegration reads the row and keeps others from changing it until the
	// end of the transaction.
	LockIntegration(ctx context.Context, environmentID, key string) (*IntegrationRow, error)
	// UpdateIntegration writes everything but id, key, provider and times of creation.
	UpdateIntegration(ctx context.Context, i IntegrationRow) error
	// DeleteRevokedConnections removes up to limit of an integration's, the newest
	// first, and answers how many.
	DeleteRevokedConnections(ctx context.Context, environmentID, integrationID string, limit int) (int64, error)
	// DeleteIntegration removes the row and its revoked connections, or answers
	// [ErrInUse] while a connection of it is not revoked.
	DeleteIntegration(ctx context.Context, environmentID, id string) error

	InsertSession(ctx context.Context, s SessionRow) error
	// LockSession reads the row and keeps others from changing it until the end
	// of the transaction.
	LockSession(ctx context.Context, id string) (*SessionRow, error)
	// UpdateSession writes the mutable columns of a row that LockSession read.
	UpdateSession(ctx context.Context, s SessionRow) error
	// CountReconnects counts the sessions that were begun in a session, ended ones
	// too.
	CountReconnects(ctx context.Context, parentID string) (int, error)
	// EndReconnects makes those of them that are bound failed, for this reason.
	EndReconnects(ctx context.Context, parentID, reason string) error
	// ChargeGuess counts one guess of the end user in the running window, which
	// begins anew when it is older than window, and answers the new count.
	ChargeGuess(ctx context.Context, environmentID, endUserID string, now time.Time, window time.Duration) (int, error)
	// RefundGuess takes one back.
	RefundGuess(ctx context.Context, environmentID, endUserID string) error

	InsertAttempt(ctx context.Context, a AttemptRow) error
	// SetAttemptReply reports whether there was an attempt without a reply.
	SetAttemptReply(ctx context.Context, id string, reply []byte) (bool, error)
	// TakeAttempt deletes the attempt and returns it: exactly one caller ever
	// gets it, all others [ErrNotFound].
	TakeAttempt(ctx context.Context, id string) (*AttemptRow, error)

	// InsertConnection writes a connection that nobody holds a lease of. A
	// pending one, and no other, has a PendingUntil.
	InsertConnection(ctx context.Context, c ConnectionRow) error
	// LockConnection reads the row and keeps others from changing it until the
	// end of the transaction.
	LockConnection(ctx context.Context, environmentID, id string) (*ConnectionRow, error)
	// SaveCredential writes the change as generation+1, drops the lease unless
	// the change keeps it, and forgets what was being spent, if the row is of this generation and, where epoch is 0, not revoked, or
	// else active with the lease of that epoch still the newest.
	SaveCredential(ctx context.Context, id string, generation, epoch int64, ch CredentialChange) (bool, error)
	// ReleaseLease ends the lease of that epoch and reports whether it was the
	// newest.
	ReleaseLease(ctx context.Context, id string, epoch int64, r Release) (bool, error)
	// SetStatus changes status and reason of a connection that is not revoked,
	// if it is of this generation. The time to be redeemed ends with pending;
	// only an active or pending one is looked at again.
	SetStatus(ctx context.Context, id string, generation int64, s Status, reason string, at time.Time) (bool, error)
	// Revoke sets status revoked, erases both blobs, drops the lease and reports
	// whether the connection was not revoked before.
	Revoke(ctx context.Context, id, reason string, at time.Time) (bool, error)
	UpdateConnection(ctx context.Context, id string, p ConnectionPatch, at time.Time) error
	// DeleteConnection removes the row and its revoked candidates, or answers
	// [ErrInUse] while a candidate of it is not revoked.
	DeleteConnection(ctx context.Context, id string) error

	// InsertEvent writes an event; its position comes later, by NumberEvents.
	InsertEvent(ctx context.Context, e Event) error
}

// Store keeps rows. It sees ciphertext only and decides nothing; package store
// has it for SQLite and Postgres, and one conformance suite for both.
type Store interface {
	Reader
	secretStore
	auditStore
	testStore
	adminStore

	// Update runs fn in one transaction: committed if fn returns nil, else
	// rolled back. fn makes no call to anything but the transaction. It may run
	// more than once, each time from the start, where the database gave a
	// transaction up for the good of another.
	Update(ctx context.Context, fn func(tx Tx) error) error

	// LookupHeaders reads an API key by hash, its environment and a connection
	// of that environment in one round trip, for the hot path; nil where there is
	// no such key. What it answers was so at some moment since the call.
	LookupHeaders(ctx context.Context, keyHash []byte, connectionID string) (*HeadersRow, error)

	// ClaimLease gives owner the lease for ttl, if the connection is active or
	// pending, of this generation and nobody holds a live one. The row it returns
	// has the new lease, with Spending as the last holder left it; ok is false,
	// and row nil, where the claim failed. Time is the database's.
	ClaimLease(ctx context.Context, id string, generation int64, owner string, ttl time.Duration) (row *ConnectionRow, ok bool, err error)
	// NoteSpending records what the holder is about to send and makes the lease
	// last ttl from now; false means that the lease is lost and nothing may be sent.
	NoteSpending(ctx context.Context, id string, epoch int64, spending []byte, ttl time.Duration) (bool, error)
	// ExtendLease makes the lease of that epoch last ttl from now, if it still is
	// the newest and has not ended; false means that it is lost.
	ExtendLease(ctx context.Context, id string, epoch int64, ttl time.Duration) (bool, error)
	// ClaimDue takes up to limit active connections that are due and nobody
	// holds a lease of and are not of the integrations to be skipped, those that
	// expire first first, and makes them due again
	// after hold, should the process die that took them. Two replicas never get
	// the same one. Time is the database's.
	ClaimDue(ctx context.Context, limit int, hold time.Duration, skip []string) ([]Connection, error)
	// SetDue moves the next look at a connection, if it is of this generation.
	// The zero time is never.
	SetDue(ctx context.Context, id string, generation int64, at time.Time) error
	// Announce tells the other replicas that a connection has changed. It is a
	// hint that may get lost.
	Announce(ctx context.Context, id string) error
	// Listen calls heard for every announcement until ctx ends. It blocks.
	Listen(ctx context.Context, heard func(id string)) error

	// RevocationsDue lists the integrations with revocations that are due.
	RevocationsDue(ctx context.Context, now time.Time) ([]string, error)
	// PendingBefore lists connections whose time to be redeemed is over.
	PendingBefore(ctx context.Context, at time.Time, limit int) ([]Connection, error)
	// DeleteExpired removes attempts and guess windows that are over, sessions and
	// bulk revocations that ended before keepSince, and from before it events,
	// sign-in links and admins' sessions.
	DeleteExpired(ctx context.Context, now, keepSince time.Time) error

	// NumberEvents gives the next positions to up to limit committed events that
	// have none, of all environments, and answers how many there were. Positions
	// become visible in their order, and those of one connection are in the
	// order of its changes. It may run on all replicas at once.
	NumberEvents(ctx context.Context, limit int) (int, error)

	// Canary is the blob sealed at the first start, nil before that.
	Canary(ctx context.Context) ([]byte, error)
	// InsertCanary keeps the first one: it reports whether ours was stored.
	InsertCanary(ctx context.Context, blob []byte) (bool, error)
	// ReplaceCanary follows a rotation of the master keyset.
	ReplaceCanary(ctx context.Context, blob []byte) error

	// Sealed walks over the sealed blobs of an environment for resealing, in
	// pages by id after cursor.
	Sealed(ctx context.Context, environmentID, cursor string, limit int) ([]SealedRow, error)
	// Reseal replaces the blobs of one row, if it still holds the old ones.
	Reseal(ctx context.Context, old, sealed SealedRow) (bool, error)

	// Ping reports whether the database answers and has the schema of this release.
	Ping(ctx context.Context) error
	Close() error
}

// UseCoarse is how old a time of use gets before it is moved: what is read all
// the time would be written all the time, and the row of a connection is a
// large one.
const UseCoarse = 30 * time.Second

// SealedRow is the sealed part of one row of one table, for resealing.
type SealedRow struct {
	Table      string // "connections", "integrations", "revocations"
	ID         string
	Generation int64 // of a connection
	// Blobs are credential and answer of a connection, client secret and the one
	// before of an integration, or the one of the others.
	Blobs [][]byte
}
