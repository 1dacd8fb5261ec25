package refresh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/refresh"
)

// spoolDir is a directory that nothing has made yet.
func spoolDir(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data", "spool")
}

// openSpool opens one whose keyset opens what begins with "ours".
func openSpool(t testing.TB, cfg refresh.SpoolConfig) *refresh.Spool {
	t.Helper()
	if cfg.Probe == nil {
		cfg.Probe = func(sealed []byte) error {
			if !bytes.HasPrefix(sealed, []byte("ours")) {
				return errors.New("does not open")
			}
			return nil
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := refresh.OpenSpool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *refresh.Spool, name, content string) {
	t.Helper()
	if err := s.Put(name, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func wantNames(t *testing.T, s *refresh.Spool, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func wantEntry(t *testing.T, s *refresh.Spool, name, want string) {
	t.Helper()
	if got, err := s.Get(name); err != nil || string(got) != want {
		t.Errorf("%s: %q %v, want %q", name, got, err, want)
	}
}

// wantTrouble checks that the spool complains in these words, problem and
// advice, or not at all.
func wantTrouble(t *testing.T, s *refresh.Spool, words ...string) {
	t.Helper()
	err := s.Check(t.Context())
	if len(words) == 0 {
		if err != nil {
			t.Errorf("complains: %v", err)
		}
		return
	}
	var said *refresh.SpoolError
	if !errors.As(err, &said) {
		t.Fatalf("got %v, want a complaint with %q", err, words)
	}
	if len(said.Advice) != len(said.Problems) || said.Advice[0] == "" {
		t.Errorf("no advice: %#v", said)
	}
	for _, w := range words {
		if !strings.Contains(said.Error(), w) {
			t.Errorf("%q is not in %q", w, said)
		}
	}
}

// inDir is every file of a directory, with its mode.
func inDir(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]fs.FileMode{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = info.Mode()
	}
	return all
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSpoolKeeps(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	s := openSpool(t, refresh.SpoolConfig{Dir: dir})
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made by opening alone: %v", err)
	}
	wantNames(t, s)
	put(t, s, "con_a.7.3", "ours 1")
	put(t, s, "con_b.1.1", "ours 2")
	put(t, s, "con_a.7.3", "ours 3, longer") // in its place, and younger now

	for _, s := range []*refresh.Spool{s, openSpool(t, refresh.SpoolConfig{Dir: dir})} {
		if got := s.Names(); len(got) != 2 {
			t.Fatalf("kept %q", got)
		}
		wantEntry(t, s, "con_a.7.3", "ours 3, longer")
		wantEntry(t, s, "con_b.1.1", "ours 2")
		wantTrouble(t, s)
	}
	want := map[string]fs.FileMode{"con_a.7.3": 0o600, "con_b.1.1": 0o600}
	if diff := cmp.Diff(want, inDir(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", d, info.Mode(), err)
		}
	}

	for range 2 { // gone already is no error
		if err := s.Drop("con_a.7.3"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Get("con_a.7.3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dropped: %v", err)
	}
	wantNames(t, openSpool(t, refresh.SpoolConfig{Dir: dir}), "con_b.1.1")
}

func TestSpoolOldestFirst(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	s := openSpool(t, refresh.SpoolConfig{Dir: dir})
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	want := []string{"con_z.1.1", "con_a.9.12", "con_a.10.2", "con_a.10.11", "con_b.1.1"}
	for _, name := range []string{"con_b.1.1", "con_a.10.11", "con_a.10.2", "con_a.9.12", "con_z.1.1"} {
		put(t, s, name, "ours")
		when := at
		if name == "con_z.1.1" {
			when = at.Add(-time.Millisecond)
		}
		must(t, os.Chtimes(filepath.Join(dir, name), when, when))
	}
	wantNames(t, s, want...)
}

func TestSpoolRefusesNames(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	s := openSpool(t, refresh.SpoolConfig{Dir: dir})
	put(t, s, "con_a.1.1", "ours")
	outside := filepath.Join(filepath.Dir(dir), "con_x.1.1")
	writeFile(t, outside, "not for us")
	for _, name := range []string{
		"", ".", "..", "con_a", "con_a.1", "con_a..1", "con_a.1.", ".con_a.1.1", ".1.1", "con_a.x.1", "con_a.1.-1",
		"../con_x.1.1", "/con_x.1.1", "a/b.1.1", `a\b.1.1`, "con a.1.1", "con_a.1.1\n", "con_a\x00.1.1", "con_é.1.1",
		"con_a.12345678901234567890.1", ".unfinished-X.1.1",
	} {
		if err := s.Put(name, []byte("ours")); err == nil {
			t.Errorf("Put took %q", name)
		}
		if _, err := s.Get(name); err == nil {
			t.Errorf("Get took %q", name)
		}
		if err := s.Drop(name); err == nil {
			t.Errorf("Drop took %q", name)
		}
	}
	if err := s.Put(strings.Repeat("x", 200)+".1.1", []byte("ours")); err == nil {
		t.Error("Put took a name that is too long")
	}
	if err := s.Put("con_b.1.1", nil); err == nil {
		t.Error("Put took nothing")
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "not for us" {
		t.Errorf("outside: %q %v", b, err)
	}
	wantNames(t, s, "con_a.1.1")
}

// What lies in the directory and is no entry is neither listed nor touched,
// except for what a killed process left unfinished.
func TestSpoolAfterAKill(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	s := openSpool(t, refresh.SpoolConfig{Dir: dir})
	put(t, s, "con_a.1.1", "ours")
	writeFile(t, filepath.Join(dir, ".unfinished-QWERTY"), "ou")
	writeFile(t, filepath.Join(dir, "README"), "do not touch")
	writeFile(t, filepath.Join(dir, "con_torn.1.1"), "")
	must(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "con_dir.1.1"), 0o700))
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "con_link.1.1")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "con_pipe.1.1"), 0o600))

	var log bytes.Buffer
	s = openSpool(t, refresh.SpoolConfig{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got := len(s.Names()); got != 2 {
		t.Errorf("%d entries: %q", got, s.Names())
	}
	left := inDir(t, dir)
	if _, there := left[".unfinished-QWERTY"]; there || len(left) != 7 {
		t.Errorf("left: %v", left)
	}
	for _, name := range []string{"con_dir.1.1", "con_link.1.1", "con_pipe.1.1"} {
		if b, err := s.Get(name); err == nil {
			t.Errorf("%s: read %q", name, b)
		}
	}
	if !strings.Contains(log.String(), "renewed credentials wait") || !strings.Contains(log.String(), "count=2") {
		t.Errorf("log: %s", &log)
	}
	wantTrouble(t, s, "1 of another keyset, or damaged: con_torn.1.1")
}

// Processes that start sweep away what another one is just writing. That one
// writes it again.
func TestSpoolPutOutlivesASweep(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	s := openSpool(t, refresh.SpoolConfig{Dir: dir})
	put(t, s, "con_first.1.1", "ours")
	for i := range 50 {
		var starting sync.WaitGroup
		starting.Go(func() {
			for range 9 { // one less than it tries
				openSpool(t, refresh.SpoolConfig{Dir: dir})
			}
		})
		put(t, s, fmt.Sprintf("con_%d.1.1", i), "ours")
		starting.Wait()
	}
	if got := len(s.Names()); got != 51 {
		t.Errorf("%d entries", got)
	}
}

func TestSpoolOfAnotherKeyset(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	now := &clock{now: time.Now()}
	var probed atomic.Int32
	cfg := refresh.SpoolConfig{Dir: dir, Now: now.Now, Probe: func(sealed []byte) error {
		probed.Add(1)
		if !bytes.HasPrefix(sealed, []byte("ours")) {
			return errors.New("does not open")
		}
		return nil
	}}
	s := openSpool(t, cfg)
	put(t, s, "con_ours.1.1", "ours")
	for i := range 7 {
		put(t, s, fmt.Sprintf("con_%d.1.1", i), "theirs")
	}
	wantTrouble(t, s, "7 of another keyset", "con_0.1.1", "con_4.1.1", "and 2 more", "move them away")
	if n, _ := s.Waiting(); n != 1 {
		t.Errorf("%d of ours wait", n)
	}
	if got := len(s.Names()); got != 8 {
		t.Errorf("%d left", got)
	}
	if n := probed.Load(); n != 8 {
		t.Errorf("%d probes of 8 files", n)
	}
	for i := range 6 {
		must(t, s.Drop(fmt.Sprintf("con_%d.1.1", i)))
	}
	now.pass(10 * time.Second)
	wantTrouble(t, s, "1 of another keyset", "con_6.1.1")
	if n := probed.Load(); n != 8 {
		t.Errorf("%d probes, although nothing new came", n)
	}
	put(t, s, "con_6.1.1", "ours, with another size")
	now.pass(10 * time.Second)
	wantTrouble(t, s)
	if n := probed.Load(); n != 9 {
		t.Errorf("%d probes, want one for what was replaced", n)
	}
}

func TestSpoolLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files int
		bytes int64
	}{
		"files": {files: 10},
		"bytes": {bytes: 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := &clock{now: time.Now()}
			s := openSpool(t, refresh.SpoolConfig{Dir: spoolDir(t), MaxFiles: c.files, MaxBytes: c.bytes, Now: now.Now})
			for i := range 8 {
				put(t, s, fmt.Sprintf("con_%d.1.1", i), "ours")
			}
			wantTrouble(t, s)
			put(t, s, "con_8.1.1", "ours")
			now.pass(10 * time.Second)
			wantTrouble(t, s, "nearly full", "9 of ", "36 of ", "find out why")
			put(t, s, "con_9.1.1", "ours")
			err := s.Put("con_10.1.1", []byte("ours"))
			if !errors.Is(err, refresh.ErrSpoolFull) {
				t.Errorf("beyond the limit: %v", err)
			}
			wantTrouble(t, s, "the spool is full", "10 of ", "40 of ") // at once: a Put has failed
			put(t, s, "con_3.1.1", "ours")                             // takes no more than what it replaces
			must(t, s.Drop("con_0.1.1"))
			put(t, s, "con_10.1.1", "ours") // there is room again, at once
			if got := len(s.Names()); got != 10 {
				t.Errorf("%d kept", got)
			}
		})
	}
}

