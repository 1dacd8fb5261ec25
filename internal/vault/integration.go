package vault

import (
	"reflect"
	"time"
)

// Environment is the unit of isolation: every row, key and ciphertext belongs
// to one.
type Environment struct {
	ID        string
	Name      string
	CreatedAt time.Time
	// Keyset is the environment's Tink keyset, wrapped by the master keyset.
	Keyset []byte
	// StrictReads asks for an audit entry for each read, written before the answer.
	StrictReads bool
}

// DefaultEnvironment is the one that exists from the first start.
const DefaultEnvironment = "default"

// Integration is a provider set up in an environment.
type Integration struct {
	ID            string
	EnvironmentID string
	Key           string
	Provider      string
	Title         string
	ClientID      string
	// ClientSecret is filled in by [Vault.OpenIntegration] and on the way in;
	// reads of metadata leave it empty.
	ClientSecret Secret
	// HasClientSecret says whether one is sealed.
	HasClientSecret bool
	// PreviousClientSecret is the one that was replaced, as long as it is tried
	// where the provider refuses the new one; PreviousClientSecretUntil is the end
	// of that, zero where there is none.
	PreviousClientSecret      Secret
	PreviousClientSecretUntil time.Time
	Scopes                    []string
	// Methods narrows what is offered, in order; empty offers all.
	Methods   []string
	Overrides Overrides
	CreatedAt time.Time
	UpdatedAt time.Time
}

// WithoutPrevious is the integration with its client secret alone: for a test,
// which is to say whether that one works.
func (in Integration) WithoutPrevious() Integration {
	in.PreviousClientSecret, in.PreviousClientSecretUntil = Secret{}, time.Time{}
	return in
}

// Overrides point an integration at another instance of the service.
// Empty members leave what the provider file says.
type Overrides struct {
	BaseURL          string   `json:"base_url,omitempty"`
	Issuer           string   `json:"issuer,omitempty"`
	AuthorizationURL string   `json:"authorization_url,omitempty"`
	TokenURL         string   `json:"token_url,omitempty"`
	RevocationURL    string   `json:"revocation_url,omitempty"`
	JWKSURL          string   `json:"jwks_url,omitempty"`
	SessionURL       string   `json:"session_url,omitempty"`
	ResolveURL       string   `json:"resolve_url,omitempty"`
	ResponseMode     string   `json:"response_mode,omitempty"`
	AllowedHosts     []string `json:"allowed_hosts,omitempty"`
}

// sameEndpoints reports whether both lead to the same places.
func (o Overrides) sameEndpoints(other Overrides) bool {
	o.ResponseMode, other.ResponseMode = "", ""
	return reflect.DeepEqual(o, other)
}

// IntegrationPatch changes an integration; nil members stay.
type IntegrationPatch struct {
	// Seen is the [Integration.Version] that the change was made from: where another
	// one is there by now, it is [ErrChangedSince]. Nil takes what there is.
	Seen         *string
	Title        *string
	ClientID     *string
	ClientSecret *Secret
	Scopes       *[]string
	Methods      *[]string
	Overrides    *Overrides
	// ClientSecretOverlap is for how long the secret before is tried after the new
	// one, 0 to [MaxSecretOverlap], [DefaultSecretOverlap] where it is nil. 0 drops
	// it at once, and does so without a new one too.
	ClientSecretOverlap *time.Duration
}
