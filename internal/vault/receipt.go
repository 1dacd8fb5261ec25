package vault

import "time"

// Outcome is what the provider made of being told that a connection is revoked.
type Outcome string

// The outcomes.
const (
	OutcomeRevoked     Outcome = "revoked"     // the provider confirmed it
	OutcomeUnsupported Outcome = "unsupported" // the provider has no way to be told
	OutcomeFailed      Outcome = "failed"      // it was told and did not confirm
)

// ProviderOutcome is the provider's part of a receipt.
type ProviderOutcome struct {
	Outcome Outcome `json:"outcome"`
	// Detail is a sentence fit to show: what happened, or what the end user can
	// still do by hand.
	Detail string `json:"detail"`
}

// Receipt says what a revocation did. Our part is always done when there is one.
type Receipt struct {
	RevokedAt time.Time       `json:"revoked_at"`
	Provider  ProviderOutcome `json:"provider"`
}
