package setup

import (
	"github.com/claviger/claviger/internal/providers/yamlfile"
	"github.com/claviger/claviger/internal/vault"
)

// MaxFile is the largest file taken, in bytes: some thousand integrations.
const MaxFile = 1 << 20

// File is a file whose form is right. What it declares is not checked yet.
type File struct {
	yaml *yamlfile.File
	document
}

// The format. A member that is left out is empty: the file says all there is to
// say about what it names, and nothing about what it does not name.

type document struct {
	Environments []environment `yaml:"environments"`
}

type environment struct {
	Name         string        `yaml:"name"`
	Integrations []integration `yaml:"integrations"`
	APIKeys      []apiKey      `yaml:"api_keys"`
}

type integration struct {
	Key          string     `yaml:"key"`
	Provider     string     `yaml:"provider"`
	Title        string     `yaml:"title"`
	ClientID     string     `yaml:"client_id"`
	ClientSecret *reference `yaml:"client_secret"`
	Scopes       []string   `yaml:"scopes"`
	Methods      []string   `yaml:"methods"`
	Overrides    overrides  `yaml:"overrides"`
}

// overrides converts to [vault.Overrides]: a member that one of them lacks does
// not compile.
type overrides struct {
	BaseURL          string   `yaml:"base_url"`
	Issuer           string   `yaml:"issuer"`
	AuthorizationURL string   `yaml:"authorization_url"`
	TokenURL         string   `yaml:"token_url"`
	RevocationURL    string   `yaml:"revocation_url"`
	JWKSURL          string   `yaml:"jwks_url"`
	SessionURL       string   `yaml:"session_url"`
	ResolveURL       string   `yaml:"resolve_url"`
	ResponseMode     string   `yaml:"response_mode"`
	AllowedHosts     []string `yaml:"allowed_hosts"`
}

type apiKey struct {
	Name         string     `yaml:"name"`
	Key          *reference `yaml:"key"`
	Scopes       []string   `yaml:"scopes"`
	Integrations []string   `yaml:"integrations"`
	Addresses    []string   `yaml:"addresses"`
	ExpiresAt    string     `yaml:"expires_at"`
}

// Read reads a file strictly. What is wrong with its form, all of it, is a
// [*FileError]; name is what its faults call it.
func Read(name string, data []byte) (*File, error) {
	f := &File{}
	f.yaml = yamlfile.Decode(name, data, MaxFile, &f.document)
	if len(f.yaml.Faults()) == 0 && len(f.Environments) == 0 {
		f.yaml.Fault("environments", "is missing")
	}
	return f, f.err()
}

func (f *File) err() error {
	if faults := f.yaml.Faults(); len(faults) > 0 {
		return &FileError{faults}
	}
	return nil
}

func (in *integration) declared() vault.Integration {
	return vault.Integration{
		Key: in.Key, Provider: in.Provider, Title: in.Title, ClientID: in.ClientID,
		Scopes: in.Scopes, Methods: in.Methods, Overrides: vault.Overrides(in.Overrides),
		HasClientSecret: in.ClientSecret != nil,
	}
}
