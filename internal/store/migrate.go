package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/claviger/claviger/migrations"
)

// Migration is one step of the schema.
type Migration struct {
	Version int
	Name    string
}

// SchemaStatus is where the schema stands.
type SchemaStatus struct {
	// Version is the last migration that was applied, 0 for an empty database.
	Version int
	// Dirty means that this version was tried and did not succeed.
	Dirty bool
	// Latest is the version that this release needs.
	Latest int
	// Pending lists what is not applied yet, in order.
	Pending []Migration
}

// DirtyError says that a migration failed and a person has to look.
type DirtyError struct {
	// Version is the one that the failed migration was to reach.
	Version int
	// Err is the failure, nil where it happened in an earlier run.
	Err error
}

// Error is the advice. Each migration is one transaction, so what failed left
// nothing but the mark.
func (e *DirtyError) Error() string {
	advice := fmt.Sprintf("the schema is marked dirty at version %d: unless one is running right now, a migration failed there and was rolled back. "+
		"See to the cause, then run \"migrate force %d\" if it failed on the way up (\"migrate force %d\" on the way down), and \"migrate up\"",
		e.Version, e.Version-1, e.Version+1)
	if e.Err == nil {
		return advice
	}
	return e.Err.Error() + "; " + advice
}

// Unwrap gives the failure.
func (e *DirtyError) Unwrap() error { return e.Err }

// Migrator changes the schema. Each method opens the database for itself and
// closes it. Processes that migrate at the same time wait for one another: on
// Postgres by a session's advisory lock, so that the URL must not lead through
// a pooler in transaction mode.
type Migrator struct {
	cfg     Config
	where   location
	dialect *dialect
	known   []Migration

	lockTimeout time.Duration
}

// NewMigrator reads the URL and the migrations of this release.
func NewMigrator(cfg Config) (*Migrator, error) {
	where, err := locate(cfg.URL)
	if err != nil {
		return nil, err
	}
	m := &Migrator{cfg: cfg, where: where, dialect: postgresDialect(), lockTimeout: defaultLockTimeout}
	if where.path != "" {
		m.dialect = sqliteDialect()
	}
	m.known, err = knownMigrations(m.dialect.name)
	return m, err
}

// knownMigrations lists what the binary carries, in order.
func knownMigrations(folder string) ([]Migration, error) {
	files, err := fs.Glob(migrations.FS, folder+"/*.up.sql")
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no migrations for %s: %w", folder, err)
	}
	known := make([]Migration, 0, len(files))
	for _, file := range files {
		base := strings.TrimSuffix(strings.TrimPrefix(file, folder+"/"), ".up.sql")
		number, name, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number", file)
		}
		known = append(known, Migration{Version: version, Name: name})
	}
	slices.SortFunc(known, func(a, b Migration) int { return cmp.Compare(a.Version, b.Version) })
	return known, nil
}

// Status reads where the schema stands and changes nothing.
func (m *Migrator) Status(ctx context.Context) (SchemaStatus, error) {
	s, err := Open(ctx, m.cfg)
	if err != nil {
		return SchemaStatus{}, err
	}
	defer func() { _ = s.Close() }()
	version, dirty, err := s.schemaVersion(ctx)
	if err != nil {
		return SchemaStatus{}, err
	}
	status := SchemaStatus{Version: version, Dirty: dirty, Latest: m.known[len(m.known)-1].Version}
	for _, known := range m.known {
		if known.Version > version || (dirty && known.Version == version) {
			status.Pending = append(status.Pending, known)
		}
	}
	return status, nil
}

// schemaVersion reads golang-migrate's table; without one the version is 0.
func (r reader) schemaVersion(ctx context.Context) (version int, dirty bool, err error) {
	const what = "reading schema version"
	exists, err := one(ctx, r.conn, what, func(row scanner) (b bool, err error) { return b, row.Scan(&b) },
		r.d.tableExists, migratepgx.DefaultMigrationsTable)
	if err != nil || !*exists {
		return 0, false, err
	}
	scan := func(row scanner) (v SchemaStatus, err error) { return v, row.Scan(&v.Version, &v.Dirty) }
	v, err := oneIf(ctx, r.conn, what, scan, `SELECT version, dirty FROM schema_migrations`)
	if err != nil || v == nil {
		return 0, false, err
	}
	return max(v.Version, 0), v.Dirty, nil
}

