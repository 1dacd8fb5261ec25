package oidc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/providers/oidc"
)

func TestVerifierRefusesToBeMade(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	d := p.directory()
	good, err := d.Metadata(t.Context(), p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func(m oidc.Metadata) (*oidc.Verifier, error){
		"HMAC pinned":  func(m oidc.Metadata) (*oidc.Verifier, error) { return d.Verifier(m, clientID, "RS256", "HS256") },
		"none pinned":  func(m oidc.Metadata) (*oidc.Verifier, error) { return d.Verifier(m, clientID, "none") },
		"nonsense":     func(m oidc.Metadata) (*oidc.Verifier, error) { return d.Verifier(m, clientID, "rs256") },
		"no client id": func(m oidc.Metadata) (*oidc.Verifier, error) { return d.Verifier(m, "") },
		"no keys":      func(m oidc.Metadata) (*oidc.Verifier, error) { m.JWKSURI = ""; return d.Verifier(m, clientID) },
		"only HMAC": func(m oidc.Metadata) (*oidc.Verifier, error) {
			m.SigningAlgorithms = []string{"HS256"}
			return d.Verifier(m, clientID)
		},
		"nothing listed": func(m oidc.Metadata) (*oidc.Verifier, error) {
			m.SigningAlgorithms = []string{}
			return d.Verifier(m, clientID)
		},
	} {
		_, err := try(good)
		if wrong := new(oidc.MetadataError); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Which algorithms count: the pinned ones over the listed ones, RS256 where
// nothing is said.
func TestAlgorithmsOfAnIssuer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		listed []string
		pinned []string
		alg    string
		ok     bool
	}{
		{"listed", []string{"RS512", "RS256"}, nil, "RS512", true},
		{"not listed", []string{"RS512"}, nil, "RS256", false},
		{"nothing said", nil, nil, "RS256", true},
		{"nothing said, another", nil, nil, "RS512", false},
		{"pinned", []string{"RS512"}, []string{"RS256"}, "RS256", true},
		{"listed, not pinned", []string{"RS512"}, []string{"RS256"}, "RS512", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.publish(t, jwk("k1", ours()))
			m := *static(p)
			m.Issuer, m.SigningAlgorithms = p.URL, row.listed
			v, err := p.directory().Verifier(m, clientID, row.pinned...)
			if err != nil {
				t.Fatal(err)
			}
			claims := p.claims()
			delete(claims, "s_hash")
			if row.alg == "RS512" {
				claims["c_hash"] = "php9CHa4VMkYVLy29EudTMn2qR0zfkdNC24tIP3VP8Y"
			}
			err = front(t.Context(), v, p, signer{alg: algorithm(row.alg)}.sign(t, encode(t, claims)))
			if row.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCheck(t, err, oidc.FrontChannel, oidc.CheckAlgorithm)
		})
	}
}

func TestCheckHosts(t *testing.T) {
	t.Parallel()
	m := oidc.Metadata{
		Issuer:                "https://login.a.example",
		AuthorizationEndpoint: "https://login.a.example/authorize",
		TokenEndpoint:         "https://LOGIN.a.example:8443/token",
		JWKSURI:               "https://login.a.example/jwks",
	}
	allowed := func(host string) bool { return host == "login.a.example" }
	if err := m.CheckHosts(allowed); err != nil {
		t.Error(err)
	}
	m.RevocationEndpoint = "https://login.a.example.evil.example/revoke"
	if err := m.CheckHosts(allowed); err == nil || strings.Contains(err.Error(), "evil") {
		t.Errorf("got %v", err)
	}
}
