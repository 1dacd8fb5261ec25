package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
)

// spool sees whether a renewed credential could be kept while the database
// takes no saves, and whether one waits that nobody fetches.
func (d *diagnosis) spool(ctx context.Context) finding {
	dir := d.cfg.spoolDir()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		// Not made here: the doctor may be another user than the broker.
		if err := canMake(dir); err != nil {
			return finding{err: err, advice: "set CLAVIGER_DATA_DIR to a directory that this user may write to; with Postgres it holds the spool alone"}
		}
		return finding{note: "made at the first start in " + dir}
	}
	k, err := openKeyset(d.cfg)
	if err != nil {
		return finding{err: err, advice: "see keyset"}
	}
	s, err := openSpool(d.cfg, vault.New(vault.Config{Keyset: k}), slog.New(slog.DiscardHandler)) // all is said below
	if err != nil {
		return finding{err: err, advice: "see CLAVIGER_DATA_DIR"}
	}
	err = s.Check(ctx)
	var trouble *refresh.SpoolError
	if errors.As(err, &trouble) {
		return finding{err: errors.New(trouble.Problem()), advice: strings.Join(trouble.Advice, "; ")}
	}
	if err != nil {
		return finding{err: err, advice: "see to the disk"}
	}
	n, longest := s.Waiting()
	switch {
	case n == 0:
		return finding{note: dir + " can be written, nothing waits there"}
	case longest < refresh.WaitsLong:
		return finding{note: fmt.Sprintf("%s can be written; credentials that wait there to be saved: %d", dir, n)}
	}
	return finding{
		err:    fmt.Errorf("renewed credentials wait in %s to be saved: %d, the oldest for %s", dir, n, longest.Round(time.Second)),
		advice: "start the broker with this directory; where it runs, its log says why the database does not take them",
	}
}

// canMake reports whether a directory could be made, and makes none that stays.
func canMake(dir string) error {
	above := filepath.Dir(dir)
	for {
		if _, err := os.Stat(above); err == nil || above == filepath.Dir(above) {
			break
		}
		above = filepath.Dir(above)
	}
	try, err := os.MkdirTemp(above, ".claviger-")
	if err != nil {
		return fmt.Errorf("%s cannot be made: %w", dir, err)
	}
	return os.Remove(try)
}
