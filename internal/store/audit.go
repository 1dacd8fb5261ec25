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

// entryBatch is how many entries one transaction writes at most.
const entryBatch = 200

// entryTime bounds one transaction.
const entryTime = 10 * time.Second

func (s *Store) newEntries(ctx context.Context) *batches[vault.AuditEntry] {
	ctx = context.WithoutCancel(ctx) // of the start
	return newBatches(1, entryBatch, func(_ int, batch []*wanted[vault.AuditEntry]) error {
		ctx, cancel := context.WithTimeout(ctx, entryTime)
		defer cancel()
		return s.update(ctx, func(t tx) error { return t.insertEntries(ctx, batch) })
	})
}

// AddAudit writes one entry, in a transaction that it shares with whoever else
// writes one at the moment. It is committed when this returns without an error.
func (s *Store) AddAudit(ctx context.Context, e vault.AuditEntry) error {
	_, err := s.entries.do(ctx, e)
	return err
}

func (t tx) insertEntries(ctx context.Context, batch []*wanted[vault.AuditEntry]) error {
	n := len(batch)
	texts := func(name string, of func(*vault.AuditEntry) string) column {
		c := column{name: name, texts: make([]string, n)}
		for i, x := range batch {
			c.texts[i] = of(&x.it)
		}
		return c
	}
	numbers := func(name string, of func(*vault.AuditEntry) int64) column {
		c := column{name: name, numbers: make([]int64, n)}
		for i, x := range batch {
			c.numbers[i] = of(&x.it)
		}
		return c
	}
	with, args := t.d.rows(
		texts("id", func(e *vault.AuditEntry) string { return e.ID }),
		texts("environment_id", func(e *vault.AuditEntry) string { return e.EnvironmentID }),
		numbers("at", func(e *vault.AuditEntry) int64 { return e.At.UnixMicro() }),
		texts("actor_kind", func(e *vault.AuditEntry) string { return string(e.ActorKind) }),
		texts("actor_id", func(e *vault.AuditEntry) string { return e.ActorID }),
		texts("action", func(e *vault.AuditEntry) string { return string(e.Action) }),
		numbers("allowed", func(e *vault.AuditEntry) int64 {
			if e.Allowed {
				return 1
			}
			return 0
		}),
		texts("connection_id", func(e *vault.AuditEntry) string { return e.ConnectionID }),
		texts("integration_id", func(e *vault.AuditEntry) string { return e.IntegrationID }),
		texts("session_id", func(e *vault.AuditEntry) string { return e.SessionID }),
		texts("reason", func(e *vault.AuditEntry) string { return e.Reason }),
		numbers("generation", func(e *vault.AuditEntry) int64 { return e.Generation }),
		numbers("count", func(e *vault.AuditEntry) int64 { return e.Count }),
	)
	return t.insert(ctx, "inserting audit entries", with+`
		INSERT INTO audit_entries (`+auditColumns+`)
		SELECT id, environment_id, at, actor_kind, actor_id, action, allowed <> 0,
			nullif(connection_id, ''), nullif(integration_id, ''), nullif(session_id, ''), reason, generation, count FROM r`,
		args...)
}

// AddReads writes gathered reads. Those of one key, connection, action and
// minute end up in one entry, however often and from wherever they come.
func (s *Store) AddReads(ctx context.Context, reads []vault.ReadCount) error {
	reads = gather(reads)
	update := s.update
	if s.pool == nil {
		update = s.updateSoon
	}
	return update(ctx, func(t tx) error {
		for batch := range slices.Chunk(reads, s.d.batch) {
			if err := t.insertReads(ctx, batch); err != nil {
				return err
			}
			runtime.Gosched()
		}
		return t.noteUse(ctx, reads)
	})
}

// readKey is what makes two reads the same entry.
type readKey struct {
	environment, actor, connection string
	action                         vault.Action
	minute                         int64
	written                        bool
}

// gather adds up the reads of the same entry. The order is the same for all
// replicas, so that they do not lock rows crosswise.
func gather(reads []vault.ReadCount) []vault.ReadCount {
	at := make(map[readKey]int, len(reads))
	var sums []vault.ReadCount
	for _, r := range reads {
		key := readKey{r.EnvironmentID, r.ActorID, r.ConnectionID, r.Action, r.Minute.UnixMicro(), r.Written}
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
	var ids, environments, actors, actions, connections []string
	var at, counts, minutes []int64
	for _, r := range reads {
		if r.ConnectionID == "" || r.Written {
			continue
		}
		ids, environments = append(ids, vault.NewAuditID()), append(environments, r.EnvironmentID)
		actors, actions = append(actors, r.ActorID), append(actions, string(r.Action))
		connections, at = append(connections, r.ConnectionID), append(at, r.LastAt.UnixMicro())
		counts, minutes = append(counts, r.Count), append(minutes, r.Minute.UnixMicro())
	}
	if len(ids) == 0 {
		return nil
	}
	with, args := t.d.rows(
		column{"id", ids, nil}, column{"environment_id", environments, nil}, column{"actor_id", actors, nil},
		column{"action", actions, nil}, column{"connection_id", connections, nil},
		column{"at", nil, at}, column{"count", nil, counts}, column{"minute", nil, minutes},
	)
	return t.insert(ctx, "inserting reads", with+`
		INSERT INTO audit_entries (id, environment_id, at, actor_kind, actor_id, action, allowed, connection_id, reason, generation, count, read_minute)
		SELECT id, environment_id, at, 'api_key', actor_id, action, TRUE, connection_id, '', 0, count, minute FROM r WHERE TRUE
		ON CONFLICT (environment_id, actor_id, connection_id, action, read_minute) WHERE read_minute IS NOT NULL DO UPDATE
		SET count = audit_entries.count + excluded.count,
		    at    = CASE WHEN audit_entries.at < excluded.at THEN excluded.at ELSE audit_entries.at END`,
		args...)
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
		with, args := t.d.rows(column{"id", ids, nil}, column{"at", nil, times})
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
