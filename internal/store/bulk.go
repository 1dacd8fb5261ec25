package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/claviger/claviger/internal/vault"
)

const bulkColumns = `id, environment_id, actor_kind, actor_id, status, filter, gathered, up_to, gathered_to,
	total, revoked, already_revoked, missing, failed, told_revoked, told_unsupported, told_failed,
	created_at, started_at, finished_at, worked_at,
	deletes_integration_id, deletes_integration_key, integration_deleted_at`

func scanBulk(row scanner) (b vault.BulkRevocation, err error) {
	err = row.Scan(&b.ID, &b.EnvironmentID, &b.ActorKind, &b.ActorID, &b.Status, filterColumn{&b.Filter}, &b.Gathered, &b.UpTo, textColumn{&b.GatheredTo},
		&b.Total, &b.Revoked, &b.AlreadyRevoked, &b.Missing, &b.Failed, &b.ToldRevoked, &b.ToldUnsupported, &b.ToldFailed,
		timeColumn{&b.CreatedAt}, timeColumn{&b.StartedAt}, timeColumn{&b.FinishedAt}, timeColumn{&b.WorkedAt},
		textColumn{&b.Deletion.IntegrationID}, textColumn{&b.Deletion.Key}, timeColumn{&b.Deletion.DeletedAt})
	return b, err
}

// filterColumn is a filter as JSON, with all its members by their names in Go. A
// member that this release does not know is an error: without it the filter
// would match more.
type filterColumn struct{ f **vault.ConnectionFilter }

func (c filterColumn) Scan(src any) error {
	var s string
	if err := (textColumn{&s}).Scan(src); err != nil || s == "" {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(s)))
	dec.DisallowUnknownFields()
	*c.f = &vault.ConnectionFilter{}
	if err := dec.Decode(*c.f); err != nil { //nolint:musttag // see above
		return fmt.Errorf("decoding the filter of a bulk revocation: %w", err)
	}
	return nil
}

func (r reader) BulkRevocation(ctx context.Context, environmentID, id string) (*vault.BulkRevocation, error) {
	return one(ctx, r.conn, "reading bulk revocation", scanBulk,
		`SELECT `+bulkColumns+` FROM bulk_revocations WHERE environment_id = $1 AND id = $2`, environmentID, id)
}

func (r reader) BulkRevocations(ctx context.Context, environmentID, actorID string, page vault.Page) ([]vault.BulkRevocation, error) {
	var w where
	w.and("environment_id = ?", environmentID)
	if actorID != "" {
		w.and("actor_id = ?", actorID)
	}
	tail, args := w.page("id", page)
	return many(ctx, r.conn, "listing bulk revocations", scanBulk, `SELECT `+bulkColumns+` FROM bulk_revocations`+tail, args...)
}

func scanBulkItem(row scanner) (i vault.BulkItem, err error) {
	var outcome, told string
	err = row.Scan(&i.ConnectionID, textColumn{&outcome}, textColumn{&told}, timeColumn{&i.DoneAt},
		textColumn{&i.EndUser.ID}, textColumn{&i.EndUser.Email}, textColumn{&i.EndUser.Name},
		textColumn{&i.Account.ID}, textColumn{&i.Account.Label}, textColumn{&i.Integration})
	i.Outcome, i.Told = vault.BulkOutcome(outcome), vault.Outcome(told)
	return i, err
}

func (r reader) BulkItems(ctx context.Context, id string, f vault.BulkItemFilter) ([]vault.BulkItem, error) {
	var w where
	w.and("bulk_revocation_id = ?", id)
	if f.Outcome != "" {
		w.and("outcome = ?", string(f.Outcome))
	}
	if f.Told != "" {
		w.and("told = ?", string(f.Told))
	}
	tail, args := w.page("connection_id", f.Page)
	// An id that somebody named may be that of another environment's connection.
	return many(ctx, r.conn, "listing items of a bulk revocation", scanBulkItem, `
		SELECT i.connection_id, i.outcome, i.told, i.done_at, c.end_user_id, c.end_user_email, c.end_user_name, c.account_id, c.account_label,
			(SELECT key FROM integrations WHERE integrations.id = c.integration_id)
		FROM (SELECT bulk_revocation_id, connection_id, outcome, told, done_at FROM bulk_revocation_items`+tail+`) AS i
		JOIN bulk_revocations b ON b.id = i.bulk_revocation_id
		LEFT JOIN connections c ON c.environment_id = b.environment_id AND c.id = i.connection_id
		ORDER BY i.connection_id DESC`, args...)
}

