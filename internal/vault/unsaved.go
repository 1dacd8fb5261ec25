package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Unsaved is a renewed credential on its way into the database, sealed for its
// place there. Until it has arrived it exists nowhere else; [Vault.SealUnsaved]
// makes of it what a spool can keep.
type Unsaved struct {
	// Connection is the connection as it was when the lease was taken.
	Connection Connection
	// ExpiresAt is the end of the new headers, zero where the provider does not say.
	ExpiresAt time.Time

	epoch       int64
	action      Action
	change      CredentialChange
	held        bool // another API root was named, and not followed
	rescued     bool // its refresh token is in the database already
	integration Integration
	credential  Credential
	answer      Answer
}

// Name tells unsaved credentials apart. The one that follows in the same
// renewal has the same name: it replaces the one before.
func (u *Unsaved) Name() string {
	return fmt.Sprintf("%s.%d.%d", u.Connection.ID, u.Connection.Generation, u.epoch)
}

// Servable reports whether its headers are at hand: not after it was spooled
// and read again.
func (u *Unsaved) Servable() bool { return u.answer.doc != nil }

// SaveOutcome says what became of a save.
type SaveOutcome int

// The outcomes.
const (
	// SaveMoved: the connection has moved on, and what was to be saved is void.
	// Where it was revoked, the provider will be told to end this credential too.
	SaveMoved SaveOutcome = iota
	// SaveDone: it is in the database, now or since an earlier try.
	SaveDone
	// SaveLate: the lease had gone to somebody else, who may have sent the spent
	// token again. What we have may be dead, so it counts as expired: the
	// next refresh tells.
	SaveLate
	// SaveHeld: somebody else holds the lease right now, and may come back with
	// something newer. Try again when that lease has ended.
	SaveHeld
)

// Orphan ends u's renewal: what remains is to be saved by itself, and no lease
// is kept for it.
func (u *Unsaved) Orphan() { u.change.KeepLease = false }

// PrepareSave seals what the provider answered.
func (v *Vault) PrepareSave(ctx context.Context, r *Renewal, g Grant) (*Unsaved, error) {
	u, err := v.prepare(ctx, r, g, ActionConnectionRefreshed)
	if err == nil {
		u.change.Refreshed = true
	}
	return u, err
}

// PrepareRescue seals a rotated refresh token before the rest of the answer has
// been checked: what was handed out meanwhile goes on being handed out. The
// lease stays with r.
func (v *Vault) PrepareRescue(ctx context.Context, r *Renewal, g Grant) (*Unsaved, error) {
	u, err := v.prepare(ctx, r, g, ActionRefreshRescued)
	if err == nil {
		u.change.KeepLease = true
		u.change.DueAt = v.now() // should nobody live to do the rest
	}
	return u, err
}

func (v *Vault) prepare(ctx context.Context, r *Renewal, g Grant, action Action) (*Unsaved, error) {
	ch, err := v.change(ctx, &r.Connection, &g)
	if err != nil {
		return nil, err
	}
	rendered, err := renderAnswer(g.Headers, g.BaseURL, g.ExpiresAt, r.Connection.Generation+1)
	if err != nil {
		return nil, err
	}
	return &Unsaved{
		Connection: r.Connection, ExpiresAt: g.ExpiresAt, epoch: r.epoch, action: action, change: ch, held: g.HeldBaseURL != "", rescued: r.rescued,
		integration: r.Integration, credential: g.Credential, answer: Answer{rendered},
	}, nil
}

// Save puts an unsaved credential where it belongs, if the connection is still
// where it was. It may be tried again and again, and by another process.
func (v *Vault) Save(ctx context.Context, caller Caller, u *Unsaved) (SaveOutcome, error) {
	var outcome SaveOutcome
	err := v.store.Update(ctx, func(tx Tx) error {
		saved, err := tx.SaveCredential(ctx, u.Connection.ID, u.Connection.Generation, u.epoch, u.change)
		if err != nil {
			return err
		}
		if saved {
			outcome = SaveDone
			return v.noteSaved(ctx, tx, caller, u, u.Connection.Failures >= failingAfter, "")
		}
		outcome, err = v.saveLate(ctx, tx, caller, u)
		return err
	})
	if errors.Is(err, ErrDuplicate) { // the revocation is in the outbox since an earlier try
		return SaveMoved, nil
	}
	if err != nil {
		return SaveMoved, fmt.Errorf("saving renewed credential of %s: %w", u.Connection.ID, err)
	}
	return outcome, nil
}

