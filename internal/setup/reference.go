package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/claviger/claviger/internal/vault"
)

// maxSecret is the longest secret taken, in bytes.
const maxSecret = 64 << 10

// Secrets is where references lead.
type Secrets struct {
	// Env are the variables by name.
	Env map[string]string
	// Dir is where relative paths of files begin.
	Dir string
}

// reference says where a secret is.
type reference struct {
	Env  string `yaml:"env"`
	File string `yaml:"file"`
}

// Wanted is for whoever has written the secret itself.
func (reference) Wanted() string {
	return "a reference, {env: NAME} or {file: path}; a secret is never written in this file"
}

// resolve answers the secret. The error quotes neither name nor path: somebody
// may have put the secret itself there.
func (s Secrets) resolve(r *reference) (vault.Secret, error) {
	switch {
	case (r.Env == "") == (r.File == ""):
		return vault.Secret{}, errors.New("needs either env or file")
	case r.Env != "":
		if secret := vault.NewSecret(strings.TrimSpace(s.Env[r.Env])); !secret.IsZero() {
			return secret, nil
		}
		return vault.Secret{}, errors.New("the variable with the name in env is not set, or empty")
	}
	return s.read(r.File)
}

func (s Secrets) read(path string) (vault.Secret, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.Dir, path)
	}
	b, err := readSecret(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return vault.Secret{}, errors.New("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		return vault.Secret{}, errors.New("the file may not be read by this user")
	case err != nil:
		return vault.Secret{}, errors.New("the file cannot be read")
	case len(b) > maxSecret:
		return vault.Secret{}, fmt.Errorf("the file is larger than %d KiB", maxSecret>>10)
	}
	secret := vault.NewSecret(strings.TrimSpace(string(b)))
	if secret.IsZero() {
		return vault.Secret{}, errors.New("the file is empty")
	}
	return secret, nil
}

// readSecret reads at most one byte more than a secret may have.
func readSecret(path string) (b []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}
