package store

import (
	"context"
	"fmt"

	"github.com/claviger/claviger/internal/vault"
)

// Canary is the blob sealed at the first start.
func (s *Store) Canary(ctx context.Context) ([]byte, error) {
	scan := func(row scanner) (b []byte, err error) { return b, row.Scan(&b) }
	b, err := oneIf(ctx, s.conn, "reading canary", scan, `SELECT sealed FROM canary WHERE id = 1`)
	if b == nil {
		return nil, err
	}
	return *b, err
}

// InsertCanary keeps the first one.
func (s *Store) InsertCanary(ctx context.Context, sealed []byte) (bool, error) {
	return s.w.swap(ctx, "inserting canary",
		`INSERT INTO canary (id, sealed) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`, blob(sealed))
}

// ReplaceCanary follows a rotation of the master keyset.
func (s *Store) ReplaceCanary(ctx context.Context, sealed []byte) error {
	return s.w.must(ctx, "replacing canary", `UPDATE canary SET sealed = $1 WHERE id = 1`, blob(sealed))
}

// The tables with blobs that an environment's keyset sealed for long.
const (
	tableConnections  = "connections"
	tableIntegrations = "integrations"
	tableRevocations  = "revocations"
)

func scanSealed(row scanner) (r vault.SealedRow, err error) {
	var first, second []byte
	if err = row.Scan(&r.Table, &r.ID, &r.Generation, &first, &second); err != nil {
		return r, err
	}
	r.Blobs = [][]byte{first}
	if r.Table != tableRevocations { // which have one; it stands in both columns
		r.Blobs = append(r.Blobs, second)
	}
	return r, nil
}

// Sealed walks over the sealed blobs of an environment, by id. Each table gives
// no more than a page, so that a page costs the same however many follow.
func (s *Store) Sealed(ctx context.Context, environmentID, cursor string, limit int) ([]vault.SealedRow, error) {
	return many(ctx, s.conn, "listing sealed rows", scanSealed, `
		SELECT kind, id, generation, first, second FROM (
			SELECT kind, id, generation, first, second FROM (
				SELECT 'connections' AS kind, id, generation, credential AS first, answer AS second FROM connections
				WHERE environment_id = $1 AND id > $2 AND (credential IS NOT NULL OR answer IS NOT NULL)
				ORDER BY id LIMIT $3
			) AS c
			UNION ALL
			SELECT kind, id, generation, first, second FROM (
				SELECT 'integrations' AS kind, id, 0 AS generation, client_secret AS first, previous_client_secret AS second FROM integrations
				WHERE environment_id = $1 AND id > $2 AND client_secret IS NOT NULL
				ORDER BY id LIMIT $3
			) AS i
			UNION ALL
			SELECT kind, id, generation, first, second FROM (
				SELECT 'revocations' AS kind, id, 0 AS generation, sealed AS first, sealed AS second FROM revocations
				WHERE environment_id = $1 AND id > $2
				ORDER BY id LIMIT $3
			) AS r
		) AS sealed
		ORDER BY id LIMIT $3`,
		environmentID, cursor, limit)
}

// Reseal replaces the blobs of one row, if it still holds the old ones.
func (s *Store) Reseal(ctx context.Context, old, sealed vault.SealedRow) (bool, error) {
	switch {
	case old.Table == tableConnections && len(old.Blobs) == 2 && len(sealed.Blobs) == 2:
		return s.w.swap(ctx, "resealing connection", `
			UPDATE connections SET credential = $5, answer = $6
			WHERE id = $1 AND generation = $2 AND credential IS NOT DISTINCT FROM $3 AND answer IS NOT DISTINCT FROM $4`,
			old.ID, old.Generation, blob(old.Blobs[0]), blob(old.Blobs[1]), blob(sealed.Blobs[0]), blob(sealed.Blobs[1]))
	case old.Table == tableIntegrations && len(old.Blobs) == 2 && len(sealed.Blobs) == 2:
		return s.w.swap(ctx, "resealing integration", `
			UPDATE integrations SET client_secret = $4, previous_client_secret = $5
			WHERE id = $1 AND client_secret IS NOT DISTINCT FROM $2 AND previous_client_secret IS NOT DISTINCT FROM $3`,
			old.ID, blob(old.Blobs[0]), blob(old.Blobs[1]), blob(sealed.Blobs[0]), blob(sealed.Blobs[1]))
	case old.Table == tableRevocations && len(old.Blobs) == 1 && len(sealed.Blobs) == 1:
		return s.w.swap(ctx, "resealing revocation",
			`UPDATE revocations SET sealed = $3 WHERE id = $1 AND sealed = $2`,
			old.ID, blob(old.Blobs[0]), blob(sealed.Blobs[0]))
	default:
		return false, fmt.Errorf("resealing: no row of table %q has %d and %d blobs", old.Table, len(old.Blobs), len(sealed.Blobs))
	}
}
