package setup

import (
	"context"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/yamlfile"
	"github.com/claviger/claviger/internal/vault"
)

// callerName names applying in the trail.
const callerName = "apply"

// Config is what a setup needs. Vault and Catalog are required.
type Config struct {
	Vault   *vault.Vault
	Catalog *providers.Catalog
	Now     func() time.Time // time.Now where nil
}

// Setup brings a broker to what files declare.
type Setup struct {
	vault   *vault.Vault
	catalog *providers.Catalog
	now     func() time.Time
}

// New makes a setup. It touches nothing.
func New(cfg Config) *Setup {
	s := &Setup{vault: cfg.Vault, catalog: cfg.Catalog, now: cfg.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// FileError is everything that is wrong with a file.
type FileError struct{ Faults []yamlfile.Fault }

// Error lists the faults, one a line. It quotes no secret.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// blame turns what the vault says of a thing into faults of its lines. Anything
// but a [fault.Invalid] is answered as it is; hint is added to what is said of a
// pointer.
func (f *File) blame(path string, err error, hint func(pointer string) string) error {
	if err == nil {
		return nil
	}
	e, ok := fault.As(err)
	if !ok || e.Kind != fault.Invalid {
		return err
	}
	for _, field := range e.Fields {
		at := path
		for part := range strings.SplitSeq(strings.TrimPrefix(field.Pointer, "/"), "/") {
			if part != "" && strings.Trim(part, "0123456789") == "" {
				at += "[" + part + "]"
			} else {
				at = yamlfile.Join(at, part)
			}
		}
		f.yaml.Fault(at, "%s%s", strings.TrimSuffix(field.Detail, "."), hint(field.Pointer))
	}
	return nil
}

// all reads every page of a list whose items are found by id.
func all[T any](ctx context.Context, list func(context.Context, vault.Caller, vault.Page) ([]T, error), caller vault.Caller, id func(T) string) ([]T, error) {
	var items []T
	page := vault.Page{Limit: 200}
	for {
		more, err := list(ctx, caller, page)
		if err != nil {
			return nil, err
		}
		items = append(items, more...)
		if len(more) < page.Limit {
			return items, nil
		}
		page.Cursor = id(more[len(more)-1])
	}
}

func (s *Setup) integrations(ctx context.Context, caller vault.Caller) ([]vault.Integration, error) {
	return all(ctx, s.vault.Integrations, caller, func(in vault.Integration) string { return in.ID })
}

func (s *Setup) keys(ctx context.Context, caller vault.Caller) ([]vault.APIKey, error) {
	return all(ctx, s.vault.APIKeys, caller, func(k vault.APIKey) string { return k.ID })
}
