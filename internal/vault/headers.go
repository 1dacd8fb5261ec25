package vault

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Answer is the headers answer, rendered when the credential changed: a read
// opens and copies bytes and parses nothing. It is secret as a whole.
type Answer struct{ blob []byte }

// renderAnswer lays the JSON and the text form one after the other, behind the
// length of the first.
func renderAnswer(headers []Header, baseURL string, expiresAt time.Time, generation int64) ([]byte, error) {
	var text bytes.Buffer
	plain := make(map[string]string, len(headers))
	for _, h := range headers {
		plain[h.Name] = h.Value.Reveal()
		text.WriteString(h.Name + ": " + h.Value.Reveal() + "\n")
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
	blob := binary.AppendUvarint(make([]byte, 0, doc.Len()+text.Len()+4), uint64(doc.Len()))
	return append(append(blob, doc.Bytes()...), text.Bytes()...), nil
}

func (a Answer) split() (doc, text []byte) {
	n, size := binary.Uvarint(a.blob)
	if size <= 0 || n > uint64(len(a.blob)-size) {
		return nil, nil
	}
	return a.blob[size : size+int(n)], a.blob[size+int(n):]
}

// JSON is the body of the REST answer. The bytes are not to be changed.
func (a Answer) JSON() []byte { doc, _ := a.split(); return doc }

// Text is the answer as "Name: value" lines, for curl -H @-.
func (a Answer) Text() []byte { _, text := a.split(); return text }

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

// Stored is a connection as the hot path found it, its answer still sealed.
type Stored struct {
	Caller     Caller
	Connection Connection
	Lease      Lease
	answer     []byte
}

// LookupHeaders authenticates the key, finds the connection and decides, in
// one round trip to the database. What it answers with can be opened by
// [Vault.OpenHeaders] for as long as nobody has asked the database again: a
// revoke in between is seen by the next lookup. Beside an error it has the
// caller, if that is known.
func (v *Vault) LookupHeaders(ctx context.Context, key Secret, id string) (Stored, error) {
	if key.IsZero() {
		return Stored{}, fault.New(fault.Unauthenticated, "%s", unauthenticated)
	}
	hash := HashToken(key)
	k, row, err := v.store.KeyAndConnection(ctx, hash, id)
	if err != nil {
		return Stored{}, fmt.Errorf("reading key and connection: %w", err)
	}
	caller, err := v.callerOf(k, hash)
	if err != nil {
		return Stored{}, err
	}
	known := Stored{Caller: caller}
	if err := v.allow(ctx, caller, ScopeCredentialsRead, id); err != nil {
		return known, err
	}
	if row == nil {
		return known, fault.New(fault.NotFound, "There is no such connection.")
	}
	if err := servable(&row.Connection); err != nil {
		return known, err
	}
	return Stored{Caller: caller, Connection: row.Connection, Lease: row.Lease, answer: row.Answer}, nil
}

// OpenHeaders opens the answer and counts the read.
func (v *Vault) OpenHeaders(ctx context.Context, s Stored) (Answer, error) {
	a, err := v.openAnswer(ctx, &ConnectionRow{Connection: s.Connection, Answer: s.answer})
	if err != nil {
		return Answer{}, err
	}
	return a, v.noteRead(ctx, s)
}

// noteRead counts a read. The error is there for environments whose reads have
// to be in the trail before they are answered.
func (v *Vault) noteRead(_ context.Context, s Stored) error {
	v.reads.add(s.Caller, s.Connection.ID, ActionHeadersRead, v.now())
	return nil
}

func (v *Vault) openAnswer(ctx context.Context, row *ConnectionRow) (Answer, error) {
	blob, err := v.ring.open(ctx, connectionPlace(&row.Connection, purposeAnswer, row.Generation), row.Answer)
	return Answer{blob}, err
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
	row, err := v.store.Connection(ctx, caller.EnvironmentID, id)
	if err != nil {
		return Connection{}, nil, missing(err, "connection")
	}
	if err := servable(&row.Connection); err != nil {
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
func servable(c *Connection) error {
	switch c.Status {
	case StatusActive:
		return nil
	case StatusPending:
		return fault.New(fault.Conflict, "The connection is pending: the host has to redeem the result first.")
	case StatusReconnectRequired:
		return ReconnectFault(c.StatusReason)
	case StatusRevoked:
		return revokedFault()
	}
	return fmt.Errorf("connection %s has the unknown status %q", c.ID, c.Status)
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
