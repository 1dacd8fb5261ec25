package store

import (
	"context"

	"github.com/claviger/claviger/internal/vault"
)

const environmentColumns = `id, name, created_at, keyset, strict_reads`

func scanEnvironment(row scanner) (e vault.Environment, err error) {
	err = row.Scan(&e.ID, &e.Name, timeColumn{&e.CreatedAt}, &e.Keyset, &e.StrictReads)
	return e, err
}

// Environment finds one by id.
func (r reader) Environment(ctx context.Context, id string) (*vault.Environment, error) {
	return one(ctx, r.conn, "reading environment", scanEnvironment,
		`SELECT `+environmentColumns+` FROM environments WHERE id = $1`, id)
}

// EnvironmentByName finds one by name.
func (r reader) EnvironmentByName(ctx context.Context, name string) (*vault.Environment, error) {
	return one(ctx, r.conn, "reading environment", scanEnvironment,
		`SELECT `+environmentColumns+` FROM environments WHERE name = $1`, name)
}

// Environments lists all, oldest first.
func (r reader) Environments(ctx context.Context) ([]vault.Environment, error) {
	return many(ctx, r.conn, "listing environments", scanEnvironment,
		`SELECT `+environmentColumns+` FROM environments ORDER BY id`)
}

func (t tx) InsertEnvironment(ctx context.Context, e vault.Environment) error {
	return t.insert(ctx, "inserting environment",
		`INSERT INTO environments (id, name, keyset, created_at, strict_reads) VALUES ($1, $2, $3, $4, $5)`,
		e.ID, e.Name, blob(e.Keyset), micros(e.CreatedAt), e.StrictReads)
}

func (t tx) SetEnvironmentKeyset(ctx context.Context, id string, old, keyset []byte) (bool, error) {
	return t.swap(ctx, "replacing environment keyset",
		`UPDATE environments SET keyset = $3 WHERE id = $1 AND keyset = $2`, id, old, keyset)
}

func (t tx) SetStrictReads(ctx context.Context, id string, strict bool) (bool, error) {
	return t.swap(ctx, "setting read audit",
		`UPDATE environments SET strict_reads = $2 WHERE id = $1 AND strict_reads <> $2`, id, strict)
}

func (t tx) RenameEnvironment(ctx context.Context, id, from, to string) error {
	return t.must(ctx, "renaming environment", `UPDATE environments SET name = $3 WHERE id = $1 AND name = $2`, id, from, to)
}