// Another process filled the directory since this one counted, or emptied it.
func TestSpoolLimitsAreTheDirectorys(t *testing.T) {
	t.Parallel()
	dir, now := spoolDir(t), &clock{now: time.Now()}
	cfg := refresh.SpoolConfig{Dir: dir, MaxFiles: 4, Now: now.Now}
	one, other := openSpool(t, cfg), openSpool(t, cfg)
	put(t, one, "con_0.1.1", "ours")
	for i := range 3 {
		put(t, other, fmt.Sprintf("con_1.%d.1", i), "ours")
	}
	now.pass(time.Second)
	if err := one.Put("con_2.1.1", []byte("ours")); !errors.Is(err, refresh.ErrSpoolFull) {
		t.Errorf("into a full directory: %v", err)
	}
	must(t, other.Drop("con_0.1.1"))
	put(t, one, "con_2.1.1", "ours")
}

func TestSpoolEntryVanishes(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	one, other := openSpool(t, refresh.SpoolConfig{Dir: dir}), openSpool(t, refresh.SpoolConfig{Dir: dir})
	put(t, one, "con_a.1.1", "ours")
	names := one.Names()
	must(t, other.Drop("con_a.1.1"))
	if _, err := one.Get(names[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	must(t, one.Drop(names[0]))
	wantNames(t, one)

	must(t, os.RemoveAll(dir)) // by somebody who tidies up
	if _, err := one.Get("con_a.1.1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	must(t, one.Drop("con_a.1.1"))
	put(t, one, "con_b.1.1", "ours")
	wantNames(t, other, "con_b.1.1")
}

// What comes and goes while the directory is read does not hide what stays.
func TestSpoolListsWhatStays(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	s := openSpool(t, refresh.SpoolConfig{Dir: dir})
	put(t, s, "con_stays.1.1", "ours")
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() {
		for ctx.Err() == nil {
			for i := range 50 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("con_%d.1.1", i)), []byte("ours"), 0o600); err != nil {
					t.Error(err)
				}
			}
			for i := range 50 {
				if err := os.Remove(filepath.Join(dir, fmt.Sprintf("con_%d.1.1", i))); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 1000 {
		if !slices.Contains(s.Names(), "con_stays.1.1") {
			t.Error("an entry is not listed")
			break
		}
	}
	stop()
	others.Wait()
}

// Permissions do not stop root, so the places are such that cannot be used by anybody.
func TestSpoolUnusable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	for name, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "spool")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := &clock{now: time.Now()}
			var log bytes.Buffer
			s := openSpool(t, refresh.SpoolConfig{Dir: dir, Now: now.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if !strings.Contains(log.String(), "the spool cannot be used") {
				t.Errorf("log: %s", &log)
			}
			wantTrouble(t, s, "cannot be written", "not a directory", "a disk of this host")
			wantNames(t, s)
			if err := s.Put("con_a.1.1", []byte("ours")); err == nil {
				t.Error("kept nowhere")
			}
			if _, err := s.Get("con_a.1.1"); err == nil {
				t.Error("read from nowhere")
			}
		})
	}

	t.Run("and mended", func(t *testing.T) {
		t.Parallel()
		now, dir := &clock{now: time.Now()}, spoolDir(t)
		s := openSpool(t, refresh.SpoolConfig{Dir: dir, Now: now.Now})
		put(t, s, "con_a.1.1", "ours")
		wantTrouble(t, s)
		must(t, os.RemoveAll(dir))
		writeFile(t, dir, "in the way")
		wantTrouble(t, s) // for ten seconds
		now.pass(10 * time.Second)
		wantTrouble(t, s, "not a directory")
		must(t, os.Remove(dir))
		wantTrouble(t, s, "not a directory")
		now.pass(10 * time.Second)
		wantTrouble(t, s)
	})

	if _, err := refresh.OpenSpool(refresh.SpoolConfig{Dir: t.TempDir()}); err == nil {
		t.Error("opened without a probe")
	}
	if _, err := refresh.OpenSpool(refresh.SpoolConfig{Probe: func([]byte) error { return nil }}); err == nil {
		t.Error("opened without a directory")
	}
}

