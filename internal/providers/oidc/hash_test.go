package oidc

import "testing"

func TestHalfHash(t *testing.T) {
	t.Parallel()
	const (
		code  = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"
		token = "YmJiZTAwYmYtMzgyOC00NzhkLTkyOTItNjJjNDM3MGYzOWIy9sFhvH8K_x8UIHj1osisS57f5DduL"
	)
	for _, row := range []struct{ alg, value, want string }{
		// OpenID Connect Core, A.4 and A.3.
		{"RS256", code, "LDktKdoQak3Pk0cnXxCltA"},
		{"RS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"},
		// The OpenID working group's vectors, Connect issue 1125.
		{"RS256", token, "xsZZrUssMXjL3FBlzoSh2g"},
		{"PS256", token, "xsZZrUssMXjL3FBlzoSh2g"},
		{"ES256", token, "xsZZrUssMXjL3FBlzoSh2g"},
		{"RS384", token, "adt46pcdiB-l6eTNifgoVM-5AIJAxq84"},
		{"PS384", token, "adt46pcdiB-l6eTNifgoVM-5AIJAxq84"},
		{"ES384", token, "adt46pcdiB-l6eTNifgoVM-5AIJAxq84"},
		{"RS512", token, "p2LHG4H-8pYDc0hyVOo3iIHvZJUqe9tbj3jESOuXbkY"},
		{"PS512", token, "p2LHG4H-8pYDc0hyVOo3iIHvZJUqe9tbj3jESOuXbkY"},
		{"ES512", token, "p2LHG4H-8pYDc0hyVOo3iIHvZJUqe9tbj3jESOuXbkY"},
		{"EdDSA", token, "p2LHG4H-8pYDc0hyVOo3iIHvZJUqe9tbj3jESOuXbkY"},
	} {
		if got := halfHash(row.alg, row.value); got != row.want {
			t.Errorf("%s of %.8s…: %s, want %s", row.alg, row.value, got, row.want)
		}
	}
}
