package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/vault"
)

// errText is the answer to text that no row can hold. Postgres refuses it,
// SQLite would take it and cut it short at the NUL in places.
var errText = fmt.Errorf("text is not valid UTF-8 or contains NUL: %w", vault.ErrUnfit)

// SQLSTATEs, PostgreSQL manual, appendix A.
const (
	pgForeignKey       = "23503"
	pgUnique           = "23505"
	pgSerialization    = "40001"
	pgDeadlock         = "40P01"
	pgLockNotAvailable = "55P03"
	pgCheck            = "23514"
	pgNotNull          = "23502"
	pgDataException    = "22" // the class: a value that does not fit
	pgConnection       = "08" // the class: the connection was lost
	pgResources        = "53" // the class: too many connections, disk full
	pgIntervention     = "57" // the class: shutting down, crashed, cancelled
)

// Extended result codes, https://www.sqlite.org/rescode.html
const (
	sqliteBusy       = 5
	sqliteTooBig     = 18
	sqliteCheck      = 275
	sqliteNotNull    = 1299
	sqliteForeignKey = 787
	sqlitePrimaryKey = 1555
	sqliteUnique     = 2067
)

// interpretError turns a driver's error into what the vault knows, by code and
// never by text. what says what was being done ("reading connection").
//
// A broken foreign key is [vault.ErrInUse] when a row was being deleted; at any
// other time it means that the row referred to is not there.
func interpretError(what string, err error) error {
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	var lite *sqlite.Error
	switch {
	case errors.Is(err, sql.ErrNoRows), errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", what, vault.ErrNotFound)
	case errors.As(err, &pg):
		switch pg.Code {
		case pgUnique:
			return fmt.Errorf("%s: %w (%s)", what, vault.ErrDuplicate, pg.ConstraintName)
		case pgForeignKey:
			return fmt.Errorf("%s: %w (%s)", what, vault.ErrInUse, pg.ConstraintName)
		case pgCheck, pgNotNull:
			return fmt.Errorf("%s: %w (%s)", what, vault.ErrUnfit, pg.ConstraintName)
		}
		if strings.HasPrefix(pg.Code, pgDataException) {
			return fmt.Errorf("%s: %w (%s)", what, vault.ErrUnfit, pg.Code)
		}
	case errors.As(err, &lite):
		switch lite.Code() {
		case sqliteUnique, sqlitePrimaryKey:
			return fmt.Errorf("%s: %w", what, vault.ErrDuplicate)
		case sqliteForeignKey:
			return fmt.Errorf("%s: %w", what, vault.ErrInUse)
		case sqliteCheck, sqliteNotNull, sqliteTooBig:
			return fmt.Errorf("%s: %w: %w", what, vault.ErrUnfit, err)
		}
	}
	if away(err) {
		return fault.Wrap(fmt.Errorf("%s: %w", what, err), fault.Unavailable, "The database cannot be reached right now.").After(time.Second)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// away reports whether the database could not be reached, or was about to go.
func away(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		class := pg.Code[:min(2, len(pg.Code))]
		return class == pgConnection || class == pgResources || class == pgIntervention
	}
	var dial *pgconn.ConnectError
	var wire net.Error
	return errors.As(err, &dial) || errors.As(err, &wire) && !errors.Is(err, context.Canceled) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF)
}

// parentMissing reads a broken foreign key of an INSERT.
func parentMissing(what string, err error) error {
	if errors.Is(err, vault.ErrInUse) {
		return fmt.Errorf("%s: what it belongs to: %w", what, vault.ErrNotFound)
	}
	return err
}

// worthRetrying reports whether Postgres gave up a transaction that may well
// succeed when it is run again from the start.
func worthRetrying(ctx context.Context, err error) bool {
	var pg *pgconn.PgError
	return ctx.Err() == nil && errors.As(err, &pg) && (pg.Code == pgSerialization || pg.Code == pgDeadlock)
}