const envFullDisk = "SPOOL_TEST_ON_A_FULL_DISK"

// A disk that takes names but no content, as a full one does: a process of its
// own whose files may not grow.
func TestSpoolOnAFullDisk(t *testing.T) {
	dir := os.Getenv(envFullDisk)
	if dir == "" {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSpoolOnAFullDisk$", "-test.count=1", "-test.v")
		dir = spoolDir(t)
		cmd.Env = append(os.Environ(), envFullDisk+"="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestSpoolOnAFullDisk") {
			t.Errorf("%v\n%s", err, out)
		}
		want := map[string]fs.FileMode{"con_a.1.1": 0o600}
		if diff := cmp.Diff(want, inDir(t, dir)); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
		return
	}
	s := openSpool(t, refresh.SpoolConfig{Dir: dir})
	put(t, s, "con_a.1.1", "ours")
	wantTrouble(t, s)
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	limit.Cur = 2
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	for _, name := range []string{"con_b.1.1", "con_a.1.1"} {
		if err := s.Put(name, []byte("ours, and more")); !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantEntry(t, s, "con_a.1.1", "ours") // what was there is as it was
	wantTrouble(t, s, "cannot be written", "file too large")
}

func TestSpoolInParallel(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	one, other := openSpool(t, refresh.SpoolConfig{Dir: dir}), openSpool(t, refresh.SpoolConfig{Dir: dir})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			s := one
			if i%2 == 1 {
				s = other
			}
			for j := range 10 {
				name := fmt.Sprintf("con_%d.%d.1", i, j)
				if err := s.Put(name, []byte("ours "+name)); err != nil {
					t.Error(err)
				}
				if err := s.Put("con_all.1.1", []byte("ours "+strings.Repeat(strconv.Itoa(i%10), 500))); err != nil {
					t.Error(err)
				}
				if b, err := s.Get("con_all.1.1"); err == nil && (len(b) != 505 || strings.Trim(string(b[5:]), string(b[5:6])) != "") {
					t.Errorf("half of one and half of another: %q", b)
				}
				if j%2 == 0 {
					if err := s.Drop(name); err != nil {
						t.Error(err)
					}
				}
				if err := s.Check(t.Context()); err != nil {
					t.Error(err)
				}
				s.Names()
			}
		})
	}
	all.Wait()
	names := one.Names()
	if len(names) != 16*5+1 {
		t.Errorf("%d left", len(names))
	}
	for _, name := range names {
		if name != "con_all.1.1" {
			wantEntry(t, other, name, "ours "+name)
		}
	}
	if got := len(inDir(t, dir)); got != len(names) {
		t.Errorf("%d files for %d entries", got, len(names))
	}
}

