package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"html/template"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secrets are what a run has used and nobody may find afterwards, each by a
// name that may be printed.
type secrets map[string]string

// refuteLeaks is search and [search.refuteLeaks] in one.
func (s secrets) refuteLeaks(t *testing.T, where string, content []byte) {
	t.Helper()
	s.search(t).refuteLeaks(t, where, content, nil)
}

// search is a set of secrets in all their forms, ready to be looked for.
type search struct {
	// begins has a bit for the hash of each beginning, so that most places are
	// passed by at a glance.
	begins  [1 << 16]bool
	needles map[uint64][]needle
}

type needle struct{ text, name string }

// prefix is how much of a needle is looked up at once; none is shorter.
const prefix = 8

func (s secrets) search(t *testing.T) *search {
	t.Helper()
	found := &search{needles: map[uint64][]needle{}}
	for name, secret := range s {
		if len(secret) < prefix {
			t.Fatalf("the secret %s is too short to be looked for", name)
		}
		for form, text := range disguises(secret) {
			if text == secret && form != "clear" {
				continue // no disguise at all
			}
			key := prefixOf([]byte(text))
			found.begins[glance(key)] = true
			found.needles[key] = append(found.needles[key], needle{text, name + " in " + form})
		}
	}
	return found
}

func prefixOf(b []byte) uint64 {
	_ = b[prefix-1]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func glance(key uint64) uint16 { return uint16(key * 0x9e3779b97f4a7c15 >> 48) }

// leaks names what is in content.
func (s *search) leaks(content []byte) []string {
	found := map[string]bool{}
	for i := 0; i+prefix <= len(content); i++ {
		key := prefixOf(content[i:])
		if !s.begins[glance(key)] {
			continue
		}
		for _, n := range s.needles[key] {
			if bytes.HasPrefix(content[i:], []byte(n.text)) {
				found[n.name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// refuteLeaks fails the test for each secret that is in content, but for those
// whose names match except, where there is one: as it is, in base64 (wherever
// in an encoded text it stands, as in Basic), in hex, or escaped for a URL, JSON
// or HTML. It never prints the secret itself.
func (s *search) refuteLeaks(t *testing.T, where string, content []byte, except *regexp.Regexp) {
	t.Helper()
	if len(content) == 0 {
		t.Errorf("%s is empty: nothing was looked at", where)
	}
	for _, leak := range s.leaks(content) {
		if except == nil || !except.MatchString(leak) {
			t.Errorf("%s has %s", where, leak)
		}
	}
}

// disguises is the ways in which a secret may be written, by name.
func disguises(secret string) map[string]string {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err) // a string always marshals
	}
	forms := map[string]string{
		"clear":              secret,
		"hex":                hex.EncodeToString([]byte(secret)),
		"upper case hex":     strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"a URL's query":      url.QueryEscape(secret),
		"a URL's path":       url.PathEscape(secret),
		"JSON":               string(quoted[1 : len(quoted)-1]),
		"HTML":               html.EscapeString(secret),
		"a template's HTML":  template.HTMLEscapeString(secret),
		"base64, shift 0":    base64At(base64.RawStdEncoding, secret, 0),
		"base64, shift 1":    base64At(base64.RawStdEncoding, secret, 1),
		"base64, shift 2":    base64At(base64.RawStdEncoding, secret, 2),
		"base64url, shift 0": base64At(base64.RawURLEncoding, secret, 0),
		"base64url, shift 1": base64At(base64.RawURLEncoding, secret, 1),
		"base64url, shift 2": base64At(base64.RawURLEncoding, secret, 2),
	}
	return forms
}

// base64At is the part of an encoded text that depends on the secret alone,
// when as many bytes modulo 3 stand before it and anything behind it.
func base64At(enc *base64.Encoding, secret string, shift int) string {
	encoded := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
	whole := (shift + len(secret)) * 8 / 6 // characters that have all their bits
	return encoded[(shift*8+5)/6 : whole]
}

// dumpPostgres is everything in a database, as pg_dump writes it. Binary
// columns are in hex.
func dumpPostgres(t *testing.T, database string) []byte {
	t.Helper()
	bin, err := postgresBin()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "pg_dump"), "--dbname="+database)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	dump, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, stderr.Bytes())
	}
	return dump
}

// readTree is the content of all files of a folder: an embedded database with
// its write-ahead log.
func readTree(t *testing.T, dir string) []byte {
	t.Helper()
	var all []byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	const secret = `p/ss "w+rd" ünder?~~~`
	s := secrets{"the password": secret}
	basic := func(user string) string { return base64.StdEncoding.EncodeToString([]byte(user + ":" + secret)) }
	for name, content := range map[string]string{
		"clear":                        "x " + secret + " y",
		"hex":                          `\x00` + hex.EncodeToString([]byte(secret)) + "ff",
		"upper hex":                    strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"JSON":                         `{"a":"p/ss \"w+rd\" ünder?~~~"}`,
		"HTML":                         `<p>p/ss &#34;w+rd&#34; ünder?~~~</p>`,
		"the end":                      "y " + secret,
		"query":                        url.Values{"password": {secret}}.Encode(),
		"Basic, user of two letters":   basic("ab"),
		"Basic, user of three letters": basic("abc"),
		"Basic, user of four letters":  basic("abcd"),
		"base64 inside of more":        base64.StdEncoding.EncodeToString([]byte("{" + secret + "}")),
		"base64url":                    base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"base64url inside of more":     base64.URLEncoding.EncodeToString([]byte("12" + secret + "34")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := s.search(t).leaks([]byte(content)); len(got) == 0 {
				t.Errorf("nothing was found in %q", content)
			}
		})
	}
	t.Run("nothing is found in nothing", func(t *testing.T) {
		t.Parallel()
		if got := s.search(t).leaks([]byte(`{"password":"[redacted]"} ` + basic("x")[:8])); len(got) > 0 {
			t.Errorf("found %q", got)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		db := newDatabase(t)
		execPostgres(t, db, "CREATE TABLE kept (blob bytea)")
		if got := s.search(t).leaks(dumpPostgres(t, db)); len(got) > 0 {
			t.Errorf("found %q in an empty table", got)
		}
		execPostgres(t, db, `INSERT INTO kept VALUES ('\x00`+hex.EncodeToString([]byte(secret))+`')`)
		if got := s.search(t).leaks(dumpPostgres(t, db)); len(got) == 0 {
			t.Error("the dump hides a planted secret")
		}
	})
	t.Run("files", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a", "b", "db-wal"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.search(t).leaks(readTree(t, dir)); len(got) == 0 {
			t.Error("a planted secret was not found")
		}
	})
}
