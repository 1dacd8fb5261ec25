package refresh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// lookEvery is how long a look at the spool is good for. Anybody may ask
	// whether a broker is ready, and an fsync is not to be had for the asking.
	lookEvery = 10 * time.Second
	// spare is the part of a limit that should be free: a tenth.
	spare = 10
	// namedAtMost is how many files of another keyset a finding names.
	namedAtMost = 5
	// probeSize is about what an entry has: a disk may have room for a name
	// and not for what is in it.
	probeSize = 4 << 10
	// WaitsLong is how long an entry waits before that is remarkable: by then
	// the database has taken it, or something is wrong with the database.
	WaitsLong = 5 * time.Minute
)

// SpoolError is what is wrong with a spool as a whole, and what to do about it.
type SpoolError struct {
	// Problems is not empty, gravest first.
	Problems []error
	// Advice has a sentence for each problem.
	Advice []string
}

// Error says both.
func (e *SpoolError) Error() string {
	return e.Problem() + ": " + strings.Join(e.Advice, "; ")
}

// Problem says what is wrong, without the advice.
func (e *SpoolError) Problem() string {
	said := make([]string, len(e.Problems))
	for i, err := range e.Problems {
		said[i] = err.Error()
	}
	return strings.Join(said, "; ")
}

// Unwrap is the problems, [ErrSpoolFull] among them.
func (e *SpoolError) Unwrap() []error { return e.Problems }

func (e *SpoolError) add(problem error, advice string) {
	e.Problems = append(e.Problems, problem)
	e.Advice = append(e.Advice, advice)
}

// spoolLook is one look at the directory, which all who ask meanwhile share.
type spoolLook struct {
	done chan struct{}
	at   time.Time
	err  error // once done
	old  bool  // something happened since that it cannot know
}

// spoolState is what the last look saw.
type spoolState struct {
	opens  map[string]opened // entries that were probed
	ours   int
	oldest time.Time
	warned time.Time
}

// opened is the answer of the probe for one content of a file.
type opened struct {
	size     int64
	modified time.Time
	ok       bool
}

// Check is nil where an entry put now would be kept, and everything that is
// kept can be opened. It writes a small file to see, makes the directory where
// it is missing, and answers the same for ten seconds, or until a Put fails.
// What it returns is a *[SpoolError], or says that the disk did not answer
// before ctx was over.
//
// Entries that wait are not its concern. They wait for the database, and to
// take the only process that has them out of service would not help them;
// [Spool.Waiting] counts them, and a warning in the log tells of old ones.
func (s *Spool) Check(ctx context.Context) error {
	look := s.currentLook(context.WithoutCancel(ctx)) // it is for those who ask next, too
	select {
	case <-look.done:
		return look.err
	case <-ctx.Done():
		return fmt.Errorf("the spool in %s does not answer: %w", s.cfg.Dir, ctx.Err())
	}
}

// Waiting is how many entries of this keyset the last Check saw, and how old
// the oldest of them is.
func (s *Spool) Waiting() (n int, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.ours == 0 {
		return 0, 0
	}
	return s.seen.ours, max(0, s.cfg.Now().Sub(s.seen.oldest))
}

func (s *Spool) currentLook(ctx context.Context) *spoolLook {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	if s.look != nil {
		select {
		case <-s.look.done:
			if age := now.Sub(s.look.at); !s.look.old && age >= 0 && age < lookEvery {
				return s.look
			}
		default: // under way; on a disk that hangs, one goroutine hangs with it
			return s.look
		}
	}
	look := &spoolLook{at: now, done: make(chan struct{})}
	s.look = look
	go func() {
		defer close(look.done)
		look.err = s.inspect(ctx, now)
	}()
	return look
}

// distrustLook makes the next Check look for itself, or the one after where a
// look is under way: there is never more than one.
func (s *Spool) distrustLook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.look != nil {
		s.look.old = true
	}
}