// saveLate finds out why a save did not apply, and what can still be done.
func (v *Vault) saveLate(ctx context.Context, tx Tx, caller Caller, u *Unsaved) (SaveOutcome, error) {
	c := u.Connection
	row, err := tx.LockConnection(ctx, c.EnvironmentID, c.ID)
	gone := errors.Is(err, ErrNotFound)
	switch {
	case err != nil && !gone:
		return SaveMoved, err
	case gone, row.Status == StatusRevoked:
		v.log.Warn("a connection was revoked while it was refreshed; the provider is told about the new credential too", "connection", c.ID)
		// Another id than the revocation of what was there before has.
		return SaveMoved, v.enqueueRevocation(ctx, tx, &RevocationRow{ID: u.Name(), Connection: c}, u.integration, u.credential)
	case bytes.Equal(row.Credential, u.change.Credential):
		return SaveDone, nil
	case row.Generation != c.Generation:
		return SaveMoved, nil
	case u.rescued:
		// Only headers would be lost. Whoever has had the lease since may have spent
		// the refresh token that was saved: what that came to counts.
		return SaveMoved, nil
	case row.Status == StatusActive && row.Lease.Held && row.Lease.Epoch != u.epoch:
		return SaveHeld, nil
	case row.Status != StatusActive && row.StatusReason != ReasonOutcomeLost && u.action != ActionRefreshRescued:
		return SaveMoved, nil
	}
	// Nobody has got anything newer, whatever they tried since.
	ch := u.change
	ch.ExpiresAt, ch.DueAt, ch.KeepLease = v.now(), v.now(), false
	if row.Status != StatusActive && row.StatusReason != ReasonOutcomeLost {
		// Condemned for what came with it. The token is kept, so that the provider
		// can be told to end it.
		ch.Status, ch.StatusReason, ch.DueAt = row.Status, row.StatusReason, time.Time{}
		saved, err := tx.SaveCredential(ctx, c.ID, c.Generation, 0, ch)
		if err != nil || !saved {
			return SaveMoved, err
		}
		c.Generation++
		return SaveDone, tx.InsertAudit(ctx, v.connectionEntry(caller, u.action, &c))
	}
	// If the provider refuses it, that was no withdrawal.
	if ch.Spending, err = v.fingerprint(ctx, &c, c.Generation+1, u.credential); err != nil {
		return SaveMoved, err
	}
	saved, err := tx.SaveCredential(ctx, c.ID, c.Generation, 0, ch)
	if err != nil || !saved {
		return SaveMoved, err
	}
	return SaveLate, v.noteSaved(ctx, tx, caller, u, row.Status != StatusActive || row.Failures >= failingAfter, reasonLate)
}

// reasonLate is in the trail beside what was saved after its lease had ended.
const reasonLate = "late"

// noteSaved writes the trail and the events of a save.
func (v *Vault) noteSaved(ctx context.Context, tx Tx, caller Caller, u *Unsaved, recovered bool, reason string) error {
	c := u.Connection
	c.Generation++
	c.Status, c.StatusReason = StatusActive, ""
	e := v.connectionEntry(caller, u.action, &c)
	e.Reason = reason
	if err := tx.InsertAudit(ctx, e); err != nil {
		return err
	}
	if u.action == ActionConnectionRefreshed {
		if err := v.emit(ctx, tx, EventRefreshed, &c, ""); err != nil {
			return err
		}
	} else if reason == "" {
		recovered = false // the rest of the same renewal will tell
	}
	if recovered {
		if err := v.emit(ctx, tx, EventRecovered, &c, ""); err != nil {
			return err
		}
	}
	if !u.held {
		return nil
	}
	held := v.connectionEntry(caller, ActionBaseURLHeld, &c)
	held.Allowed, held.Reason = false, ReasonBaseURLHeld
	return tx.InsertAudit(ctx, held)
}

// ServeUnsaved answers the headers of an unsaved credential to a caller that
// has waited for it, where the database has nothing newer to say.
func (v *Vault) ServeUnsaved(ctx context.Context, s Stored, u *Unsaved) (Answer, error) {
	return u.answer, v.noteRead(ctx, s)
}

// spooled is an unsaved credential as a document.
type spooled struct {
	Connection Connection       `json:"connection"`
	ExpiresAt  time.Time        `json:"expires_at"`
	Epoch      int64            `json:"epoch"`
	Action     Action           `json:"action"`
	Change     CredentialChange `json:"change"`
	Held       bool             `json:"held"`
	Rescued    bool             `json:"rescued"`
	Message    message          `json:"message"`
}

// unsavedPlace is the same for all: what is in it names its own place, and a
// spool is read before anything else is known.
func unsavedPlace() place { return place{table: "spool", purpose: purposeUnsaved} }

// SealUnsaved seals it with the master keyset, so that the spool of another
// keyset is told apart without a database.
func (v *Vault) SealUnsaved(u *Unsaved) ([]byte, error) {
	plain, err := json.Marshal(spooled{ //nolint:musttag // what is in it goes by the names of Go: only this program reads it
		Connection: u.Connection, ExpiresAt: u.ExpiresAt, Epoch: u.epoch, Action: u.action, Change: u.change, Held: u.held, Rescued: u.rescued,
		Message: newMessage(u.integration, u.credential),
	})
	if err != nil {
		return nil, errors.New("encoding an unsaved credential")
	}
	return v.master.seal(unsavedPlace(), plain)
}

// OpenUnsaved opens what [Vault.SealUnsaved] sealed, or answers [ErrSeal]. It
// can be saved; its headers cannot be served any more.
func (v *Vault) OpenUnsaved(sealed []byte) (*Unsaved, error) {
	plain, err := v.master.open(unsavedPlace(), sealed)
	if err != nil {
		return nil, err
	}
	var doc spooled
	if err := json.Unmarshal(plain, &doc); err != nil { //nolint:musttag // as it was written
		return nil, errors.New("decoding an unsaved credential")
	}
	doc.Change.KeepLease = false // its renewal has ended
	return &Unsaved{
		Connection: doc.Connection, ExpiresAt: doc.ExpiresAt, epoch: doc.Epoch, action: doc.Action, change: doc.Change, held: doc.Held, rescued: doc.Rescued,
		integration: doc.Message.integration(doc.Connection.EnvironmentID), credential: doc.Message.credential(),
	}, nil
}
