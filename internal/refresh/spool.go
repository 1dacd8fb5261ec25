package refresh

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"sync"
	"time"
)

// What a spool holds at most, where the configuration does not say. It fills
// only while the database refuses saves that it granted leases for.
const (
	defaultSpoolFiles = 10_000
	defaultSpoolBytes = 64 << 20
)

const (
	// tempPrefix marks files that nobody has been promised yet. No name of an
	// entry begins with a dot.
	tempPrefix = ".unfinished-"
	// putTries is how often a file is written whose unfinished copy was swept
	// away by another process that opened the spool just then.
	putTries = 10
	// recountEvery is how long a count of the directory is good for; what other
	// processes put there meanwhile may exceed the limits by that much.
	recountEvery = time.Second
	// maxSpoolName is far above any name that a connection leads to.
	maxSpoolName = 128
)

// ErrSpoolFull is the answer of [Spool.Put] where the entry would exceed a limit.
var ErrSpoolFull = errors.New("the spool is full")

// spoolName is connection, generation and epoch. It is a file name and never a path.
var spoolName = regexp.MustCompile(`\A([A-Za-z0-9_-][A-Za-z0-9_.-]*)\.([0-9]{1,19})\.([0-9]{1,19})\z`)

// SpoolConfig is what a [Spool] needs.
type SpoolConfig struct {
	// Dir is made with mode 0700 where it is missing, by the first Put or Check
	// and not before: a command that only looks leaves no directory behind.
	Dir string
	// Probe returns nil where the blob opens with the keyset of this process.
	// Check asks it once for each entry, from one goroutine at a time.
	Probe func(sealed []byte) error
	// MaxFiles and MaxBytes bound what is kept; 10,000 files and 64 MiB where 0.
	MaxFiles int
	MaxBytes int64
	// Now is time.Now where nil.
	Now func() time.Time
	// Log is slog.Default where nil.
	Log *slog.Logger
}

// Spool is a small directory of sealed files: renewed credentials that the
// database would not take, kept until it does. What is in a file is opaque to
// it, and so is what becomes of it.
//
// Processes of one host may share a directory. A file is there as a whole or
// not at all, and no file is ever removed but by [Spool.Drop] of its name. It
// holds no file open, so that there is nothing to close.
type Spool struct {
	cfg SpoolConfig

	room struct {
		sync.Mutex           // held while the directory is read, so it is not mu
		held       usage     // about: as of counted, and what was put since
		counted    time.Time // zero: never
	}

	mu   sync.Mutex
	look *spoolLook
	seen spoolState
}

// OpenSpool reads what the directory holds and removes what a killed process
// did not finish there. A directory that cannot be used is logged and is no
// error: a broker serves without it, and [Spool.Check] says what is wrong.
func OpenSpool(cfg SpoolConfig) (*Spool, error) {
	if cfg.Dir == "" || cfg.Probe == nil {
		return nil, errors.New("a spool needs a directory and a probe")
	}
	cfg.MaxFiles = cmp.Or(cfg.MaxFiles, defaultSpoolFiles)
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, defaultSpoolBytes)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Spool{cfg: cfg}
	kept, err := s.sweep()
	switch {
	case errors.Is(err, fs.ErrNotExist): // made when it is needed
	case err != nil:
		cfg.Log.Warn("the spool cannot be used", "dir", cfg.Dir, "error", err)
	case kept > 0:
		cfg.Log.Warn("renewed credentials wait in the spool to be saved", "dir", cfg.Dir, "count", kept)
	}
	return s, nil
}

// Put keeps sealed under name, in place of what had that name. When it returns
// nil, the entry survives a crash of the process and of the machine. After an
// error it may or may not be there, and if it is, it is whole. Errors wrap
// [ErrSpoolFull], or what the file system said.
//
// It is as slow as the disk is, and cannot be interrupted.
func (s *Spool) Put(name string, sealed []byte) (err error) {
	if len(name) > maxSpoolName || !spoolName.MatchString(name) {
		return fmt.Errorf("%q is no name for an entry of the spool", name)
	}
	if len(sealed) == 0 {
		return fmt.Errorf("spooling %s: there is nothing to keep", name)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("spooling %s: %w", name, err)
			s.distrustLook()
		}
	}()
	release, err := s.reserve(name, int64(len(sealed)))
	if err != nil {
		return err
	}
	for range putTries {
		// What does not exist is the unfinished copy, or the whole directory.
		if err = s.putFile(name, sealed); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		release()
	}
	return err
}

