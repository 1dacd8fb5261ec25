package store

import (
	"cmp"
	"context"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const auditColumns = `id, environment_id, at, actor_kind, actor_id, action, allowed,
	connection_id, integration_id, session_id, reason, generation, count, writer, seq, hash, proof`

func scanAudit(row scanner) (e vault.AuditEntry, err error) {
	err = row.Scan(&e.ID, &e.EnvironmentID, timeColumn{&e.At}, &e.ActorKind, &e.ActorID, &e.Action, &e.Allowed,
		textColumn{&e.ConnectionID}, textColumn{&e.IntegrationID}, textColumn{&e.SessionID}, &e.Reason, &e.Generation, &e.Count,
		&e.Writer, &e.Seq, bytesColumn(e.Hash[:]), bytesColumn(e.Proof[:]))
	return e, err
}

// Audit lists the trail of an environment, newest first unless it is asked for
// the other way round.
func (r reader) Audit(ctx context.Context, environmentID string, f vault.AuditFilter) ([]vault.AuditEntry, error) {
	var w where
	w.and("environment_id = ?", environmentID)
	if f.ConnectionID != "" {
		w.and("connection_id = ?", f.ConnectionID)
	}
	if f.ActorID != "" {
		w.and("actor_id = ?", f.ActorID)
	}
	if f.Action != "" {
		w.and("action = ?", string(f.Action))
	}
	if f.IntegrationID != "" {
		w.and("integration_id = ?", f.IntegrationID)
	}
	if f.Refused {
		w.and("allowed = FALSE")
	}
	first, end := f.IDs()
	if first != "" {
		w.and("at >= ? AND id >= ?", f.Since.UnixMicro(), first)
	}
	if end != "" {
		w.and("at < ? AND id < ?", f.Until.UnixMicro(), end)
	}
	var tail string
	var args []any
	if f.OldestFirst {
		w.and("id > ?", f.Page.Cursor)
		tail, args = w.limit("id", limitOf(f.Page))
	} else {
		tail, args = w.page("id", f.Page)
	}
	return many(ctx, r.conn, "listing audit entries", scanAudit, `SELECT `+auditColumns+` FROM audit_entries`+tail, args...)
}

// InsertAudit keeps an entry for the end of the transaction.
func (t tx) InsertAudit(_ context.Context, e vault.AuditEntry) error {
	if err := e.Check(); err != nil {
		return err
	}
	*t.entries = append(*t.entries, e)
	return nil
}

// entryBatch is how many entries one transaction writes at most.
const entryBatch = 200

// entryTime bounds one transaction.
const entryTime = 10 * time.Second

func (s *Store) newEntries(ctx context.Context) *batches[vault.AuditEntry] {
	ctx = context.WithoutCancel(ctx) // of the start
	return newBatches(1, entryBatch, func(_ int, batch []*wanted[vault.AuditEntry]) error {
		ctx, cancel := context.WithTimeout(ctx, entryTime)
		defer cancel()
		return s.update(ctx, func(t tx) error {
			for _, x := range batch {
				*t.entries = append(*t.entries, x.it)
			}
			return nil
		})
	})
}

// AddAudit writes one entry, in a transaction that it shares with whoever else
// writes one at the moment. It is committed when this returns without an error.
func (s *Store) AddAudit(ctx context.Context, e vault.AuditEntry) error {
	if err := e.Check(); err != nil { // or those that share the transaction have the damage
		return err
	}
	_, err := s.entries.do(ctx, e)
	return err
}

// insertEntries writes entries that have their place in the chain.
func (t tx) insertEntries(ctx context.Context, entries []vault.AuditEntry, batch int) error {
	for some := range slices.Chunk(entries, batch) {
		with, args := t.d.rows(
			texts("id", some, func(e *vault.AuditEntry) string { return e.ID }),
			texts("environment_id", some, func(e *vault.AuditEntry) string { return e.EnvironmentID }),
			numbers("at", some, func(e *vault.AuditEntry) int64 { return e.At.UnixMicro() }),
			texts("actor_kind", some, func(e *vault.AuditEntry) string { return string(e.ActorKind) }),
			texts("actor_id", some, func(e *vault.AuditEntry) string { return e.ActorID }),
			texts("action", some, func(e *vault.AuditEntry) string { return string(e.Action) }),
			numbers("allowed", some, func(e *vault.AuditEntry) int64 {
				if e.Allowed {
					return 1
				}
				return 0
			}),
			texts("connection_id", some, func(e *vault.AuditEntry) string { return e.ConnectionID }),
			texts("integration_id", some, func(e *vault.AuditEntry) string { return e.IntegrationID }),
			texts("session_id", some, func(e *vault.AuditEntry) string { return e.SessionID }),
			texts("reason", some, func(e *vault.AuditEntry) string { return e.Reason }),
			numbers("generation", some, func(e *vault.AuditEntry) int64 { return e.Generation }),
			numbers("count", some, func(e *vault.AuditEntry) int64 { return e.Count }),
			texts("writer", some, func(e *vault.AuditEntry) string { return e.Writer }),
			numbers("seq", some, func(e *vault.AuditEntry) int64 { return e.Seq }),
			blobs("hash", some, func(e *vault.AuditEntry) []byte { return e.Hash[:] }),
			blobs("proof", some, func(e *vault.AuditEntry) []byte { return e.Proof[:] }),
		)
		err := t.insert(ctx, "inserting audit entries", with+`
			INSERT INTO audit_entries (`+auditColumns+`)
			SELECT id, environment_id, at, actor_kind, actor_id, action, allowed <> 0,
				nullif(connection_id, ''), nullif(integration_id, ''), nullif(session_id, ''), reason, generation, count,
				writer, seq, hash, proof FROM r`,
			args...)
		if err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}

// AddReads writes gathered reads: entries for those that need one, and when
// keys and connections were last used.
func (s *Store) AddReads(ctx context.Context, reads []vault.ReadCount) error {
	update := s.update
	if s.pool == nil {
		update = s.updateSoon
	}
	return update(ctx, func(t tx) error {
		for i := range reads {
			if e, ok := reads[i].Entry(); ok {
				if err := t.InsertAudit(ctx, e); err != nil {
					return err
				}
			}
		}
		slices.SortFunc(*t.entries, func(a, b vault.AuditEntry) int { // as the index has them
			return cmp.Or(cmp.Compare(a.ConnectionID, b.ConnectionID), a.At.Compare(b.At))
		})
		return t.noteUse(ctx, reads)
	})
}

// noteUse moves the times of the connections and keys that were used.
func (t tx) noteUse(ctx context.Context, reads []vault.ReadCount) error {
	keys, connections := map[string]time.Time{}, map[string]time.Time{}
	for _, r := range reads {
		if keys[r.ActorID].Before(r.LastAt) {
			keys[r.ActorID] = r.LastAt
		}
		if connections[r.ConnectionID].Before(r.LastAt) {
			connections[r.ConnectionID] = r.LastAt
		}
	}
	delete(connections, "")
	if err := t.touch(ctx, "connections", "last_read_at", connections); err != nil {
		return err
	}
	return t.touch(ctx, "api_keys", "last_used_at", keys) // last: every replica wants the same few rows
}

// touch moves a time of each row forward, never back, the rows in the same order
// on all replicas.
func (t tx) touch(ctx context.Context, table, name string, at map[string]time.Time) error {
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(at)), t.d.batch) {
		times := make([]int64, len(ids))
		for i, id := range ids {
			times[i] = at[id].UnixMicro()
		}
		with, args := t.d.rows(column{name: "id", texts: ids}, column{name: "at", numbers: times})
		_, err := t.exec(ctx, "noting use of "+table, with+`, due AS (
				SELECT t.id, r.at FROM r JOIN `+table+` t ON t.id = r.id
				WHERE t.`+name+` IS NULL OR t.`+name+` <= r.at - `+strconv.FormatInt(vault.UseCoarse.Microseconds(), 10)+`
				ORDER BY t.id`+t.d.forUpdateOf+`
			)
			UPDATE `+table+` SET `+name+` = due.at FROM due WHERE `+table+`.id = due.id`,
			args...)
		if err != nil {
			return err
		}
		runtime.Gosched()
	}
	return nil
}
