package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// CountByStatus counts along an index from end to end, and reads no row. One
// count for each pair is a fraction of what grouping takes on SQLite.
func (r reader) CountByStatus(ctx context.Context, environmentID string) ([]vault.StatusCount, error) {
	scan := func(row scanner) (c vault.StatusCount, err error) {
		return c, row.Scan(&c.IntegrationID, &c.Status, &c.Count)
	}
	return many(ctx, r.conn, "counting connections", scan, `
		SELECT i.id, s.status, (
			SELECT count(*) FROM connections c`+r.d.indexed("connections_by_integration_status")+`
			WHERE c.environment_id = $1 AND c.integration_id = i.id AND c.status = s.status AND c.replaces_id IS NULL)
		FROM integrations i CROSS JOIN
			(SELECT 'active' AS status UNION ALL SELECT 'pending' UNION ALL SELECT 'reconnect_required' UNION ALL SELECT 'revoked') s
		WHERE i.environment_id = $1`, environmentID)
}

func scanCount(row scanner) (c vault.IntegrationCount, err error) {
	return c, row.Scan(&c.IntegrationID, &c.Count)
}

// CountFailing reads an index that has nothing else.
func (r reader) CountFailing(ctx context.Context, environmentID string) ([]vault.IntegrationCount, error) {
	return many(ctx, r.conn, "counting failing connections", scanCount, `
		SELECT integration_id, count(*) FROM connections`+r.d.indexed("connections_failing")+`
		WHERE environment_id = $1 AND failures > 0 AND status = 'active' AND replaces_id IS NULL GROUP BY integration_id`, environmentID)
}

// CountEnds counts the part of an index that is a day, and reads no row.
func (r reader) CountEnds(ctx context.Context, environmentID string, from time.Time, days int) ([]vault.EndCount, error) {
	scan := func(row scanner) (c vault.EndCount, err error) {
		return c, row.Scan(&c.IntegrationID, &c.Day, &c.Count)
	}
	matching := func(span string) string {
		return `(SELECT count(*) FROM connections c` + r.d.indexed("connections_by_integration_end") + `
			WHERE c.environment_id = $1 AND c.integration_id = i.id AND ` + span + ` AND c.replaces_id IS NULL)`
	}
	found, err := many(ctx, r.conn, "counting what runs out", scan, `
		WITH RECURSIVE d (day) AS (SELECT 0 UNION ALL SELECT day + 1 FROM d WHERE day + 1 < `+strconv.Itoa(days)+`)
		SELECT i.id, d.day, `+matching("c.ends_at >= $2 + d.day * 86400000000 AND c.ends_at < $2 + (d.day + 1) * 86400000000")+`
		FROM integrations i CROSS JOIN d WHERE i.environment_id = $1
		UNION ALL
		SELECT i.id, -1, `+matching("c.ends_at < $2")+` FROM integrations i WHERE i.environment_id = $1`,
		environmentID, micros(from))
	return slices.DeleteFunc(found, func(c vault.EndCount) bool { return c.Count == 0 }), err
}

func (r reader) RecentReads(ctx context.Context, environmentID, fromID string, most int) (vault.RecentReads, error) {
	var recent vault.RecentReads
	var err error
	recent.By, err = many(ctx, r.conn, "adding up recent reads", func(row scanner) (c vault.IntegrationCount, err error) {
		var entries int
		var oldest string
		err = row.Scan(&c.IntegrationID, &c.Count, &entries, &oldest)
		if recent.Entries += entries; recent.Oldest == "" || oldest < recent.Oldest {
			recent.Oldest = oldest
		}
		return c, err
	}, fmt.Sprintf(`
		SELECT c.integration_id, CAST(sum(a.count) AS bigint), count(*), min(a.id) FROM (
			SELECT id, connection_id, count FROM audit_entries
			WHERE environment_id = $1 AND action = 'headers.read' AND id >= $2 ORDER BY id DESC LIMIT %d
		) a JOIN connections c ON c.id = a.connection_id
		GROUP BY c.integration_id`, most), environmentID, fromID)
	return recent, err
}

func (r reader) CountUntold(ctx context.Context, environmentID string, before time.Time, most int) (int, error) {
	scan := func(row scanner) (n int, err error) { return n, row.Scan(&n) }
	n, err := one(ctx, r.conn, "counting what providers were not told", scan, fmt.Sprintf(`
		SELECT count(*) FROM (SELECT 1 FROM revocations WHERE environment_id = $1 AND tries > 0 AND created_at < $2 LIMIT %d) untold`, most),
		environmentID, micros(before))
	if err != nil {
		return 0, err
	}
	return *n, nil
}

func (r reader) KeysEnding(ctx context.Context, environmentID string, now, before time.Time, most int) ([]vault.KeyEnd, error) {
	scan := func(row scanner) (k vault.KeyEnd, err error) {
		return k, row.Scan(&k.ID, &k.Name, timeColumn{&k.ExpiresAt})
	}
	return many(ctx, r.conn, "listing keys that expire", scan, `
		SELECT id, name, expires_at FROM api_keys
		WHERE environment_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND expires_at < $3 ORDER BY expires_at, id LIMIT $4`,
		environmentID, micros(now), micros(before), most)
}
