package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// connectionColumns are the metadata. Key and provider come by subquery, so that
// the same list serves RETURNING, which in SQLite sees no joined table, and
// FOR UPDATE, which would lock every joined one.
const connectionColumns = `id, environment_id, integration_id,
	(SELECT i.key FROM integrations i WHERE i.id = connections.integration_id),
	(SELECT i.provider FROM integrations i WHERE i.id = connections.integration_id),
	method, status, status_reason, generation, end_user_id, end_user_email, end_user_name,
	account_id, account_label, base_url, scopes, tags, metadata, external_id, replaces_id, renewable,
	expires_at, refresh_expires_at, last_refreshed_at, last_read_at, pending_until, created_at, updated_at, due_at, failures`

// sealedColumns follow them where the whole row is read, and then whether the
// lease is live, see [newDialect].
const sealedColumns = `credential, answer, lease_owner, lease_epoch, lease_until, lease_spending`

func connectionTargets(c *vault.Connection) []any {
	return []any{
		&c.ID, &c.EnvironmentID, &c.IntegrationID,
		&c.Integration,
		&c.Provider,
		&c.Method, &c.Status, &c.StatusReason, &c.Generation, &c.EndUser.ID, &c.EndUser.Email, &c.EndUser.Name,
		&c.Account.ID, &c.Account.Label, &c.BaseURL,
		documentColumn{&c.Scopes},
		documentColumn{&c.Tags},
		documentColumn{&c.Metadata},
		textColumn{&c.ExternalID},
		textColumn{&c.ReplacesID},
		&c.Renewable,
		timeColumn{&c.ExpiresAt},
		timeColumn{&c.RefreshExpiresAt},
		timeColumn{&c.LastRefreshedAt},
		timeColumn{&c.LastReadAt},
		timeColumn{&c.PendingUntil},
		timeColumn{&c.CreatedAt},
		timeColumn{&c.UpdatedAt},
		timeColumn{&c.DueAt},
		&c.Failures,
	}
}

func scanConnection(row scanner) (c vault.Connection, err error) {
	err = row.Scan(connectionTargets(&c)...)
	return c, err
}

func scanConnectionRow(row scanner) (c vault.ConnectionRow, err error) {
	err = row.Scan(append(connectionTargets(&c.Connection),
		&c.Credential, &c.Answer, textColumn{&c.Lease.Owner}, &c.Lease.Epoch, timeColumn{&c.Lease.Until}, &c.Lease.Spending, &c.Lease.Held)...)
	return c, err
}

// Connection finds one by id in an environment.
func (r reader) Connection(ctx context.Context, environmentID, id string) (*vault.ConnectionRow, error) {
	return one(ctx, r.conn, "reading connection", scanConnectionRow,
		`SELECT `+r.d.connection+` FROM connections WHERE environment_id = $1 AND id = $2`, environmentID, id)
}

// CandidatesOf lists the ids of the candidates that are to mend a connection.
func (r reader) CandidatesOf(ctx context.Context, environmentID, id string) ([]string, error) {
	scan := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
	return many(ctx, r.conn, "listing candidates", scan,
		`SELECT id FROM connections WHERE environment_id = $1 AND replaces_id = $2 ORDER BY id`, environmentID, id)
}

// ConnectionsOf lists the ids of an integration's connections that are not
// revoked, candidates too.
func (r reader) ConnectionsOf(ctx context.Context, environmentID, integrationID, after string, limit int) ([]string, error) {
	scan := func(row scanner) (id string, err error) { return id, row.Scan(&id) }
	return many(ctx, r.conn, "listing connections of integration", scan,
		`SELECT id FROM connections WHERE environment_id = $1 AND integration_id = $2 AND id > $3 AND status <> 'revoked' ORDER BY id LIMIT $4`,
		environmentID, integrationID, after, limit)
}

func (t tx) LockConnection(ctx context.Context, environmentID, id string) (*vault.ConnectionRow, error) {
	return one(ctx, t.conn, "locking connection", scanConnectionRow,
		`SELECT `+t.d.connection+` FROM connections WHERE environment_id = $1 AND id = $2`+t.d.forUpdate, environmentID, id)
}

