package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/claviger/claviger/internal/vault"
)

// hotColumns are a key, its environment and a connection, as little of them as
// serving headers takes: every column costs, and on SQLite its name too. NULLs
// are made zero in SQL, so that a row scans into plain variables. The limits of a
// key are one column, empty for most; the key of the integration is looked up
// where the API key is limited, and nowhere else.
const hotColumns = `k.id, k.environment_id, k.hash, k.scopes, coalesce(k.expires_at, 0), k.revoked_at IS NOT NULL, e.strict_reads,
	coalesce(c.status, ''), coalesce(c.status_reason, ''), coalesce(c.generation, 0), coalesce(c.expires_at, 0),
	coalesce(c.renewable, FALSE), c.answer,
	CASE WHEN k.integrations = '' AND k.addresses = '' THEN '' ELSE k.integrations || ';' || k.addresses || ';' ||
		coalesce((SELECT i.key FROM integrations i WHERE i.id = c.integration_id), '') END`

// hotStatement looks up the one connection $2 for the key $1.
const hotStatement = `SELECT ` + hotColumns + `
	FROM api_keys k
	JOIN environments e ON e.id = k.environment_id
	LEFT JOIN connections c ON c.environment_id = k.environment_id AND c.id = $2
	WHERE k.hash = $1`

// HotStatement is the hot path's statement, for those who measure what it costs
// by itself. $1 is the hash of a key, $2 the id of a connection; it is the same
// on both databases.
func HotStatement() string { return hotStatement }

// HotRow is where a row of [HotStatement] is scanned to.
type HotRow struct {
	vault.HeadersRow

	scopes, status, limits string
	keyExpires, expiresAt  int64
}

// Columns are the targets of a scan.
func (r *HotRow) Columns() []any {
	return []any{
		&r.KeyID, &r.EnvironmentID, &r.KeyHash, &r.scopes, &r.keyExpires, &r.KeyRevoked, &r.StrictReads,
		&r.status, &r.StatusReason, &r.Generation, &r.expiresAt, &r.Renewable, &r.Answer, &r.limits,
	}
}

// hotMemos remember what was made of the texts of keys.
type hotMemos struct {
	scopes memo[[]vault.Scope]
	limits memo[*vault.KeyLimits]
}

// read makes of the columns what the vault takes.
func (r *HotRow) read(memos *hotMemos) (err error) {
	if r.Scopes, err = memos.scopes.of(r.scopes, parseScopes); err != nil {
		return err
	}
	if r.limits != "" {
		end := strings.LastIndexByte(r.limits, ';')
		r.Integration = r.limits[end+1:]
		if r.KeyLimits, err = memos.limits.of(r.limits[:max(end, 0)], parseLimits); err != nil {
			return err
		}
	}
	r.Status = vault.Status(r.status)
	if r.keyExpires != 0 { // nothing here happened in 1970
		r.KeyExpiresAt = fromMicros(r.keyExpires)
	}
	if r.expiresAt != 0 {
		r.ExpiresAt = fromMicros(r.expiresAt)
	}
	return nil
}

// parseLimits reads what stands before the key of the integration in the column.
func parseLimits(s string) (*vault.KeyLimits, error) {
	integrations, addresses, _ := strings.Cut(s, ";")
	var l vault.KeyLimits
	var err error
	if l.Integrations, err = parseWords(integrations); err != nil {
		return nil, err
	}
	l.Addresses, err = parseAddresses(addresses)
	return &l, err
}

// lookup is a question, and what was found.
type lookup struct {
	hash  []byte
	id    string
	row   HotRow
	found bool
}

// LookupHeaders is the hot path: one statement, shared with whoever else asks
// at the moment.
func (s *Store) LookupHeaders(ctx context.Context, keyHash []byte, connectionID string) (*vault.HeadersRow, error) {
	if !speakable(connectionID) {
		connectionID = "" // the key is still to be judged
	}
	l, err := s.lookups.do(ctx, lookup{hash: keyHash, id: connectionID})
	if err != nil {
		return nil, interpretError("reading key and connection", err)
	}
	if !l.found {
		return nil, nil
	}
	if err := l.row.read(&s.memos); err != nil {
		return nil, fmt.Errorf("reading key and connection: %w", err)
	}
	return &l.row.HeadersRow, nil
}