func (s *Spool) inspect(ctx context.Context, now time.Time) error {
	found := &SpoolError{}
	if err := s.tryWrite(); err != nil {
		found.add(fmt.Errorf("the spool in %s cannot be written: %w", s.cfg.Dir, err), s.adviseOn(err))
	}
	root, err := os.OpenRoot(s.cfg.Dir)
	if err == nil {
		defer func() { _ = root.Close() }() // only a handle for names
		err = s.survey(ctx, root, now, found)
	}
	if err != nil && len(found.Problems) == 0 {
		found.add(fmt.Errorf("the spool in %s cannot be read: %w", s.cfg.Dir, err), s.adviseOn(err))
	}
	if len(found.Problems) > 0 {
		return found
	}
	return nil
}

// tryWrite does all that Put does, short of leaving a file.
func (s *Spool) tryWrite() error {
	root, err := s.open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	content := make([]byte, probeSize)
	_, _ = rand.Read(content) // never fails; noise, because some disks compress
	temp, err := writeTemp(root, content)
	if err != nil {
		return err
	}
	if err := root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(root)
}

// survey counts, and sees which entries can be opened.
func (s *Spool) survey(ctx context.Context, root *os.Root, now time.Time, found *SpoolError) error {
	files, err := list(root)
	if err != nil {
		return err
	}
	s.mu.Lock()
	before := s.seen
	s.mu.Unlock()
	state := spoolState{opens: make(map[string]opened, len(files)), warned: before.warned}
	var foreign []string
	for _, f := range files {
		if f.temp {
			continue
		}
		o, ok := before.opens[f.name]
		if !ok || o.size != f.size || !o.modified.Equal(f.modified) {
			sealed, err := s.get(root, f.name)
			if errors.Is(err, fs.ErrNotExist) { // dropped since
				continue
			}
			o = opened{size: f.size, modified: f.modified, ok: err == nil && s.cfg.Probe(sealed) == nil}
			if err == nil {
				state.opens[f.name] = o
			}
		} else {
			state.opens[f.name] = o
		}
		if !o.ok {
			foreign = append(foreign, f.name)
			continue
		}
		if state.ours++; state.ours == 1 {
			state.oldest = f.modified
		}
	}
	s.judge(measure(files), foreign, found)
	if state.ours > 0 && now.Sub(state.oldest) >= WaitsLong && (state.warned.IsZero() || now.Sub(state.warned) >= WaitsLong) {
		state.warned = now
		s.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "renewed credentials wait in the spool for long",
			slog.String("dir", s.cfg.Dir), slog.Int("count", state.ours), slog.Time("since", state.oldest))
	}
	s.mu.Lock()
	s.seen = state
	s.mu.Unlock()
	return nil
}

// judge turns counts into findings.
func (s *Spool) judge(held usage, foreign []string, found *SpoolError) {
	full := held.files >= s.cfg.MaxFiles || held.bytes >= s.cfg.MaxBytes
	if nearly := held.files >= s.cfg.MaxFiles-s.cfg.MaxFiles/spare || held.bytes >= s.cfg.MaxBytes-s.cfg.MaxBytes/spare; full || nearly {
		what := fmt.Errorf("the spool in %s is nearly full", s.cfg.Dir)
		if full {
			what = fmt.Errorf("%w (%s)", ErrSpoolFull, s.cfg.Dir)
		}
		found.add(fmt.Errorf("%w: %d of %d files, %d of %d bytes", what, held.files, s.cfg.MaxFiles, held.bytes, s.cfg.MaxBytes),
			"find out why the database takes no saves; what waits here is saved as soon as it does")
	}
	if n := len(foreign); n > 0 {
		more := ""
		if n > namedAtMost {
			more = fmt.Sprintf(" and %d more", n-namedAtMost)
		}
		found.add(fmt.Errorf("the spool in %s holds %d of another keyset, or damaged: %s%s",
			s.cfg.Dir, n, strings.Join(foreign[:min(n, namedAtMost)], ", "), more),
			"start the broker that they belong to with its keyset and this directory, or move them away; they are never deleted by themselves")
	}
}

func (s *Spool) adviseOn(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on that disk"
	case errors.Is(err, syscall.EROFS):
		return "mount a volume there that can be written"
	case errors.Is(err, fs.ErrPermission):
		return "give the directory to the user of this process, mode 0700"
	}
	return "see to it that " + s.cfg.Dir + " is a directory on a disk of this host that can be written, or can be made"
}
