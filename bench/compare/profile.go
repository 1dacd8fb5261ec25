package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/claviger/claviger/bench/pace"
)

// profiler is laid over the broker's main package in a build of ours: the
// program that people run has no switch for it.
//
//go:embed profiler.go.txt
var profiler []byte

// profileVariable names the file that the profile is written to.
const profileVariable = "BENCH_CPU_PROFILE"

// profilingOverlay writes what `go build -overlay` takes.
func (b *bench) profilingOverlay(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "github.com/claviger/claviger/cmd/server").Output()
	if err != nil {
		return "", fmt.Errorf("finding the broker's source: %w", err)
	}
	source := b.program("profiler.go")
	doc, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(strings.TrimSpace(string(out)), "profiler.go"): source,
	}})
	if err != nil {
		return "", err
	}
	overlay := b.program("overlay.json")
	return overlay, errors.Join(os.WriteFile(source, profiler, 0o600), os.WriteFile(overlay, doc, 0o600))
}

// takeProfile loads the broker for ten slices and keeps its CPU profile.
func (b *bench) takeProfile(ctx context.Context, broker *target, kind string) error {
	if err := broker.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	if _, err := pace.Run(ctx, broker.plan(ctx, b.workers, 0, 10*b.slice)); err != nil {
		return err
	}
	if err := broker.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return err
	}
	made, kept := b.program(broker.name+".pprof"), filepath.Join(b.profile, kind+".pprof")
	defer func() { _ = os.Remove(made) }() // the next broker writes there too

	for { // it gets its name when it is whole
		profile, err := os.ReadFile(made)
		if err == nil {
			if err := errors.Join(os.MkdirAll(b.profile, 0o700), os.WriteFile(kept, profile, 0o600)); err != nil {
				return err
			}
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=25", kept).CombinedOutput()
	b.say("%s", top)
	return err
}
