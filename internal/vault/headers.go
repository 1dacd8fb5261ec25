package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Answer is the headers answer, rendered when the credential changed: a read
// opens and copies bytes and parses nothing. It is secret as a whole.
type Answer struct{ doc []byte }

func renderAnswer(headers []Header, baseURL string, expiresAt time.Time, generation int64) ([]byte, error) {
	plain := make(map[string]string, len(headers))
	for _, h := range headers {
		plain[h.Name] = h.Value.Reveal()
	}
	body := struct {
		Headers    map[string]string `json:"headers"`
		BaseURL    *string           `json:"base_url"`
		ExpiresAt  *time.Time        `json:"expires_at"`
		Generation int64             `json:"generation"`
	}{Headers: plain, Generation: generation}
	if baseURL != "" {
		body.BaseURL = &baseURL
	}
	if !expiresAt.IsZero() {
		expiresAt = micro(expiresAt)
		body.ExpiresAt = &expiresAt
	}
	var doc bytes.Buffer
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("rendering headers: %w", err)
	}
	return doc.Bytes(), nil
}

// JSON is the body of the REST answer. The bytes are not to be changed.
func (a Answer) JSON() []byte { return a.doc }

// Text is the answer as "Name: value" lines by name, for curl -H @-. It is
// asked for by people and made when they ask.
func (a Answer) Text() ([]byte, error) {
	headers, err := a.headers()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(headers, func(x, y Header) int { return strings.Compare(x.Name, y.Name) })
	var text []byte
	for _, h := range headers {
		text = append(text, h.Name+": "+h.Value.Reveal()+"\n"...)
	}
	return text, nil
}

func (a Answer) headers() ([]Header, error) {
	var body struct {
		Headers map[string]Secret `json:"headers"`
	}
	if err := json.Unmarshal(a.JSON(), &body); err != nil {
		return nil, errors.New("decoding a rendered answer")
	}
	headers := make([]Header, 0, len(body.Headers))
	for name, value := range body.Headers {
		headers = append(headers, Header{name, value})
	}
	return headers, nil
}

// Stored is a connection as the hot path found it, its answer still sealed. Of
// the connection it has id, environment, status, reason, generation, expiry and
// whether it is renewable.
type Stored struct {
	Caller     Caller
	Connection Connection
	answer     []byte
	strict     bool
}

// LookupHeaders authenticates the bearer, finds the connection and decides, in
// one round trip to the database. What it answers with can be opened by
// [Vault.OpenHeaders] for as long as nobody has asked the database again: a
// revoke in between is seen by the next lookup. Beside an error it has the
// caller, if that is known.
func (v *Vault) LookupHeaders(ctx context.Context, b Bearer, id string) (Stored, error) {
	if b.Key.IsZero() {
		return Stored{}, fault.New(fault.Unauthenticated, "%s", unauthenticated)
	}
	hash := HashToken(b.Key)
	row, err := v.store.LookupHeaders(ctx, hash, id)
	if err != nil {
		return Stored{}, fmt.Errorf("reading key and connection: %w", err)
	}
	if row == nil || !sameHash(row.KeyHash, hash) {
		return Stored{}, fault.New(fault.Unauthenticated, "%s", unauthenticated)
	}
	s := Stored{Caller: Caller{
		Kind: CallerAPIKey, ID: row.KeyID, EnvironmentID: row.EnvironmentID, Scopes: row.Scopes,
	}}
	if reason := overFor(row.KeyRevoked, row.KeyExpiresAt, v.now()); reason != "" {
		return Stored{}, v.turnAway(s.Caller, reason)
	}
	if l := row.KeyLimits; l != nil {
		s.Caller.Integrations = l.Integrations
		if err := v.admit(s.Caller, l.Addresses, b.From); err != nil {
			return Stored{}, err
		}
	}
	if err := v.allow(ctx, s.Caller, ScopeCredentialsRead, id); err != nil {
		return s, err
	}
	if row.Status == "" || !s.Caller.Reaches(row.Integration) {
		return s, fault.New(fault.NotFound, "There is no such connection.")
	}
	if err := servable(id, row.Status, row.StatusReason); err != nil {
		return s, err
	}
	c := &s.Connection
	c.ID, c.EnvironmentID, c.Status, c.StatusReason = id, row.EnvironmentID, row.Status, row.StatusReason
	c.Generation, c.ExpiresAt, c.Renewable = row.Generation, row.ExpiresAt, row.Renewable
	s.answer, s.strict = row.Answer, row.StrictReads
	return s, nil
}

