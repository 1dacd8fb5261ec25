package vault

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Credential is the secret part of a connection: values by name. The names
// are the method's fields ("token", "email", "password") and what its scheme
// adds ("access_token", "refresh_token", "cookie").
type Credential map[string]Secret

// Names that more than one room knows.
const (
	ValueAccessToken  = "access_token"
	ValueRefreshToken = "refresh_token"
)

// Get is the value in clear, empty where there is none.
func (c Credential) Get(name string) string { return c[name].Reveal() }

// Names lists what there is, sorted.
func (c Credential) Names() []string { return slices.Sorted(maps.Keys(c)) }

// encode is the form that is sealed, and nothing else.
func (c Credential) encode() ([]byte, error) {
	plain := make(map[string]string, len(c))
	for name, value := range c {
		plain[name] = value.Reveal()
	}
	return json.Marshal(plain)
}

func decodeCredential(b []byte) (Credential, error) {
	var plain map[string]string
	if err := json.Unmarshal(b, &plain); err != nil {
		return nil, fmt.Errorf("decoding opened credential (%d bytes)", len(b))
	}
	c := make(Credential, len(plain))
	for name, value := range plain {
		c[name] = NewSecret(value)
	}
	return c, nil
}

// Header is one line that a caller puts on its own request.
type Header struct {
	Name  string
	Value Secret
}

// Grant is what a scheme made of a form, a redirect, an import or a refresh:
// everything the vault keeps of it.
type Grant struct {
	Credential Credential
	// Headers is the rendered answer; names are unique and canonical.
	Headers []Header
	// BaseURL is the root of the provider's API for this account.
	BaseURL string
	Account Account
	Scopes  []string
	// ExpiresAt is zero where the provider does not say. It never means
	// "for ever"; it means that only the provider knows.
	ExpiresAt time.Time
	// RefreshExpiresAt is the end of the refresh token, zero where not said.
	RefreshExpiresAt time.Time
	// Renewable says that the scheme can renew this credential by itself.
	Renewable bool
	// VerifyEvery is how often the credential is verified at the provider though
	// it has no end; 0: never.
	VerifyEvery time.Duration
	// HeldBaseURL is another API root than the one on record that the provider
	// named on this occasion. It is audited, not followed.
	HeldBaseURL string
}
