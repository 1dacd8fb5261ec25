package refresh

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// spoolFile is a file of ours, finished or not.
type spoolFile struct {
	name       string
	temp       bool
	size       int64
	modified   time.Time
	connection string
	generation uint64
	epoch      uint64
}

// list reads the directory, oldest entries first. What else lies there, such
// as the lost+found of a volume, is none of its business.
func list(root *os.Root) ([]spoolFile, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // it was only read
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	files := make([]spoolFile, 0, len(entries))
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		f := spoolFile{name: e.Name(), temp: strings.HasPrefix(e.Name(), tempPrefix)}
		if !f.temp && !f.parse() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // dropped since
			continue
		}
		if err != nil {
			return nil, err
		}
		f.size, f.modified = info.Size(), info.ModTime()
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b spoolFile) int {
		return cmp.Or(a.modified.Compare(b.modified), cmp.Compare(a.connection, b.connection),
			cmp.Compare(a.generation, b.generation), cmp.Compare(a.epoch, b.epoch))
	})
	return files, nil
}

func (f *spoolFile) parse() bool {
	parts := spoolName.FindStringSubmatch(f.name)
	if parts == nil {
		return false
	}
	f.connection = parts[1]
	f.generation, _ = strconv.ParseUint(parts[2], 10, 64) // digits, too few to overflow
	f.epoch, _ = strconv.ParseUint(parts[3], 10, 64)
	return true
}

// usage is what is bounded.
type usage struct {
	files int
	bytes int64
}

// measure counts unfinished files as well: they take room, and will be entries
// in a moment.
func measure(files []spoolFile) usage {
	u := usage{files: len(files)}
	for _, f := range files {
		u.bytes += min(f.size, math.MaxInt64-u.bytes)
	}
	return u
}

// makeDir makes what is missing of a path, so that it is there after a crash.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	root, err := os.OpenRoot(parent)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	return syncDir(root)
}

// syncDir makes the names in a directory last.
func syncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	err = dir.Sync()
	if closed := dir.Close(); err == nil {
		err = closed
	}
	return err
}

// writeTemp writes a file that is on the disk when it returns, or not there.
func writeTemp(root *os.Root, content []byte) (string, error) {
	temp := tempPrefix + rand.Text()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync() // not after a failed write: a second error would say less
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = root.Remove(temp) // likewise
		return "", err
	}
	return temp, nil
}