// OpenHeaders opens the answer and notes the read. Where the environment is
// strict, the entry is in the trail when it returns.
func (v *Vault) OpenHeaders(ctx context.Context, s Stored) (Answer, error) {
	a, err := v.openAnswer(ctx, &s.Connection, s.answer)
	if err != nil {
		return Answer{}, err
	}
	return a, v.noteRead(ctx, s)
}

func (v *Vault) openAnswer(ctx context.Context, c *Connection, sealed []byte) (Answer, error) {
	doc, err := v.ring.open(ctx, connectionPlace(c, purposeAnswer, c.Generation), sealed)
	return Answer{doc}, err
}

func (v *Vault) openCredential(ctx context.Context, row *ConnectionRow) (Credential, error) {
	plain, err := v.ring.open(ctx, connectionPlace(&row.Connection, purposeCredential, row.Generation), row.Credential)
	if err != nil {
		return nil, err
	}
	return decodeCredential(plain)
}

// OpenCredential answers the credential itself, without the refresh token
// unless it is asked for. The entry is in the trail before the answer is given.
func (v *Vault) OpenCredential(ctx context.Context, caller Caller, id string, withRefreshToken bool) (Connection, Credential, error) {
	if err := v.allow(ctx, caller, ScopeCredentialsReadRaw, id); err != nil {
		return Connection{}, nil, err
	}
	row, err := v.connection(ctx, v.store, caller, id)
	if err != nil {
		return Connection{}, nil, err
	}
	if err := servable(row.ID, row.Status, row.StatusReason); err != nil {
		return Connection{}, nil, err
	}
	credential, err := v.openCredential(ctx, row)
	if err != nil {
		return Connection{}, nil, err
	}
	if !withRefreshToken {
		delete(credential, ValueRefreshToken)
	}
	e := v.connectionEntry(caller, ActionCredentialRead, &row.Connection)
	if withRefreshToken {
		e.Reason = ValueRefreshToken
	}
	return row.Connection, credential, v.audit(ctx, e)
}

// servable answers nil for a connection whose headers may leave.
func servable(id string, status Status, reason string) error {
	switch status {
	case StatusActive:
		return nil
	case StatusPending:
		return fault.New(fault.Conflict, "The connection is pending: the host has to redeem the result first.")
	case StatusReconnectRequired:
		return ReconnectFault(reason)
	case StatusRevoked:
		return revokedFault()
	}
	return fmt.Errorf("connection %s has the unknown status %q", id, status)
}

func revokedFault() error { return fault.New(fault.Revoked, "The connection was revoked.") }

// ReconnectFault says that the end user has to link again, and why; reason is
// one of the Reason words.
func ReconnectFault(reason string) error {
	why, ok := map[string]string{
		ReasonInvalidGrant:    "the provider refused the refresh token",
		ReasonOutcomeLost:     "the outcome of a refresh was lost, and its token is spent",
		ReasonExpired:         "the credential has expired and cannot be renewed",
		ReasonRejected:        "the provider refuses the credential",
		ReasonIdentityChanged: "a refresh came back for another account",
	}[reason]
	if !ok {
		why = reason
	}
	return fault.New(fault.ReconnectRequired, "The end user has to link this account again: %s.", why)
}
