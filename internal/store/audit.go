package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

const auditColumns = `id, environment_id, at, actor_kind, actor_id, action, allowed,
	connection_id, integration_id, session_id, reason, generation, count`

func scanAudit(row scanner) (e vault.AuditEntry, err error) {
	err = row.Scan(&e.ID, &e.EnvironmentID, timeColumn{&e.At}, &e.ActorKind, &e.ActorID, &e.Action, &e.Allowed,
		textColumn{&e.ConnectionID}, textColumn{&e.IntegrationID}, textColumn{&e.SessionID}, &e.Reason, &e.Generation, &e.Count)
	return e, err
}

// Audit lists the trail, newest first.
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
	tail, args := w.page("id", f.Page)
	return many(ctx, r.conn, "listing audit entries", scanAudit, `SELECT `+auditColumns+` FROM audit_entries`+tail, args...)
}

func (t tx) InsertAudit(ctx context.Context, e vault.AuditEntry) error {
	return t.insert(ctx, "inserting audit entry",
		`INSERT INTO audit_entries (`+auditColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		e.ID, e.EnvironmentID, micros(e.At), string(e.ActorKind), e.ActorID, string(e.Action), e.Allowed,
		optional(e.ConnectionID), optional(e.IntegrationID), optional(e.SessionID), e.Reason, e.Generation, e.Count)
}

// readBatch bounds the parameters of one statement.
const readBatch = 100

// AddReads writes gathered reads. Those of one key, connection, action and
// minute end up in one entry, however often and from wherever they come.
func (s *Store) AddReads(ctx context.Context, reads []vault.ReadCount) error {
	reads = gather(reads)
	return s.update(ctx, func(t tx) error {
		for batch := range slices.Chunk(reads, readBatch) {
			if err := t.insertReads(ctx, batch); err != nil {
				return err
			}
		}
		return t.noteUse(ctx, reads)
	})
}

// readKey is what makes two reads the same entry.
type readKey struct {
	environment, actor, connection string
	action                         vault.Action
	minute                         int64
}

// gather adds up the reads of the same entry. The order is the same for all
// replicas, so that they do not lock rows crosswise.
func gather(reads []vault.ReadCount) []vault.ReadCount {
	at := make(map[readKey]int, len(reads))
	var sums []vault.ReadCount
	for _, r := range reads {
		key := readKey{r.EnvironmentID, r.ActorID, r.ConnectionID, r.Action, r.Minute.UnixMicro()}
		i, seen := at[key]
		if !seen {
			at[key] = len(sums)
			sums = append(sums, r)
			continue
		}
		sums[i].Count += r.Count
		if r.LastAt.After(sums[i].LastAt) {
			sums[i].LastAt = r.LastAt
		}
	}
	slices.SortFunc(sums, func(a, b vault.ReadCount) int {
		return cmp.Or(cmp.Compare(a.ConnectionID, b.ConnectionID), cmp.Compare(a.ActorID, b.ActorID),
			cmp.Compare(a.Action, b.Action), a.Minute.Compare(b.Minute))
	})
	return sums
}

// insertReads writes the entries, or adds to those of the same minute.
func (t tx) insertReads(ctx context.Context, reads []vault.ReadCount) error {
	var entries values
	for _, r := range reads {
		if r.ConnectionID == "" {
			continue
		}
		entries.add(vault.NewAuditID(), r.EnvironmentID, micros(r.LastAt), string(vault.CallerAPIKey), r.ActorID,
			string(r.Action), true, r.ConnectionID, "", int64(0), r.Count, micros(r.Minute))
	}
	if len(entries.args) == 0 {
		return nil
	}
	return t.insert(ctx, "inserting reads", `
		INSERT INTO audit_entries (id, environment_id, at, actor_kind, actor_id, action, allowed, connection_id, reason, generation, count, read_minute)
		VALUES `+entries.String()+`
		ON CONFLICT (environment_id, actor_id, connection_id, action, read_minute) WHERE read_minute IS NOT NULL DO UPDATE
		SET count = audit_entries.count + excluded.count,
		    at    = CASE WHEN audit_entries.at < excluded.at THEN excluded.at ELSE audit_entries.at END`,
		entries.args...)
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

// touch moves a time of each row forward, never back.
func (t tx) touch(ctx context.Context, table, column string, at map[string]time.Time) error {
	for _, id := range slices.Sorted(maps.Keys(at)) {
		_, err := t.exec(ctx, "noting use of "+table,
			`UPDATE `+table+` SET `+column+` = $2 WHERE id = $1 AND (`+column+` IS NULL OR `+column+` < $2)`,
			id, micros(at[id]))
		if err != nil {
			return err
		}
	}
	return nil
}

// values is the list behind VALUES.
type values struct {
	sql  strings.Builder
	args []any
}

func (v *values) add(args ...any) {
	sep := "("
	if len(v.args) > 0 {
		sep = ", ("
	}
	for _, a := range args {
		v.args = append(v.args, a)
		fmt.Fprintf(&v.sql, "%s$%d", sep, len(v.args))
		sep = ", "
	}
	v.sql.WriteString(")")
}

func (v *values) String() string { return v.sql.String() }