func (t tx) InsertConnection(ctx context.Context, c vault.ConnectionRow) error {
	scopes, err := document(c.Scopes)
	if err != nil {
		return err
	}
	tags, err := document(c.Tags)
	if err != nil {
		return err
	}
	metadata, err := document(c.Metadata)
	if err != nil {
		return err
	}
	err = t.insert(ctx, "inserting connection", `
		INSERT INTO connections (id, environment_id, integration_id, method, status, status_reason, generation,
			end_user_id, end_user_email, end_user_name, account_id, account_label, base_url, scopes, tags, metadata,
			external_id, replaces_id, renewable, expires_at, refresh_expires_at, last_refreshed_at, last_read_at, pending_until,
			created_at, updated_at, credential, answer, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
			$17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29)`,
		c.ID, c.EnvironmentID, c.IntegrationID, c.Method, string(c.Status), c.StatusReason, c.Generation,
		c.EndUser.ID, c.EndUser.Email, c.EndUser.Name, c.Account.ID, c.Account.Label, c.BaseURL, scopes, tags, metadata,
		optional(c.ExternalID), optional(c.ReplacesID), c.Renewable,
		micros(c.ExpiresAt), micros(c.RefreshExpiresAt), micros(c.LastRefreshedAt), micros(c.LastReadAt), micros(c.PendingUntil),
		micros(c.CreatedAt), micros(c.UpdatedAt), blob(c.Credential), blob(c.Answer), micros(c.DueAt))
	if err != nil {
		return err
	}
	if err := t.indexTerms(ctx, &c.Connection); err != nil {
		return err
	}
	return t.indexTags(ctx, c.EnvironmentID, c.ID, c.Tags)
}

// indexTerms writes the words that a connection is found by.
func (t tx) indexTerms(ctx context.Context, c *vault.Connection) error {
	terms := c.Terms()
	if len(terms) == 0 { // nothing but blanks
		return nil
	}
	with, args := t.d.rows(
		column{name: "id", texts: repeated(c.ID, len(terms))}, column{name: "environment_id", texts: repeated(c.EnvironmentID, len(terms))}, column{name: "term", texts: terms})
	return t.insert(ctx, "inserting terms", with+`
		INSERT INTO connection_terms (connection_id, environment_id, term) SELECT id, environment_id, term FROM r`,
		args...)
}

// relabel writes the words of a connection anew.
func (t tx) relabel(ctx context.Context, id string) error {
	c, err := one(ctx, t.conn, "reading connection", scanConnection, `SELECT `+connectionColumns+` FROM connections WHERE id = $1`, id)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, "deleting terms", `DELETE FROM connection_terms WHERE connection_id = $1`, id); err != nil {
		return err
	}
	return t.indexTerms(ctx, c)
}

func repeated(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// indexTags writes the tags where filters look for them.
func (t tx) indexTags(ctx context.Context, environmentID, id string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	tags = vault.FoldTags(tags)
	var ids, environments, keys, values []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		ids, environments = append(ids, id), append(environments, environmentID)
		keys, values = append(keys, key), append(values, tags[key])
	}
	with, args := t.d.rows(column{name: "id", texts: ids}, column{name: "environment_id", texts: environments}, column{name: "key", texts: keys}, column{name: "value", texts: values})
	return t.insert(ctx, "inserting tags", with+`
		INSERT INTO connection_tags (connection_id, environment_id, key, value) SELECT id, environment_id, key, value FROM r`,
		args...)
}

