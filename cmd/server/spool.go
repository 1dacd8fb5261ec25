package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/vault"
)

// spoolLookTime bounds the look at the spool when serving begins: a disk that
// hangs must not keep what works from being served.
const spoolLookTime = 2 * time.Second

// spoolDir is in the data directory with either database.
func (c *config) spoolDir() string { return filepath.Join(c.DataDir, "spool") }

// openSpool opens the spool of this keyset. One that cannot be used is no
// error, see [refresh.OpenSpool].
func openSpool(cfg *config, v *vault.Vault, log *slog.Logger) (*refresh.Spool, error) {
	return refresh.OpenSpool(refresh.SpoolConfig{
		Dir: cfg.spoolDir(), Log: log,
		Probe: func(sealed []byte) error {
			_, err := v.OpenUnsaved(sealed)
			return err
		},
	})
}

// noteSpool has the directory made before it is needed, and tells the log
// where that, or anything else about it, does not work.
func (b *broker) noteSpool(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spoolLookTime) // it is done when serving begins, or the disk hangs
	defer cancel()
	if err := b.spool.Check(ctx); err != nil {
		b.log.LogAttrs(ctx, slog.LevelError, "a renewed credential could be lost while the database takes no saves", slog.String("error", err.Error()))
	}
}
