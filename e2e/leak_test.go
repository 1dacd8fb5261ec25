package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secrets are what a run has used and nobody may find afterwards, each by a
// name that may be printed.
type secrets map[string]string

// refuteLeaks fails the test for each secret that is in content: as it is, in
// base64 (wherever in an encoded text it stands, as in Basic), in hex, or
// escaped for a URL or JSON. It never prints the secret itself.
func (s secrets) refuteLeaks(t *testing.T, where string, content []byte) {
	t.Helper()
	if len(content) == 0 {
		t.Errorf("%s is empty: nothing was looked at", where)
	}
	for _, leak := range s.leaks(t, content) {
		t.Errorf("%s has %s", where, leak)
	}
}

func (s secrets) leaks(t *testing.T, content []byte) []string {
	t.Helper()
	var found []string
	for name, secret := range s {
		if len(secret) < 8 {
			t.Fatalf("the secret %s is too short to be looked for", name)
		}
		for form, text := range disguises(secret) {
			if bytes.Contains(content, []byte(text)) {
				found = append(found, name+" in "+form)
			}
		}
	}
	slices.Sort(found)
	return found
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
			if got := s.leaks(t, []byte(content)); len(got) == 0 {
				t.Errorf("nothing was found in %q", content)
			}
		})
	}
	t.Run("nothing is found in nothing", func(t *testing.T) {
		t.Parallel()
		if got := s.leaks(t, []byte(`{"password":"[redacted]"} `+basic("x")[:8])); len(got) > 0 {
			t.Errorf("found %q", got)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		db := newDatabase(t)
		execPostgres(t, db, "CREATE TABLE kept (blob bytea)")
		if got := s.leaks(t, dumpPostgres(t, db)); len(got) > 0 {
			t.Errorf("found %q in an empty table", got)
		}
		execPostgres(t, db, `INSERT INTO kept VALUES ('\x00`+hex.EncodeToString([]byte(secret))+`')`)
		if got := s.leaks(t, dumpPostgres(t, db)); len(got) == 0 {
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
		if got := s.leaks(t, readTree(t, dir)); len(got) == 0 {
			t.Error("a planted secret was not found")
		}
	})
}
