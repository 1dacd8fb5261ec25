package vault

import (
	"context"
	"crypto/ed25519"
	"time"
)

// OverdueAfter is when others look after an entry that nobody signed for.
const OverdueAfter = overdueAfter

// HashOfStatement is the hash that stands for what is acknowledged.
func HashOfStatement(statement string) Digest { return hashOfStatement(statement) }

// Line is a finding as an acknowledgement has it.
func (f Finding) Line() string { return f.line() }

// Checkpoint signs how far the chains of this process have come.
func (v *Vault) Checkpoint(ctx context.Context) error { return v.checkpoint(ctx) }

// Note does what the background does each minute.
func (v *Vault) Note(ctx context.Context) error { return v.note(ctx) }

// Head is the end of the only chain of this process.
func (v *Vault) Head() ChainHead { return v.store.AuditHeads()[0] }

// DigestOf is the hash of an entry, which everybody can make.
func DigestOf(e *AuditEntry, prev Digest) Digest { return e.digest(prev) }

// SignCheckpoint is what anybody with a key of their own can make.
func SignCheckpoint(last *Checkpoint, kind CheckpointKind, head ChainHead, at time.Time, key ed25519.PrivateKey) Checkpoint {
	return nextCheckpoint(last, kind, head, 0, at, key)
}

// Retain sets for how long entries are kept.
func (v *Vault) Retain(d time.Duration) { v.retention = d }

// DropAudit does what the background does now and then.
func (v *Vault) DropAudit(ctx context.Context) error { return v.dropAudit(ctx) }

// Prune drops the checkpoints of entries before one that were signed before a time.
func (v *Vault) Prune(ctx context.Context, id string, before time.Time) error {
	return v.prune(ctx, id, before)
}

// DropBefore drops the entries before one.
func (v *Vault) DropBefore(ctx context.Context, id string) error {
	_, err := v.dropSome(ctx, id)
	return err
}

// BulkPart does one part of the bulk revocation that has waited longest, and
// reports whether there was one.
func (v *Vault) BulkPart(ctx context.Context) (bool, error) { return v.bulkPart(ctx) }
