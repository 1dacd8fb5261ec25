package vault

import "context"

// auditReader reads the trail.
type auditReader interface {
	// Audit lists the trail of an environment, newest first.
	Audit(ctx context.Context, environmentID string, f AuditFilter) ([]AuditEntry, error)
}

type auditTx interface {
	// InsertAudit writes an entry with the transaction. It gets its id and its
	// place in the chain last, right before the commit.
	InsertAudit(ctx context.Context, e AuditEntry) error
}

// auditStore writes the trail. The entries of one open store are a [Chain], or a
// few where many transactions commit at a time: they are committed in its order, what
// is rolled back leaves no gap, and where nobody knows whether a commit came to pass
// another chain begins. The entries of one transaction are next to each other.
type auditStore interface {
	// ProveAudit sets what proves the entries written from now on, which begin
	// chains.
	ProveAudit(prove Prover)
	// AuditHeads are the last committed entries of the chains that have some.
	AuditHeads() []ChainHead
	// EndAudit ends the chains that have entries, and answers the last of each:
	// what is written after that begins others.
	EndAudit(ctx context.Context) ([]ChainHead, error)

	// LastCheckpoint is the one with the highest number, nil where there is none.
	LastCheckpoint(ctx context.Context) (*Checkpoint, error)
	// InsertCheckpoint writes one, or answers [ErrDuplicate] where its number is
	// taken.
	InsertCheckpoint(ctx context.Context, c Checkpoint) error
	// ChainEnds lists up to limit chains that have entries, from the one that began
	// last on, or after the given one in that order.
	ChainEnds(ctx context.Context, before string, limit int) ([]ChainEnd, error)
	// LastStated is the checkpoint that stands for most entries of a chain, nil
	// where none stands for any.
	LastStated(ctx context.Context, writer string) (*Checkpoint, error)
	// ChainEntries lists up to limit entries of a chain by number, from after the
	// given one on.
	ChainEntries(ctx context.Context, writer string, after int64, limit int) ([]AuditEntry, error)
	// LastOfKind is the last checkpoint of a kind about a chain, nil where there is
	// none.
	LastOfKind(ctx context.Context, writer string, kind CheckpointKind) (*Checkpoint, error)
	// StatedAfter lists up to limit checkpoints that say how far a chain has come, by
	// the number of the entry, from after the given one on.
	StatedAfter(ctx context.Context, writer string, seq int64, limit int) ([]Checkpoint, error)
	// CheckpointsBetween lists the checkpoints about entries with ids from first to
	// last, by that and their number.
	CheckpointsBetween(ctx context.Context, first, last string) ([]Checkpoint, error)
	// Acknowledgements lists the checkpoints of that kind.
	Acknowledgements(ctx context.Context) ([]Checkpoint, error)
	// AuditBefore lists the oldest entries of all environments with ids before end,
	// up to limit, by id.
	AuditBefore(ctx context.Context, end string, limit int) ([]AuditEntry, error)
	// DropAudit deletes the entries up to an id and writes the checkpoints that say
	// so, both or none. It answers [ErrDuplicate] where the number of one is taken,
	// and fails where there are not exactly so many.
	DropAudit(ctx context.Context, upTo string, count int, checkpoints []Checkpoint) error
	// CheckpointsAfter lists up to limit checkpoints by number, from after the given
	// one on.
	CheckpointsAfter(ctx context.Context, number int64, limit int) ([]Checkpoint, error)
	// DropCheckpoints deletes the checkpoints up to a number and writes the one that
	// says so, both or none, and fails as DropAudit does.
	DropCheckpoints(ctx context.Context, upTo int64, count int, statement Checkpoint) error
	// ReadTrail runs fn on the trail as it is at one moment.
	ReadTrail(ctx context.Context, fn func(TrailReader) error) error

	// AddReads writes gathered reads: an audit entry for each, and last_read_at
	// of the connections and last_used_at of the keys where they are older than
	// [UseCoarse], all or nothing. One without a connection is a mere use of the
	// key and makes no audit entry.
	AddReads(ctx context.Context, reads []ReadCount) error
	// AddAudit writes one entry, in a transaction of its own that it may share
	// with entries that others write at the moment.
	AddAudit(ctx context.Context, e AuditEntry) error
}

// TrailReader reads the trail of all environments.
type TrailReader interface {
	// TrailEntries lists up to limit entries by id, from the one after the given
	// id on.
	TrailEntries(ctx context.Context, after string, limit int) ([]AuditEntry, error)
	// TrailCheckpoints lists up to limit checkpoints by the id of their entry and
	// their number, from after the given one on.
	TrailCheckpoints(ctx context.Context, after Checkpoint, limit int) ([]Checkpoint, error)
}
