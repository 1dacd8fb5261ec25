package vault

import "context"

// Checkpoint does what the background does each minute.
func (v *Vault) Checkpoint(ctx context.Context) error { return v.checkpoint(ctx) }

// Head is the end of the chain of this process.
func (v *Vault) Head(ctx context.Context) (ChainHead, error) { return v.store.AuditHead(ctx) }

// DigestOf is the hash of an entry, which everybody can make.
func DigestOf(e *AuditEntry, prev Digest) Digest { return e.digest(prev) }
