package providers

import "github.com/claviger/claviger/internal/providers/yamlfile"

// maxFile is the largest provider file taken, in bytes.
const maxFile = 64 << 10

// FileFault is one thing wrong with a provider file.
type FileFault = yamlfile.Fault

// file is one provider file while it is read.
type file struct{ *yamlfile.File }

// fault adds one about the place with that path.
func (f *file) fault(path, format string, args ...any) { f.Fault(path, format, args...) }

// decodeFile reads a provider file strictly. The provider is not checked for
// sense yet, see check.
func decodeFile(name string, data []byte) (*Provider, *file) {
	p := new(Provider)
	return p, &file{yamlfile.Decode(name, data, maxFile, p)}
}

func join(path, key string) string { return yamlfile.Join(path, key) }