func (r reader) BulkRevocationOf(ctx context.Context, environmentID, connectionID string) (string, error) {
	scan := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
	id, err := one(ctx, r.conn, "looking for the bulk revocation of a connection", scan, `
		SELECT b.id FROM bulk_revocation_items i JOIN bulk_revocations b ON b.id = i.bulk_revocation_id
		WHERE i.connection_id = $2 AND i.outcome = 'revoked' AND b.environment_id = $1`, environmentID, connectionID)
	if err != nil {
		return "", err
	}
	return *id, nil
}

func (r reader) BulkDeletionOf(ctx context.Context, environmentID, integrationID string) (*vault.BulkRevocation, error) {
	return one(ctx, r.conn, "looking for the bulk revocation that deletes an integration", scanBulk, `
		SELECT `+bulkColumns+` FROM bulk_revocations
		WHERE environment_id = $1 AND deletes_integration_id = $2 AND status IN ('gathering', 'running')`, environmentID, integrationID)
}

// revocable is what a target matches.
func (d *dialect) revocable(environmentID string, t vault.BulkTarget) (*where, error) {
	if len(t.IDs) == 0 {
		w := connectionsWhere(environmentID, t.Filter)
		w.and("status <> 'revoked'")
		return w, nil
	}
	var w where
	ids, err := d.list(t.IDs)
	if err != nil {
		return nil, err
	}
	w.and(fmt.Sprintf(d.isIn, "id"), ids)
	w.and("environment_id = ?", environmentID)
	w.and("status <> 'revoked'")
	w.ofIntegrations(environmentID, t.Filter.Within)
	return &w, nil
}

func (r reader) CountRevocable(ctx context.Context, environmentID string, t vault.BulkTarget, most int) ([]vault.BulkGroup, error) {
	w, err := r.d.revocable(environmentID, t)
	if err != nil {
		return nil, err
	}
	w.args = append(w.args, most)
	scan := func(row scanner) (g vault.BulkGroup, err error) {
		return g, row.Scan(&g.Integration, &g.Method, &g.Count)
	}
	return many(ctx, r.conn, "counting connections", scan, fmt.Sprintf(`
		SELECT i.key, g.method, g.n FROM (
			SELECT integration_id, method, count(*) AS n FROM (
				SELECT integration_id, method FROM connections%s ORDER BY id DESC LIMIT $%d
			) AS matched GROUP BY integration_id, method
		) AS g JOIN integrations i ON i.id = g.integration_id ORDER BY i.key, g.method`, w.sql.String(), len(w.args)), w.args...)
}

// GatherRevocable goes along an index that ends in the id, past rows that have
// in common what comes before it there, and looks at each of them for the rest:
// what a filter matches rarely does not take longer than what it matches often.
func (r reader) GatherRevocable(ctx context.Context, environmentID string, f vault.ConnectionFilter, below string, look int) (ids []string, next string, err error) {
	few, narrow, err := r.narrowest(ctx, environmentID, f)
	if err != nil || narrow && len(few) == 0 {
		return nil, "", err
	}
	var w where
	hint := ""
	w.and("environment_id = ?", environmentID)
	if narrow {
		list, err := r.d.list(few)
		if err != nil {
			return nil, "", err
		}
		w.and(fmt.Sprintf(r.d.isIn, "id"), list)
		look = narrowMost + 1 // all of them
	} else if index := w.alongIDs(environmentID, f); index != "" {
		hint = r.d.indexed(index)
	}
	w.and("id < ?", below)
	tail, _ := w.limit("id DESC", look)
	w.sql.Reset()
	w.and("status <> 'revoked'")
	w.matching(environmentID, f, walking)
	type looked struct {
		id      string
		matches bool
	}
	scan := func(row scanner) (l looked, err error) { return l, row.Scan(&l.id, &l.matches) }
	found, err := many(ctx, r.conn, "gathering connections", scan,
		`SELECT id, EXISTS (SELECT 1`+w.sql.String()+`) FROM connections`+hint+tail, w.args...)
	for _, l := range found {
		if l.matches {
			ids = append(ids, l.id)
		}
	}
	if len(found) == look {
		next = found[look-1].id
	}
	return ids, next, err
}