func (t tx) SaveCredential(ctx context.Context, id string, generation, epoch int64, ch vault.CredentialChange) (bool, error) {
	scopes, err := document(ch.Scopes)
	if err != nil {
		return false, err
	}
	var refreshed time.Time
	if ch.Refreshed {
		refreshed = ch.At
	}
	saved, err := t.swap(ctx, "saving credential", `
		UPDATE connections
		SET generation = generation + 1, credential = $4, answer = $5, status = $6, status_reason = $7, base_url = $8,
		    account_id = $9, account_label = $10, scopes = $11, expires_at = $12, refresh_expires_at = $13, renewable = $14,
		    last_refreshed_at = coalesce($15, last_refreshed_at), method = coalesce($16, method), updated_at = $17,
		    due_at = $19, failures = CASE WHEN $18 THEN failures ELSE 0 END,
		    pending_until = CASE WHEN $6 = 'pending' THEN pending_until END,
		    lease_owner = CASE WHEN $18 THEN lease_owner END, lease_until = CASE WHEN $18 THEN lease_until END, lease_spending = $20
		WHERE id = $1 AND generation = $2 AND ($3 = 0 AND status <> 'revoked' OR lease_epoch = $3 AND status = 'active')`,
		id, generation, epoch, blob(ch.Credential), blob(ch.Answer), string(ch.Status), ch.StatusReason, ch.BaseURL,
		ch.Account.ID, ch.Account.Label, scopes, micros(ch.ExpiresAt), micros(ch.RefreshExpiresAt), ch.Renewable,
		micros(refreshed), optional(ch.Method), micros(ch.At), ch.KeepLease, micros(ch.DueAt), blob(ch.Spending))
	if err != nil || !saved || !ch.Relabelled {
		return saved, err
	}
	return true, t.relabel(ctx, id)
}

func (t tx) SetStatus(ctx context.Context, id string, generation int64, s vault.Status, reason string, at time.Time) (bool, error) {
	return t.swap(ctx, "setting status", `
		UPDATE connections
		SET status = $3, status_reason = $4, updated_at = $5, pending_until = CASE WHEN $3 = 'pending' THEN pending_until END,
		    due_at = CASE WHEN $3 IN ('active', 'pending') THEN due_at END
		WHERE id = $1 AND generation = $2 AND status <> 'revoked'`,
		id, generation, string(s), reason, micros(at))
}

func (t tx) Revoke(ctx context.Context, id, reason string, at time.Time) (bool, error) {
	return t.swap(ctx, "revoking connection", `
		UPDATE connections
		SET status = 'revoked', status_reason = $2, updated_at = $3, credential = NULL, answer = NULL, pending_until = NULL,
		    due_at = NULL, lease_owner = NULL, lease_until = NULL, lease_spending = NULL
		WHERE id = $1 AND status <> 'revoked'`,
		id, reason, micros(at))
}

func (t tx) UpdateConnection(ctx context.Context, id string, p vault.ConnectionPatch, at time.Time) error {
	var tags, metadata any
	var err error
	if p.Tags != nil {
		if tags, err = document(*p.Tags); err != nil {
			return err
		}
	}
	if p.Metadata != nil {
		if metadata, err = document(*p.Metadata); err != nil {
			return err
		}
	}
	scan := func(row scanner) (environment string, err error) { return environment, row.Scan(&environment) }
	environment, err := one(ctx, t.conn, "updating connection", scan, `
		UPDATE connections SET tags = coalesce($2, tags), metadata = coalesce($3, metadata), updated_at = $4
		WHERE id = $1 RETURNING environment_id`,
		id, tags, metadata, micros(at))
	if err != nil || p.Tags == nil {
		return err
	}
	if _, err := t.exec(ctx, "deleting tags", `DELETE FROM connection_tags WHERE environment_id = $1 AND connection_id = $2`, *environment, id); err != nil {
		return err
	}
	return t.indexTags(ctx, *environment, id, *p.Tags)
}

// DeleteConnection takes the revoked candidates along, which nothing shows. The
// foreign key refuses as long as there is a live one.
func (t tx) DeleteConnection(ctx context.Context, id string) error {
	if _, err := t.exec(ctx, "deleting revoked candidates",
		`DELETE FROM connections WHERE replaces_id = $1 AND status = 'revoked'`, id); err != nil {
		return err
	}
	return t.must(ctx, "deleting connection", `DELETE FROM connections WHERE id = $1`, id)
}
