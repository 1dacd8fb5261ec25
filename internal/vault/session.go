package vault

import "time"

// SessionStatus is where a connect session stands.
type SessionStatus string

// The statuses of a connect session.
const (
	SessionOpen      SessionStatus = "open"      // made, not opened in a browser
	SessionBound     SessionStatus = "bound"     // belongs to one browser
	SessionPending   SessionStatus = "pending"   // linked, the host has to redeem it
	SessionCompleted SessionStatus = "completed" // the connection is active
	SessionFailed    SessionStatus = "failed"    // ended without a connection
	SessionExpired   SessionStatus = "expired"   // ran out of time; never stored, always computed
)

// SessionKind is what a connect session is for.
type SessionKind string

// The kinds of connect sessions.
const (
	// SessionConnect is for linking one account, or mending one connection.
	SessionConnect SessionKind = "connect"
	// SessionManage shows an end user what they have linked, to reconnect and to
	// disconnect. It links nothing by itself.
	SessionManage SessionKind = "manage"
	// SessionTest is an admin's, to try an integration out; see [Vault.BeginTest].
	SessionTest SessionKind = "test"
)

// Completion says what makes a new connection active.
type Completion string

// The completions.
const (
	// CompleteAuto activates at once.
	CompleteAuto Completion = "auto"
	// CompleteRedeem waits for the host to redeem a one-time result for the
	// end user it sees signed in. It is what stops a link sent to a victim.
	CompleteRedeem Completion = "redeem"
)

// Bounds of a connect session.
const (
	DefaultSessionTTL = 30 * time.Minute
	MinSessionTTL     = time.Minute
	MaxSessionTTL     = 24 * time.Hour
	// BoundTTL is how long a session lives at most once a browser has it.
	BoundTTL = time.Hour
	// RedeemTTL is how long the host has to redeem.
	RedeemTTL = 10 * time.Minute
	// AttemptTTL is how long one trip to a provider may take.
	AttemptTTL = 15 * time.Minute
	// MaxWrongCredentials ends a session; MaxGuessesPerMinute slows an end user
	// over all their sessions. A form must not become a guessing machine.
	MaxWrongCredentials = 5
	MaxGuessesPerMinute = 20
	// MaxReconnects is how many reconnects one session of kind manage may begin.
	MaxReconnects = 30
)

// ConnectSession is the short-lived, single-use permission for one end user to
// create or mend one connection, or to manage those they have.
type ConnectSession struct {
	ID            string
	EnvironmentID string
	Kind          SessionKind
	// ParentID is the session of kind manage that this reconnect was begun in, ""
	// where a host made it.
	ParentID string
	EndUser  EndUser
	// Integrations are the keys on offer; never empty. In a session of kind manage
	// they narrow what it shows; none shows all.
	Integrations []string
	// ConnectionID is the connection to mend, or the one that was made.
	ConnectionID string
	// Reconnect says that ConnectionID was given when the session was made.
	Reconnect bool
	// AllowAccountChange lets a reconnect end at another account than before.
	AllowAccountChange bool
	ReturnURL          string
	Completion         Completion
	Tags               map[string]string
	Status             SessionStatus
	// Error is a stable word for why it failed.
	Error     string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// NewSession is what a host asks for. TTL 0 means [DefaultSessionTTL], and no
// kind [SessionConnect].
type NewSession struct {
	Kind               SessionKind
	EndUser            EndUser
	Integrations       []string
	ConnectionID       string
	AllowAccountChange bool
	ReturnURL          string
	Completion         Completion
	Tags               map[string]string
	TTL                time.Duration
}

// Attempt is one trip of a browser through a connect session, opened.
type Attempt struct {
	ID            string
	EnvironmentID string
	SessionID     string
	IntegrationID string
	Method        string
	// Values are the scheme's own secrets of this trip: nonce, PKCE verifier.
	Values Credential
	// Reply is what the provider sent back through the browser.
	Reply     Secret
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Linked is the outcome of a session whose credential was accepted.
type Linked struct {
	Session    ConnectSession
	Connection Connection
	// Result is the one-time code for the host, empty where the connection is
	// active already.
	Result Secret
}
