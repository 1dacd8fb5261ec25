package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// sqliteBatches are the sizes that a statement is prepared for; what a batch
// leaves over is NULL and finds nothing. Beyond the largest there is nothing
// left to share.
var sqliteBatches = [...]int{1, 4, 16}

const sqliteMost = 16

// sqliteBatch is [hotStatement] for size lookups. Parameters are bare question
// marks: SQLite takes $1 for a name, and looks names up one by one.
func sqliteBatch(size int) string {
	if size == 1 {
		return strings.NewReplacer("$1", "?1", "$2", "?2").Replace(hotStatement)
	}
	var v strings.Builder
	for i := range size {
		if i > 0 {
			v.WriteString(", ")
		}
		fmt.Fprintf(&v, "(%d, ?, ?)", i)
	}
	return `WITH q (n, hash, id) AS (VALUES ` + v.String() + `)
	SELECT q.n, ` + hotColumns + `
	FROM q CROSS JOIN api_keys k ON k.hash = q.hash
	CROSS JOIN environments e ON e.id = k.environment_id
	LEFT JOIN connections c ON c.environment_id = k.environment_id AND c.id = q.id`
}

// sqliteLane is a connection of its own with its statements, past database/sql
// and the goroutine that it would start for each query.
type sqliteLane struct {
	conn  driver.Conn
	stmts [len(sqliteBatches)]driver.Stmt
	args  [2 * sqliteMost]driver.NamedValue
	row   [1 + hotWidth]driver.Value
}

// hotWidth is the number of hotColumns.
const hotWidth = 14

// sqliteLookups opens a lane when it is needed first: at [Open] there may be no
// schema yet.
func sqliteLookups(ctx context.Context, d driver.Driver, dsn string) (l *batches[lookup], closeLanes func() error) {
	ctx = context.WithoutCancel(ctx) // of the start; and one without an end is not watched
	lanes := make([]*sqliteLane, max(2, runtime.GOMAXPROCS(0)))
	l = newBatches(len(lanes), sqliteMost, func(i int, batch []*wanted[lookup]) (err error) {
		if lanes[i] == nil {
			if lanes[i], err = openLane(d, dsn); err != nil {
				return err
			}
		}
		if err = lanes[i].lookup(ctx, batch); err != nil {
			// Whatever is wrong with it, the next batch begins with a new one.
			err = errors.Join(err, lanes[i].close())
			lanes[i] = nil
		}
		return err
	})
	return l, func() error {
		l.close()
		var errs []error
		for _, lane := range lanes {
			if lane != nil {
				errs = append(errs, lane.close())
			}
		}
		return errors.Join(errs...)
	}
}

func openLane(d driver.Driver, dsn string) (_ *sqliteLane, err error) {
	lane := &sqliteLane{}
	if lane.conn, err = d.Open(dsn); err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	for i, size := range sqliteBatches {
		stmt, err := lane.conn.Prepare(sqliteBatch(size))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("preparing: %w", err), lane.close())
		}
		lane.stmts[i] = stmt
	}
	for i := range lane.args {
		lane.args[i].Ordinal = i + 1
	}
	return lane, nil
}

func (l *sqliteLane) close() error {
	var errs []error
	for _, s := range l.stmts {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, l.conn.Close())...)
}

func (l *sqliteLane) lookup(ctx context.Context, batch []*wanted[lookup]) (err error) {
	kind := 0
	for sqliteBatches[kind] < len(batch) {
		kind++
	}
	size := sqliteBatches[kind]
	for i := range size {
		l.args[2*i].Value, l.args[2*i+1].Value = nil, nil
		if i < len(batch) {
			l.args[2*i].Value, l.args[2*i+1].Value = batch[i].it.hash, batch[i].it.id
		}
	}
	// A read never waits for a writer: there is nothing to give up.
	stmt, ok := l.stmts[kind].(driver.StmtQueryContext)
	if !ok {
		return errors.New("the driver takes no context")
	}
	rows, err := stmt.QueryContext(ctx, l.args[:2*size])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := l.row[:]
	if size == 1 {
		row = row[1:]
	}
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		n := int64(0)
		if size > 1 {
			n, _ = row[0].(int64)
		}
		if n < 0 || n >= int64(len(batch)) {
			return errors.New("a row for nobody")
		}
		if err := batch[n].it.row.assign(l.row[1:]); err != nil {
			return err
		}
		batch[n].it.found = true
	}
}

// assign is a scan without reflection. SQLite has no type for truth.
func (r *HotRow) assign(row []driver.Value) error {
	for i, target := range r.Columns() {
		ok := false
		switch t := target.(type) {
		case *string:
			*t, ok = row[i].(string)
		case *int64:
			*t, ok = row[i].(int64)
		case *bool:
			var n int64
			n, ok = row[i].(int64)
			*t = n != 0
		case *[]byte:
			*t, ok = row[i].([]byte)
			ok = ok || row[i] == nil
		}
		if !ok {
			return fmt.Errorf("column %d is a %T", i, row[i])
		}
	}
	return nil
}
