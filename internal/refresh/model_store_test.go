package refresh_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// modelDatabase is one environment with one connection. It does what the SQL of
// package store does, compare-and-set by compare-and-set, by its own clock.
type modelDatabase struct {
	world *modelWorld // nil while the database is filled

	mu          sync.Mutex
	environment *vault.Environment
	key         *vault.APIKey
	integration *vault.IntegrationRow
	row         *vault.ConnectionRow
	written     int // how often the row was
}

func (d *modelDatabase) clone(w *modelWorld) *modelDatabase {
	row := *d.row
	return &modelDatabase{world: w, environment: d.environment, key: d.key, integration: d.integration, row: &row}
}

// look is the row as a read finds it. d.mu is held.
func (d *modelDatabase) look() *vault.ConnectionRow {
	row := *d.row
	row.Lease.Held = row.Lease.Until.After(time.Now())
	return &row
}

// modelLink is the database as one process reaches it. The nil interface stands
// for what the protocol has no use of.
type modelLink struct {
	vault.Store

	db *modelDatabase
	p  *modelProcess // nil: whoever fills the database, or inspects it
}

// call is one round trip: nothing of do happens before the step, and what came
// of it may not be heard of after.
func (l *modelLink) call(ctx context.Context, what string, do func()) error {
	if l.p == nil {
		l.db.mu.Lock()
		defer l.db.mu.Unlock()
		do()
		return nil
	}
	if err := l.p.step(what); err != nil {
		return err
	}
	kind := l.p.troubled(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if kind == refuseOnce {
		return errModelRefused
	}
	l.db.mu.Lock()
	do()
	l.db.mu.Unlock()
	if kind == loseAnswer {
		return errModelRefused
	}
	return l.heard(ctx, what)
}

// heard is the answer of the database on its way: a stopped process does not
// hear it before it goes on, and then perhaps too late.
func (l *modelLink) heard(ctx context.Context, what string) error {
	if err := l.p.step(answerOf + what); err != nil {
		return err
	}
	return ctx.Err()
}

// answerOf marks the steps at which a process only learns of what has happened:
// to be killed there is to be killed at the next one.
const answerOf = "answer to "

func (l *modelLink) Environment(ctx context.Context, id string) (env *vault.Environment, err error) {
	err = l.call(ctx, "Environment", func() { env = l.db.environment })
	if err == nil && (env == nil || env.ID != id) {
		return nil, vault.ErrNotFound
	}
	return env, err
}

// Environments is asked for at the start, before anything is served.
func (l *modelLink) Environments(context.Context) ([]vault.Environment, error) {
	return []vault.Environment{*l.db.environment}, nil
}

func (l *modelLink) EnvironmentByName(context.Context, string) (*vault.Environment, error) {
	return nil, vault.ErrNotFound
}

func (l *modelLink) Integration(ctx context.Context, _, _ string) (in *vault.IntegrationRow, err error) {
	err = l.call(ctx, "Integration", func() { in = l.db.integration })
	return in, err
}

func (l *modelLink) LookupHeaders(ctx context.Context, _ []byte, _ string) (row *vault.HeadersRow, err error) {
	err = l.call(ctx, "LookupHeaders", func() {
		k, r := l.db.key, l.db.row
		row = &vault.HeadersRow{
			KeyID: k.ID, EnvironmentID: k.EnvironmentID, KeyHash: k.Hash, Scopes: k.Scopes,
			Status: r.Status, StatusReason: r.StatusReason, Generation: r.Generation, ExpiresAt: r.ExpiresAt,
			Renewable: r.Renewable, Answer: r.Answer,
		}
		l.p.mu.Lock()
		l.p.looked, l.p.version = time.Now(), l.db.written
		l.p.mu.Unlock()
	})
	return row, err
}

func (l *modelLink) Connection(ctx context.Context, _, _ string) (row *vault.ConnectionRow, err error) {
	if l.p == nil {
		l.db.mu.Lock()
		defer l.db.mu.Unlock()
		return l.db.look(), nil
	}
	see := func() string {
		l.db.mu.Lock()
		defer l.db.mu.Unlock()
		row = l.db.look()
		return fmt.Sprint(l.db.written, row.Lease.Held)
	}
	again := l.p.again(see())
	if !again {
		if err := l.p.step("Connection"); err != nil {
			return nil, err
		}
	}
	kind := l.p.troubled(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if kind == refuseOnce || kind == loseAnswer {
		return nil, errModelRefused
	}
	seen := see() // it may have been stopped since
	if !again {
		err = l.heard(ctx, "Connection")
		l.p.saw(seen)
	}
	return row, err
}

func (l *modelLink) ClaimLease(ctx context.Context, _ string, generation int64, owner string, ttl time.Duration) (row *vault.ConnectionRow, ok bool, err error) {
	err = l.call(ctx, "ClaimLease", func() {
		r := l.db.row
		now := time.Now()
		live := r.Status == vault.StatusActive || r.Status == vault.StatusPending
		if r.Generation != generation || !live || r.Lease.Until.After(now) {
			return
		}
		r.Lease.Owner, r.Lease.Until = owner, now.Add(ttl)
		r.Lease.Epoch++
		row, ok = l.db.look(), true
		l.db.changed("ClaimLease")
		l.db.world.claimed(l.p, r.Lease)
	})
	return row, ok, err
}

func (l *modelLink) NoteSpending(ctx context.Context, _ string, epoch int64, spending []byte, ttl time.Duration) (held bool, err error) {
	err = l.call(ctx, "NoteSpending", func() {
		if held = l.db.extend(epoch, ttl); held {
			l.db.row.Lease.Spending = spending
			l.db.changed("NoteSpending")
			l.db.world.extended(l.p, l.db.row.Lease, true)
		}
	})
	return held, err
}

func (l *modelLink) ExtendLease(ctx context.Context, _ string, epoch int64, ttl time.Duration) (held bool, err error) {
	err = l.call(ctx, "ExtendLease", func() {
		if held = l.db.extend(epoch, ttl); held {
			l.db.changed("ExtendLease")
			l.db.world.extended(l.p, l.db.row.Lease, false)
		}
	})
	return held, err
}

// extend is the heartbeat. d.mu is held.
func (d *modelDatabase) extend(epoch int64, ttl time.Duration) bool {
	now := time.Now()
	if d.row.Lease.Epoch != epoch || !d.row.Lease.Until.After(now) {
		return false
	}
	d.row.Lease.Until = now.Add(ttl)
	return true
}

// changed says that the row was written. d.mu is held.
func (d *modelDatabase) changed(by string) {
	d.written++
	if d.world != nil {
		r := d.row
		d.world.note("database", fmt.Sprintf("%s: generation %d, %s %s, epoch %d until %s, spending %t", by, r.Generation,
			r.Status, r.StatusReason, r.Lease.Epoch, d.world.clock(r.Lease.Until), r.Lease.Spending != nil))
	}
}

func (l *modelLink) SetDue(ctx context.Context, _ string, _ int64, _ time.Time) error {
	return l.call(ctx, "SetDue", func() {})
}

// ClaimDue has nothing to do, ever: it is for readers to have the credential
// refreshed, and idle rounds only cost time.
func (l *modelLink) ClaimDue(ctx context.Context, _ int, _ time.Duration, _ []string) ([]vault.Connection, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (l *modelLink) Announce(_ context.Context, id string) error {
	l.db.world.announce(id)
	return nil
}

func (l *modelLink) Listen(ctx context.Context, heard func(id string)) error {
	l.db.world.listen(ctx, l.p, heard)
	return nil
}

// Update runs a transaction. Statements that find nothing to change lock
// nothing, so that others may come in between; from the first change to the end
// nobody does.
func (l *modelLink) Update(ctx context.Context, fn func(vault.Tx) error) error {
	tx := &modelTx{l: l}
	err := fn(tx)
	if err == nil {
		err = tx.lock(ctx, "Insert")
	}
	if !tx.locked {
		return err
	}
	if err != nil || tx.kind == refuseOnce {
		*l.db.row = tx.before
		l.db.mu.Unlock()
		if err == nil {
			err = errModelRefused
		}
		return err
	}
	for _, effect := range tx.effects {
		effect()
	}
	l.db.mu.Unlock()
	switch {
	case l.p == nil:
		return nil
	case tx.kind == loseAnswer:
		return errModelRefused
	}
	return l.heard(ctx, "Update")
}

type modelTx struct {
	vault.Tx

	l       *modelLink
	locked  bool
	kind    modelTroubleKind
	before  vault.ConnectionRow
	effects []func() // what the judge is told once it has happened
}

// lock takes the row. It is the step of the transaction.
func (t *modelTx) lock(ctx context.Context, what string) error {
	if t.locked {
		return nil
	}
	if p := t.l.p; p != nil {
		if err := p.step(what); err != nil {
			return err
		}
		t.kind = p.troubled(ctx)
		err := ctx.Err()
		if err == nil && t.kind == refuseOnce {
			err = errModelRefused
		}
		if err != nil {
			p.mu.Lock()
			p.refused = p.refused || what == "SaveCredential"
			p.mu.Unlock()
			return err
		}
	}
	t.l.db.mu.Lock()
	t.locked = true
	if t.l.db.row != nil {
		t.before = *t.l.db.row
	}
	return nil
}

// unlock is for a statement that found nothing to change.
func (t *modelTx) unlock() {
	if len(t.effects) == 0 {
		t.locked = false
		t.l.db.mu.Unlock()
	}
}

func (t *modelTx) SaveCredential(ctx context.Context, _ string, generation, epoch int64, ch vault.CredentialChange) (bool, error) {
	if err := t.lock(ctx, "SaveCredential"); err != nil {
		return false, err
	}
	d := t.l.db
	r := d.row
	if r.Generation != generation || r.Status == vault.StatusRevoked || epoch != 0 && r.Lease.Epoch != epoch {
		t.unlock()
		return false, nil
	}
	r.Generation++
	r.Credential, r.Answer = ch.Credential, ch.Answer
	r.Status, r.StatusReason = ch.Status, ch.StatusReason
	r.BaseURL, r.Account, r.Scopes = ch.BaseURL, ch.Account, ch.Scopes
	r.ExpiresAt, r.RefreshExpiresAt, r.Renewable = ch.ExpiresAt, ch.RefreshExpiresAt, ch.Renewable
	r.UpdatedAt, r.DueAt = ch.At, ch.DueAt
	if ch.Refreshed {
		r.LastRefreshedAt = ch.At
	}
	if !ch.KeepLease {
		r.Failures = 0
		r.Lease.Owner, r.Lease.Until = "", time.Time{}
	}
	r.Lease.Spending = nil
	old := t.before
	t.effects = append(t.effects, func() {
		d.changed("SaveCredential")
		d.world.saved(t.l.p, &old, d.row, ch, d.written)
	})
	return true, nil
}

func (t *modelTx) ReleaseLease(ctx context.Context, _ string, epoch int64, rel vault.Release) (bool, error) {
	if err := t.lock(ctx, "ReleaseLease"); err != nil {
		return false, err
	}
	d := t.l.db
	r := d.row
	if r.Lease.Epoch != epoch {
		t.unlock()
		return false, nil
	}
	r.Lease.Owner, r.Lease.Until = "", time.Time{}
	if !rel.KeepSpending {
		r.Lease.Spending = nil
	}
	if rel.Failed {
		r.Failures++
	}
	t.effects = append(t.effects, func() {
		d.changed("ReleaseLease")
		d.world.released(t.l.p, epoch)
	})
	return true, nil
}

func (t *modelTx) LockConnection(ctx context.Context, _, _ string) (*vault.ConnectionRow, error) {
	if err := t.lock(ctx, "LockConnection"); err != nil {
		return nil, err
	}
	t.effects = append(t.effects, func() {})
	return t.l.db.look(), nil
}

func (t *modelTx) SetStatus(ctx context.Context, _ string, generation int64, s vault.Status, reason string, at time.Time) (bool, error) {
	if err := t.lock(ctx, "SetStatus"); err != nil {
		return false, err
	}
	d := t.l.db
	r := d.row
	if r.Generation != generation || r.Status == vault.StatusRevoked {
		t.unlock()
		return false, nil
	}
	r.Status, r.StatusReason, r.UpdatedAt = s, reason, at
	t.effects = append(t.effects, func() {
		d.changed("SetStatus")
		d.world.condemned(t.l.p, d.row)
	})
	return true, nil
}

func (*modelLink) ProveAudit(vault.Prover) {}

func (t *modelTx) InsertAudit(context.Context, vault.AuditEntry) error { return nil }

func (t *modelTx) InsertEvent(context.Context, vault.Event) error { return nil }

func (t *modelTx) InsertEnvironment(ctx context.Context, e vault.Environment) error {
	if err := t.lock(ctx, "InsertEnvironment"); err != nil {
		return err
	}
	t.l.db.environment = &e
	return nil
}

func (t *modelTx) InsertAPIKey(ctx context.Context, k vault.APIKey) error {
	if err := t.lock(ctx, "InsertAPIKey"); err != nil {
		return err
	}
	t.l.db.key = &k
	return nil
}

func (t *modelTx) InsertIntegration(ctx context.Context, in vault.IntegrationRow) error {
	if err := t.lock(ctx, "InsertIntegration"); err != nil {
		return err
	}
	t.l.db.integration = &in
	return nil
}

func (t *modelTx) InsertConnection(ctx context.Context, c vault.ConnectionRow) error {
	if err := t.lock(ctx, "InsertConnection"); err != nil {
		return err
	}
	t.l.db.row = &c
	return nil
}

// BulkDeletionOf: nobody deletes the integration of a model.
func (t *modelTx) BulkDeletionOf(context.Context, string, string) (*vault.BulkRevocation, error) {
	return nil, vault.ErrNotFound
}
