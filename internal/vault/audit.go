package vault

import (
	"fmt"
	"strings"
	"time"
)

// Action is what was done or tried, as the trail names it.
type Action string

// The actions.
const (
	ActionAuditAcknowledged        Action = "audit.acknowledged"
	ActionEnvironmentCreated       Action = "environment.created"
	ActionEnvironmentRenamed       Action = "environment.renamed"
	ActionEnvironmentSwitched      Action = "environment.switched"
	ActionReadAuditChanged         Action = "environment.read_audit_changed"
	ActionKeysetChanged            Action = "environment.keyset_changed"
	ActionAPIKeyCreated            Action = "api_key.created"
	ActionAPIKeyUpdated            Action = "api_key.updated"
	ActionAPIKeyRotated            Action = "api_key.rotated"
	ActionAPIKeyRevoked            Action = "api_key.revoked"
	ActionIntegrationCreated       Action = "integration.created"
	ActionIntegrationUpdated       Action = "integration.updated"
	ActionIntegrationSecretDropped Action = "integration.secret_dropped"
	ActionIntegrationDeleted       Action = "integration.deleted"
	ActionIntegrationTested        Action = "integration.tested"
	ActionSessionCreated           Action = "connect_session.created"
	ActionSessionBound             Action = "connect_session.bound"
	ActionSessionFailed            Action = "connect_session.failed"
	ActionSessionRedeemed          Action = "connect_session.redeemed"
	ActionSessionFinished          Action = "connect_session.finished"
	ActionLinkStarted              Action = "link.started"
	ActionLinkFailed               Action = "link.failed"
	ActionConnectionCreated        Action = "connection.created"
	ActionConnectionImported       Action = "connection.imported"
	ActionConnectionReconnect      Action = "connection.reconnected"
	ActionConnectionActivated      Action = "connection.activated"
	ActionConnectionUpdated        Action = "connection.updated"
	ActionConnectionRefreshed      Action = "connection.refreshed"
	ActionConnectionVerified       Action = "connection.verified"
	ActionRefreshAsked             Action = "connection.refresh_requested"
	ActionVerifyAsked              Action = "connection.verify_requested"
	ActionRefreshRescued           Action = "connection.refresh_token_saved"
	ActionRefreshFailed            Action = "connection.refresh_failed"
	ActionRefreshUncertain         Action = "connection.refresh_uncertain"
	ActionConnectionCondemned      Action = "connection.reconnect_required"
	ActionConnectionRevoked        Action = "connection.revoked"
	ActionConnectionDeleted        Action = "connection.deleted"
	ActionBulkCreated              Action = "bulk_revocation.created"
	ActionBulkStopped              Action = "bulk_revocation.stopped"
	ActionBulkResumed              Action = "bulk_revocation.resumed"
	ActionBulkCompleted            Action = "bulk_revocation.completed"
	ActionBaseURLHeld              Action = "connection.base_url_held"
	ActionBaseURLChanged           Action = "connection.base_url_changed"
	ActionHeadersRead              Action = "headers.read"
	ActionCredentialRead           Action = "credential.read"
	ActionProviderTold             Action = "provider.told"
	ActionAdminInvited             Action = "admin.invited"
	ActionAdminSignedIn            Action = "admin.signed_in"
	ActionAdminSignedOut           Action = "admin.signed_out"
	ActionAdminRefused             Action = "admin.refused"
	ActionAdminSessionEnded        Action = "admin.session_ended"
	ActionAdminRoleChanged         Action = "admin.role_changed"
	ActionAdminRemoved             Action = "admin.removed"
	ActionAdminRestored            Action = "admin.restored"
	ActionRefused                  Action = "refused"
)

