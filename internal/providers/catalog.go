package providers

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

//go:embed catalog/*.yaml
var builtIn embed.FS

//go:embed catalog/provider.schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of provider files, for editors.
// It says as much as a schema can; [Load] checks more.
func Schema() []byte { return slices.Clone(schema) }

// Catalog is the providers that can be linked, by name. It does not change
// once it is made.
type Catalog struct{ byName map[string]*Provider }

// CatalogError is everything that is wrong with the provider files.
type CatalogError struct{ Faults []FileFault }

// Error lists the faults, one a line.
func (e *CatalogError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.String()
	}
	return "provider files:\n\t" + strings.Join(lines, "\n\t")
}

// Load makes the catalog of the built-in files and those at the top of dir,
// which may be nil: files whose names end in ".yaml" or ".yml". A file of dir
// takes the place of the built-in one of the same name, whole. Anything wrong
// in any file is a [*CatalogError] that holds all of it.
func Load(dir fs.FS) (*Catalog, error) {
	shipped, err := fs.Sub(builtIn, "catalog")
	if err != nil {
		return nil, fmt.Errorf("opening the built-in provider files: %w", err)
	}
	c := &Catalog{byName: map[string]*Provider{}}
	var faults []FileFault
	for _, source := range []fs.FS{shipped, dir} {
		if source == nil {
			continue
		}
		more, err := c.add(source)
		if err != nil {
			return nil, err
		}
		faults = append(faults, more...)
	}
	if len(faults) > 0 {
		return nil, &CatalogError{Faults: faults}
	}
	return c, nil
}

func (c *Catalog) add(source fs.FS) ([]FileFault, error) {
	entries, err := fs.ReadDir(source, ".")
	if err != nil {
		return nil, fmt.Errorf("reading the directory of provider files: %w", err)
	}
	from := map[string]string{} // provider name to file, of this source
	var faults []FileFault
	for _, entry := range entries {
		name, ok := providerFile(entry)
		if !ok {
			continue
		}
		data, err := readFile(source, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("reading provider file %s: %w", entry.Name(), err)
		}
		p, f := parse(entry.Name(), data)
		if p.Name != "" && p.Name != name {
			f.fault("name", "must be %q, as the file's name says", name)
		}
		if other, ok := from[name]; ok {
			f.fault("name", "%s has the same provider", other)
		}
		from[name] = entry.Name()
		found := f.Faults()
		faults = append(faults, found...)
		if len(found) == 0 {
			c.byName[p.Name] = p
		}
	}
	return faults, nil
}

// parse decodes a file and checks it for sense. Sense is only looked for in
// a file that could be read: one slip would drag ten more behind it.
func parse(fileName string, data []byte) (*Provider, *file) {
	p, f := decodeFile(fileName, data)
	if len(f.Faults()) == 0 {
		f.check(p)
	}
	return p, f
}

func providerFile(entry fs.DirEntry) (name string, ok bool) {
	if entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
		return "", false
	}
	if name, ok = strings.CutSuffix(entry.Name(), ".yaml"); ok {
		return name, true
	}
	return strings.CutSuffix(entry.Name(), ".yml")
}

// readFile reads at most one byte more than a provider file may have; parse
// says so.
func readFile(source fs.FS, name string) (data []byte, err error) {
	r, err := source.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.LimitReader(r, maxFile+1))
}

// Get finds a provider by name. It is shared: do not change it.
func (c *Catalog) Get(name string) (*Provider, bool) {
	p, ok := c.byName[name]
	return p, ok
}

// Providers lists all, by name. They are shared: do not change them.
func (c *Catalog) Providers() []*Provider {
	all := make([]*Provider, 0, len(c.byName))
	for _, name := range slices.Sorted(maps.Keys(c.byName)) {
		all = append(all, c.byName[name])
	}
	return all
}