// Up applies what is pending. With nothing pending it takes no lock and writes
// nothing, so that it can run at every start. A schema newer than this release
// is left alone.
func (m *Migrator) Up(ctx context.Context) error {
	status, err := m.Status(ctx)
	if err != nil || len(status.Pending) == 0 {
		return err
	}
	// A mark of failure may be another process that is at it: only the holder
	// of the lock can tell.
	return m.run(ctx, "migrating up", func(mig *migrate.Migrate) error { return mig.Up() })
}

// Down takes back the last n migrations, n ≥ 1, and the data in what they made.
func (m *Migrator) Down(ctx context.Context, n int) error {
	status, err := m.Status(ctx)
	if err != nil {
		return err
	}
	applied := len(m.known) - len(status.Pending)
	if status.Dirty {
		applied++ // golang-migrate refuses it under the lock
	}
	switch {
	case status.Version > status.Latest:
		return fmt.Errorf("the schema is at version %d, which this release does not know: take it back with the release that made it", status.Version)
	case n < 1 || n > applied:
		return fmt.Errorf("cannot take back %d migrations: %d are applied", n, applied)
	}
	return m.run(ctx, "migrating down", func(mig *migrate.Migrate) error { return mig.Steps(-n) })
}

// Force writes down that the schema is at a version, 0 for none, and clears the
// mark of a failed migration. It runs nothing.
func (m *Migrator) Force(ctx context.Context, version int) error {
	if version != 0 && !slices.ContainsFunc(m.known, func(k Migration) bool { return k.Version == version }) {
		return fmt.Errorf("there is no migration %d: this release has 1 to %d", version, m.known[len(m.known)-1].Version)
	}
	if version == 0 {
		version = database.NilVersion
	}
	return m.run(ctx, "forcing the schema's version", func(mig *migrate.Migrate) error { return mig.Force(version) })
}

// run does one thing with golang-migrate under the lock.
func (m *Migrator) run(ctx context.Context, what string, fn func(*migrate.Migrate) error) (err error) {
	driver, release, err := m.driver(ctx)
	if err != nil {
		return m.interpret(what, nil, err)
	}
	defer func() { err = errors.Join(err, release()) }()
	source, err := iofs.New(migrations.FS, m.dialect.name)
	if err != nil {
		return fmt.Errorf("%s: reading migrations: %w", what, errors.Join(err, driver.Close()))
	}
	mig, err := migrate.NewWithInstance("iofs", source, m.dialect.name, driver)
	if err != nil {
		return fmt.Errorf("%s: %w", what, errors.Join(err, driver.Close()))
	}
	defer func() {
		_, closeErr := mig.Close()
		err = errors.Join(err, closeErr)
	}()
	mig.LockTimeout = m.lockTimeout + 10*time.Second // the database gives up first
	mig.Log = migrateLog{m.cfg.Log}
	// It stops between two migrations, never inside of one.
	stop := context.AfterFunc(ctx, func() { mig.GracefulStop <- true })
	defer stop()
	return m.interpret(what, mig, fn(mig))
}

// interpret turns golang-migrate's errors into what a person can act on. mig is
// nil where it did not come that far.
func (m *Migrator) interpret(what string, mig *migrate.Migrate, err error) error {
	var dirty migrate.ErrDirty
	switch {
	case err == nil, errors.Is(err, migrate.ErrNoChange):
		return nil
	case errors.As(err, &dirty):
		return &DirtyError{Version: dirty.Version}
	}
	err = withoutStatement(err)
	if isLocked(err) {
		err = fmt.Errorf("waited %s for another process that migrates, or has a long transaction open: %w", m.lockTimeout, err)
	}
	err = fmt.Errorf("%s: %w", what, err)
	if mig == nil {
		return err
	}
	if version, dirty, versionErr := mig.Version(); versionErr == nil && dirty {
		return &DirtyError{Version: int(version), Err: err}
	}
	return err
}

// withoutStatement is the database's own error: golang-migrate's neither
// unwraps nor leaves the text of the whole migration out.
func withoutStatement(err error) error {
	var byValue database.Error
	if errors.As(err, &byValue) {
		return fmt.Errorf("line %d: %w", byValue.Line, byValue.OrigErr)
	}
	var byPointer *database.Error
	if errors.As(err, &byPointer) && byPointer.OrigErr != nil {
		return byPointer.OrigErr
	}
	return err
}
