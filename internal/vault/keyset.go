package vault

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyset is a Tink keyset in the clear. The master keyset comes from the
// configuration and wraps the environments' keysets; those are of this type too,
// and seal the rows. A Keyset does not change: Rotate and Retire make another.
type Keyset struct {
	handle *keyset.Handle
	aead   tink.AEAD
}

// KeyInfo describes one key of a keyset, without the key.
type KeyInfo struct {
	ID      uint32
	Primary bool
	Status  string // ENABLED, DISABLED
	Type    string
}

// NewKeyset makes a keyset with one fresh XAES-256-GCM key. Its 192-bit nonces
// are drawn at random without a bound that anybody has to count.
func NewKeyset() (*Keyset, error) {
	h, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return keysetOf(h)
}

// ParseKeyset reads Tink's JSON form. The error never quotes it.
func ParseKeyset(json Secret) (*Keyset, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewBufferString(json.Reveal())))
	if err != nil {
		return nil, errors.New("not a Tink keyset in JSON form; `claviger key generate` makes one")
	}
	return keysetOf(h)
}

func keysetOf(h *keyset.Handle) (*Keyset, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("keyset holds keys that are not for AEAD: %w", err)
	}
	return &Keyset{handle: h, aead: a}, nil
}

// JSON is the keyset in the form that ParseKeyset reads.
func (k *Keyset) JSON() (Secret, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.handle, keyset.NewJSONWriter(&b)); err != nil {
		return Secret{}, fmt.Errorf("writing keyset: %w", err)
	}
	return NewSecret(b.String()), nil
}

// Keys lists what is in the keyset.
func (k *Keyset) Keys() []KeyInfo {
	info := k.handle.KeysetInfo()
	keys := make([]KeyInfo, 0, len(info.GetKeyInfo()))
	for _, key := range info.GetKeyInfo() {
		keys = append(keys, KeyInfo{
			ID:      key.GetKeyId(),
			Primary: key.GetKeyId() == info.GetPrimaryKeyId(),
			Status:  key.GetStatus().String(),
			Type:    key.GetTypeUrl(),
		})
	}
	return keys
}

// PrimaryID is the key that seals.
func (k *Keyset) PrimaryID() uint32 { return k.handle.KeysetInfo().GetPrimaryKeyId() }

// Rotate is the keyset with a fresh primary key; the old ones still open.
func (k *Keyset) Rotate() (*Keyset, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	id, err := m.Add(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("adding a key: %w", err)
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("making key %d primary: %w", id, err)
	}
	return managed(m)
}

// Retire is the keyset without the key. The primary key cannot be retired.
func (k *Keyset) Retire(id uint32) (*Keyset, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	if err := m.Delete(id); err != nil {
		return nil, fmt.Errorf("retiring key %d: %w", id, err)
	}
	return managed(m)
}

func managed(m *keyset.Manager) (*Keyset, error) {
	h, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("taking over the changed keyset: %w", err)
	}
	return keysetOf(h)
}

// Derive makes a 32-byte secret for another purpose (cookies) out of every
// enabled key, primary first, by HKDF-SHA-256 (RFC 5869). Secrets made from
// older keys come after, so that a rotation does not sign everybody out.
func (k *Keyset) Derive(purpose string) ([][]byte, error) {
	material := insecurecleartextkeyset.KeysetMaterial(k.handle)
	var derived [][]byte
	for _, key := range material.GetKey() {
		d, err := hkdf.Key(sha256.New, key.GetKeyData().GetValue(), nil, "claviger/"+purpose, 32)
		if err != nil {
			return nil, fmt.Errorf("deriving a key for %s: %w", purpose, err)
		}
		if key.GetKeyId() == material.GetPrimaryKeyId() {
			derived = append([][]byte{d}, derived...)
		} else {
			derived = append(derived, d)
		}
	}
	return derived, nil
}

// wrap seals an environment's keyset, bound to the environment.
func (k *Keyset) wrap(environmentID string, inner *Keyset) ([]byte, error) {
	var b bytes.Buffer
	w := keyset.NewBinaryWriter(&b)
	if err := inner.handle.WriteWithAssociatedData(w, k.aead, associatedData("environments", environmentID, environmentID, "keyset", 0)); err != nil {
		return nil, fmt.Errorf("wrapping keyset of environment %s: %w", environmentID, err)
	}
	return b.Bytes(), nil
}

func (k *Keyset) unwrap(environmentID string, blob []byte) (*Keyset, error) {
	h, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(blob)), k.aead,
		associatedData("environments", environmentID, environmentID, "keyset", 0))
	if err != nil {
		return nil, fmt.Errorf("unwrapping keyset of environment %s: %w", environmentID, ErrSeal)
	}
	return keysetOf(h)
}
