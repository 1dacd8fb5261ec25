package sandbox

import "testing"

// The values are those of OpenID Connect Core 1.0, appendices A.4 and A.3.
func TestLeftHalf(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk": "LDktKdoQak3Pk0cnXxCltA",
		"jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y":                "77QmUPtjPfzWtF2AnpK9RQ",
	} {
		if got := leftHalf(value); got != want {
			t.Errorf("leftHalf(%q) = %q, want %q", value, got, want)
		}
	}
}

// The pair is that of RFC 7636 appendix B.
func TestPKCEMatches(t *testing.T) {
	t.Parallel()
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	tests := []struct {
		challenge, verifier string
		want                bool
	}{
		{challenge, verifier, true},
		{"", "", true},
		{challenge, "", false},
		{"", verifier, false},
		{challenge, challenge, false},
		{sha256URL("short"), "short", false}, // section 4.1: 43 to 128 characters
	}
	for _, tt := range tests {
		if got := pkceMatches(tt.challenge, tt.verifier); got != tt.want {
			t.Errorf("pkceMatches(%q, %q) = %v", tt.challenge, tt.verifier, got)
		}
	}
}