// putFile writes, makes it last, names it, and makes the name last.
func (s *Spool) putFile(name string, content []byte) error {
	root, err := s.open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // only a handle for names
	temp, err := writeTemp(root, content)
	if err != nil {
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		_ = root.Remove(temp) // nobody was promised anything
		return err
	}
	return syncDir(root)
}

// reserve counts an entry in, or refuses it. A count that is not from just now
// may refuse nobody: what is refused here may be lost.
func (s *Spool) reserve(name string, size int64) (release func(), err error) {
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	more := usage{files: 1, bytes: size}
	if old, err := root.Lstat(name); err == nil {
		more = usage{bytes: size - old.Size()}
	}
	s.room.Lock()
	defer s.room.Unlock()
	fits := func() bool {
		return s.room.held.files+more.files <= s.cfg.MaxFiles && s.room.held.bytes+more.bytes <= s.cfg.MaxBytes
	}
	now := s.cfg.Now()
	if s.room.counted.IsZero() || now.Sub(s.room.counted).Abs() >= recountEvery || !fits() {
		files, err := list(root)
		if err != nil {
			return nil, err
		}
		s.room.held, s.room.counted = measure(files), now
	}
	if !fits() {
		return nil, fmt.Errorf("%w: it holds %d of %d files and %d of %d bytes",
			ErrSpoolFull, s.room.held.files, s.cfg.MaxFiles, s.room.held.bytes, s.cfg.MaxBytes)
	}
	s.room.held.files += more.files
	s.room.held.bytes += more.bytes
	return func() {
		s.room.Lock()
		defer s.room.Unlock()
		s.room.counted = time.Time{}
	}, nil
}

// Names lists what is kept, oldest first, whoever put it there and whatever
// keyset it is of. It is empty where the directory is missing or cannot be
// read, which is for Check to tell.
func (s *Spool) Names() []string {
	root, err := os.OpenRoot(s.cfg.Dir)
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	files, err := list(root)
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range files {
		if !f.temp {
			names = append(names, f.name)
		}
	}
	return names
}

// Get reads an entry. The error wraps [fs.ErrNotExist] where it is gone, as
// another process that shares the directory may have dropped it.
func (s *Spool) Get(name string) ([]byte, error) {
	if !spoolName.MatchString(name) {
		return nil, fmt.Errorf("%q is no name for an entry of the spool", name)
	}
	root, err := os.OpenRoot(s.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	defer func() { _ = root.Close() }()
	return s.get(root, name)
}

func (s *Spool) get(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		err = errors.New("it is not a file")
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s from the spool: %w", name, err)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading %s from the spool: %w", name, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, s.cfg.MaxBytes+1))
	if err == nil && int64(len(b)) > s.cfg.MaxBytes {
		err = errors.New("it is larger than a whole spool")
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s from the spool: %w", name, err)
	}
	return b, nil
}

// Drop removes an entry so that it does not come back after a crash. One that
// is gone already is no error.
func (s *Spool) Drop(name string) error {
	if !spoolName.MatchString(name) {
		return fmt.Errorf("%q is no name for an entry of the spool", name)
	}
	root, err := os.OpenRoot(s.cfg.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening spool: %w", err)
	}
	defer func() { _ = root.Close() }()
	err = root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		// Not ours to have removed, perhaps not yet durably either: the other
		// process sees to that.
		return nil
	}
	if err == nil {
		err = syncDir(root)
	}
	if err != nil {
		return fmt.Errorf("dropping %s from the spool: %w", name, err)
	}
	return nil
}

// open opens the directory, and makes it where it is missing.
func (s *Spool) open() (*os.Root, error) {
	if err := makeDir(s.cfg.Dir); err != nil {
		return nil, err
	}
	return os.OpenRoot(s.cfg.Dir)
}

// sweep removes unfinished files and counts the entries. A process that is
// writing one of them right now writes it again.
func (s *Spool) sweep() (kept int, err error) {
	root, err := os.OpenRoot(s.cfg.Dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	files, err := list(root)
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		if !f.temp {
			kept++
		} else if err := root.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	return kept, nil
}