// Whoever waits for the database is not made to wait outside of the door too.
func TestSpoolOldEntriesAreNoTrouble(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	dir, now := spoolDir(t), &clock{now: time.Now()}
	s := openSpool(t, refresh.SpoolConfig{Dir: dir, Now: now.Now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	put(t, s, "con_a.1.1", "ours")
	must(t, os.Chtimes(filepath.Join(dir, "con_a.1.1"), now.Now(), now.Now()))
	for range 2 * 60 / 10 {
		now.pass(30 * time.Second)
		wantTrouble(t, s)
	}
	if n, longest := s.Waiting(); n != 1 || longest != 6*time.Minute {
		t.Errorf("%d wait, the longest for %s", n, longest)
	}
	if said := strings.Count(log.String(), "wait in the spool for long"); said != 1 {
		t.Errorf("said %d times:\n%s", said, &log)
	}
	must(t, s.Drop("con_a.1.1"))
	now.pass(10 * time.Second)
	wantTrouble(t, s)
	if n, longest := s.Waiting(); n != 0 || longest != 0 {
		t.Errorf("%d wait, the longest for %s", n, longest)
	}
}

// A disk that hangs holds up nobody but the one who looks.
func TestSpoolCheckHeedsItsContext(t *testing.T) {
	t.Parallel()
	dir := spoolDir(t)
	hung, looks := make(chan struct{}), atomic.Int32{}
	s := openSpool(t, refresh.SpoolConfig{Dir: dir, Probe: func([]byte) error {
		looks.Add(1)
		<-hung
		return nil
	}})
	put(t, s, "con_a.1.1", "ours")
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := s.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	close(hung)
	wantTrouble(t, s)
	if n := looks.Load(); n != 1 {
		t.Errorf("%d looks at once", n)
	}
}

// The part of the window that is ours: from the provider's answer, sealed, to
// the disk. Run it on the disk that the spool will be on (TMPDIR).
func BenchmarkSpoolPut(b *testing.B) {
	content := append([]byte("ours"), bytes.Repeat([]byte("x"), 4<<10)...)
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openSpool(b, refresh.SpoolConfig{Dir: spoolDir(b)})
			var next, longest atomic.Int64
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					name := fmt.Sprintf("con_%d.1.1", w)
					for next.Add(1) <= int64(b.N) {
						began := time.Now()
						if err := s.Put(name, content); err != nil {
							b.Error(err)
						}
						took := int64(time.Since(began))
						for {
							was := longest.Load()
							if took <= was || longest.CompareAndSwap(was, took) {
								break
							}
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(longest.Load())/1e6, "ms-longest")
		})
	}
}