// AuditEntry is one line of the trail. Its members are typed words and ids: no
// free text comes in, so that no secret can. ID, Writer, Seq, Hash and Proof are
// given to it by [Chain.Link].
type AuditEntry struct {
	ID            string
	EnvironmentID string
	At            time.Time
	ActorKind     CallerKind
	ActorID       string
	Action        Action
	Allowed       bool
	ConnectionID  string
	IntegrationID string
	SessionID     string
	// Reason is a stable word: a scope that was missing, a check that failed,
	// a status reason.
	Reason string
	// Generation is the credential's generation after the action, 0 where it
	// does not apply.
	Generation int64
	// Count is how many times, 1 for all but what is gathered.
	Count int64
	// Writer names the chain that the entry is in, and Seq its place there, from 1.
	Writer string
	Seq    int64
	// Hash is over all of the above, and the hash of the entry before.
	Hash  Digest
	Proof Proof
}

// maxWord is the length of the longest word in an entry, in bytes.
const maxWord = 128

// isWord reports whether s is a word or a few of them, or an id of ours, or
// empty: nothing that anybody wrote, and no token. Digits are in ids only, behind
// their prefix.
func isWord(s string) bool {
	if len(s) > maxWord || strings.HasPrefix(s, "clv_") {
		return false
	}
	prefix := strings.IndexByte(s, '_')
	id := prefix >= 2 && prefix <= 4
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', c == '_', c == '-', c == '.', c == ':':
		case '0' <= c && c <= '9' && id:
		default:
			return false
		}
	}
	return true
}

// Check answers nil or an error that is [ErrUnfit]: a member is no word, or the
// time is missing. The error does not quote it.
func (e *AuditEntry) Check() error {
	if e.At.IsZero() {
		return fmt.Errorf("audit entry without a time: %w", ErrUnfit)
	}
	for _, m := range [...]struct{ name, word string }{
		{"environment", e.EnvironmentID},
		{"actor kind", string(e.ActorKind)},
		{"actor", e.ActorID},
		{"action", string(e.Action)},
		{"connection", e.ConnectionID},
		{"integration", e.IntegrationID},
		{"session", e.SessionID},
		{"reason", e.Reason},
	} {
		if !isWord(m.word) {
			return fmt.Errorf("audit entry whose %s is no word: %w", m.name, ErrUnfit)
		}
	}
	return nil
}

// AuditFilter narrows the trail. Empty members do not narrow.
type AuditFilter struct {
	ConnectionID  string
	ActorID       string
	Action        Action
	IntegrationID string
	// Refused leaves what was not allowed, or did not succeed.
	Refused bool
	// Since and Until bound At; Until is not in it.
	Since, Until time.Time
	// OldestFirst turns the order round. The page is of what comes after its
	// cursor in that order.
	OldestFirst bool
	Page        Page
}

// writtenLate is how much later than it happened something is in the trail: reads
// are gathered, and the clocks of replicas differ.
const writtenLate = 10 * time.Minute

// IDs bounds the ids of what Since and Until leave, "" where they do not: the
// first that there may be, and the first that is too late.
func (f *AuditFilter) IDs() (first, end string) {
	if !f.Since.IsZero() {
		first = firstID(entryPrefix, f.Since.Add(-clockSkew))
	}
	if !f.Until.IsZero() {
		end = firstID(entryPrefix, f.Until.Add(writtenLate))
	}
	return first, end
}

// ReadCount is how often one key read one connection since it was last written
// down, within one minute.
type ReadCount struct {
	EnvironmentID string
	ActorID       string
	ConnectionID  string
	Action        Action
	LastAt        time.Time
	Count         int64
	// Written says that the entries are in the trail already, one for each read;
	// what is left are the times of use.
	Written bool
}

// Entry is the entry of reads that need one.
func (r *ReadCount) Entry() (e AuditEntry, ok bool) {
	return AuditEntry{
		EnvironmentID: r.EnvironmentID, At: r.LastAt, ActorKind: CallerAPIKey, ActorID: r.ActorID,
		Action: r.Action, Allowed: true, ConnectionID: r.ConnectionID, Count: r.Count,
	}, r.ConnectionID != "" && !r.Written
}