// alongIDs narrows connections to a part of an index in which they are by id, and
// names the index, "" for the key of environment and id.
func (w *where) alongIDs(environmentID string, f vault.ConnectionFilter) (index string) {
	if f.Expires != "" && f.Status == "" {
		f.Status = vault.StatusActive // no other ends
	}
	if f.EndUserID != "" {
		w.and("end_user_id = ?", f.EndUserID)
		return "connections_by_end_user"
	}
	if f.Failing {
		w.and("failures > 0 AND status = 'active' AND replaces_id IS NULL")
		return "connections_failing"
	}
	if f.Integration != "" {
		w.and("integration_id = (SELECT i.id FROM integrations i WHERE i.environment_id = ? AND i.key = ?)", environmentID, f.Integration)
		index = "connections_by_integration"
	}
	if f.Status != "" {
		w.and("status = ? AND replaces_id IS NULL", string(f.Status))
		if index = "connections_by_status"; f.Integration != "" {
			index = "connections_by_integration_status"
		}
	}
	return index
}

func (t tx) InsertBulkRevocation(ctx context.Context, b vault.BulkRevocation) error {
	var filter any
	if b.Filter != nil {
		var err error
		if filter, err = document(b.Filter); err != nil {
			return err
		}
	}
	return t.insert(ctx, "inserting bulk revocation", `
		INSERT INTO bulk_revocations (`+bulkColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`,
		b.ID, b.EnvironmentID, string(b.ActorKind), b.ActorID, string(b.Status), filter, b.Gathered, b.UpTo, optional(b.GatheredTo),
		b.Total, b.Revoked, b.AlreadyRevoked, b.Missing, b.Failed, b.ToldRevoked, b.ToldUnsupported, b.ToldFailed,
		micros(b.CreatedAt), micros(b.StartedAt), micros(b.FinishedAt), micros(b.WorkedAt),
		optional(b.Deletion.IntegrationID), optional(b.Deletion.Key), micros(b.Deletion.DeletedAt))
}

func (t tx) InsertBulkItems(ctx context.Context, id string, connectionIDs []string) (int64, error) {
	if len(connectionIDs) == 0 {
		return 0, nil
	}
	bulk := make([]string, len(connectionIDs))
	for i := range bulk {
		bulk[i] = id
	}
	with, args := t.d.rows(column{name: "bulk_revocation_id", texts: bulk}, column{name: "connection_id", texts: connectionIDs})
	// Without the WHERE, SQLite takes ON for that of a join.
	n, err := t.exec(ctx, "inserting items of a bulk revocation", with+`
		INSERT INTO bulk_revocation_items (bulk_revocation_id, connection_id) SELECT bulk_revocation_id, connection_id FROM r WHERE TRUE
		ON CONFLICT (bulk_revocation_id, connection_id) DO NOTHING`, args...)
	return n, parentMissing("inserting items of a bulk revocation", err)
}

func (t tx) LockBulkRevocation(ctx context.Context, environmentID, id string) (*vault.BulkRevocation, error) {
	return one(ctx, t.conn, "locking bulk revocation", scanBulk,
		`SELECT `+bulkColumns+` FROM bulk_revocations WHERE environment_id = $1 AND id = $2`+t.d.forUpdate, environmentID, id)
}

// LockBulkAtWork passes over those where only providers are still to be told.
func (t tx) LockBulkAtWork(ctx context.Context) (*vault.BulkRevocation, error) {
	return one(ctx, t.conn, "looking for bulk revocations", scanBulk, `
		SELECT `+bulkColumns+` FROM bulk_revocations
		WHERE status IN ('gathering', 'running')
			AND (NOT gathered OR revoked + already_revoked + missing + failed < total OR told_revoked + told_unsupported + told_failed = revoked
				OR (deletes_integration_id IS NOT NULL AND integration_deleted_at IS NULL))
		ORDER BY worked_at LIMIT 1`+t.d.forUpdate)
}

func (t tx) UpdateBulkRevocation(ctx context.Context, b vault.BulkRevocation) error {
	return t.must(ctx, "updating bulk revocation", `
		UPDATE bulk_revocations
		SET status = $2, gathered = $3, gathered_to = $4, total = $5, revoked = $6, already_revoked = $7, missing = $8, failed = $9,
		    told_revoked = $10, told_unsupported = $11, told_failed = $12, started_at = $13, finished_at = $14, worked_at = $15,
		    integration_deleted_at = $16
		WHERE id = $1`,
		b.ID, string(b.Status), b.Gathered, optional(b.GatheredTo), b.Total, b.Revoked, b.AlreadyRevoked, b.Missing, b.Failed,
		b.ToldRevoked, b.ToldUnsupported, b.ToldFailed, micros(b.StartedAt), micros(b.FinishedAt), micros(b.WorkedAt),
		micros(b.Deletion.DeletedAt))
}

func (t tx) UntouchedBulkItems(ctx context.Context, id string, limit int) ([]string, error) {
	scan := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
	return many(ctx, t.conn, "listing untouched items", scan, `
		SELECT connection_id FROM bulk_revocation_items WHERE bulk_revocation_id = $1 AND outcome IS NULL
		ORDER BY connection_id LIMIT $2`, id, limit)
}

func (t tx) SettleBulkItem(ctx context.Context, id string, item vault.BulkItem) (bool, error) {
	return t.swap(ctx, "settling an item of a bulk revocation", `
		UPDATE bulk_revocation_items SET outcome = $3, told = $4, done_at = $5
		WHERE bulk_revocation_id = $1 AND connection_id = $2 AND outcome IS NULL`,
		id, item.ConnectionID, string(item.Outcome), optional(string(item.Told)), micros(item.DoneAt))
}

// NoteBulkTold locks the counts first, as the one who revokes in bulk does.
func (t tx) NoteBulkTold(ctx context.Context, id, connectionID string, told vault.Outcome) error {
	scan := func(row scanner) (was string, err error) { return was, row.Scan(textColumn{&was}) }
	if _, err := t.exec(ctx, "locking bulk revocation", `UPDATE bulk_revocations SET worked_at = worked_at WHERE id = $1`, id); err != nil {
		return err
	}
	was, err := oneIf(ctx, t.conn, "reading an item of a bulk revocation", scan, `
		SELECT told FROM bulk_revocation_items WHERE bulk_revocation_id = $1 AND connection_id = $2`, id, connectionID)
	if err != nil || was == nil || *was == string(told) { // swept, or as before
		return err
	}
	if err := t.must(ctx, "noting what a provider made of it", `
		UPDATE bulk_revocation_items SET told = $3 WHERE bulk_revocation_id = $1 AND connection_id = $2`,
		id, connectionID, string(told)); err != nil {
		return err
	}
	counts := map[string]string{"revoked": "told_revoked", "unsupported": "told_unsupported", "failed": "told_failed"}
	set := fmt.Sprintf("%[1]s = %[1]s + 1", counts[string(told)])
	if column := counts[*was]; column != "" {
		set += fmt.Sprintf(", %[1]s = %[1]s - 1", column)
	}
	return t.must(ctx, "counting what providers made of it", `UPDATE bulk_revocations SET `+set+` WHERE id = $1`, id)
}
