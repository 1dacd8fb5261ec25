package httpd

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
)

// staticRoute has the hash of the whole tree in the path and not in the query,
// so that a module's relative import stays within its own version.
const staticRoute = "/static/:hash/:file"

// assets is the static tree in memory, each file with its gzip twin.
type assets struct {
	hash  string
	files map[string]asset
}

type asset struct {
	contentType string
	plain, gzip []byte // gzip is nil where it saves nothing
}

func newAssets(fsys fs.FS) (*assets, error) {
	a := &assets{files: make(map[string]asset)}
	sum := sha256.New()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n", name, len(b)) // a hash takes everything
		_, _ = sum.Write(b)
		f := asset{contentType: contentType(name), plain: b}
		if z := compress(b); len(z) < len(b) {
			f.gzip = z
		}
		a.files[name] = f
		return nil
	})
	a.hash = hex.EncodeToString(sum.Sum(nil)[:8])
	return a, err
}

// contentType does not ask the machine's own tables for what we serve: they
// differ, and with nosniff a wrong one is a broken page.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".ico":
		return "image/x-icon"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func compress(b []byte) []byte {
	var buf bytes.Buffer
	w, _ := gzip.NewWriterLevel(&buf, gzip.BestCompression) // a level it has
	_, _ = w.Write(b)                                       // a buffer takes everything
	_ = w.Close()
	return buf.Bytes()
}

// url is where name is served. A name that is not there is a fault of the
// template, found by rendering it once.
func (a *assets) url(name string) (string, error) {
	if _, ok := a.files[name]; !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return "/static/" + a.hash + "/" + name, nil
}

// serve answers "GET /static/:hash/:file". With our own hash the file never
// changes. With another one the page came from a replica of another version
// in the middle of a roll-out: our file is the best there is, but not to keep.
func (a *assets) serve(c echo.Context) error {
	f, ok := a.files[c.Param("file")]
	if !ok {
		return fault.New(fault.NotFound, "There is no such file.")
	}
	h := c.Response().Header()
	if c.Param("hash") == a.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if f.gzip != nil && strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return c.Blob(http.StatusOK, f.contentType, body)
}
