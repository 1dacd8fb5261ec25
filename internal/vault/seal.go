package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/claviger/claviger/internal/fault"
)

// ErrSeal is a blob that does not open: another keyset, another place than it
// was sealed for, or changed. Which of them is not told, on purpose.
var ErrSeal = errors.New("a sealed blob does not open")

// blobVersion is the first byte of every blob. Tink's own prefix, with the id
// of the key, follows it.
const blobVersion = 1

// purpose says what a blob is for; it is part of what the blob is bound to.
type purpose string

const (
	purposeCredential     purpose = "credential"
	purposeAnswer         purpose = "answer"
	purposeSecret         purpose = "client_secret"
	purposePreviousSecret purpose = "previous_client_secret"
	purposeAttempt        purpose = "attempt"
	purposeReply          purpose = "reply"
	purposeSpending       purpose = "spending"
	purposeRevocation     purpose = "revocation"
	purposeCanary         purpose = "canary"
	purposeUnsaved        purpose = "unsaved"
)

// place is where a blob belongs. One that was moved to another row, or rolled
// back to an older generation, does not open.
type place struct {
	table         string
	environmentID string
	rowID         string
	purpose       purpose
	generation    int64
}

func connectionPlace(c *Connection, p purpose, generation int64) place {
	return place{"connections", c.EnvironmentID, c.ID, p, generation}
}

// associatedData joins with length prefixes: no two places give the same bytes.
func associatedData(table, environmentID, rowID string, p purpose, generation int64) []byte {
	b := make([]byte, 0, 160)
	for _, part := range [...]string{"claviger", table, environmentID, rowID, string(p)} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return binary.AppendVarint(append(b, blobVersion), generation)
}

// keyring holds the environments' keysets, unwrapped once.
type keyring struct {
	master *Keyset
	store  Reader

	mu   sync.RWMutex
	envs map[string]*Keyset
}

// environment answers the keyset of an environment, reading it at first use.
func (r *keyring) environment(ctx context.Context, id string) (*Keyset, error) {
	r.mu.RLock()
	k := r.envs[id]
	r.mu.RUnlock()
	if k != nil {
		return k, nil
	}
	return r.reload(ctx, id)
}

// reload reads the keyset anew: another replica may have rotated it.
func (r *keyring) reload(ctx context.Context, id string) (*Keyset, error) {
	env, err := r.store.Environment(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("reading environment %s: %w", id, err)
	}
	if err := r.keep(env); err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.envs[id], nil
}

func (r *keyring) keep(env *Environment) error {
	k, err := r.master.unwrap(env.ID, env.Keyset)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.envs[env.ID] = k
	return nil
}

func (r *keyring) seal(ctx context.Context, at place, plain []byte) ([]byte, error) {
	k, err := r.environment(ctx, at.environmentID)
	if err != nil {
		return nil, err
	}
	return k.seal(at, plain)
}

func (k *Keyset) seal(at place, plain []byte) ([]byte, error) {
	sealed, err := k.aead.Encrypt(plain, associatedData(at.table, at.environmentID, at.rowID, at.purpose, at.generation))
	if err != nil {
		return nil, fmt.Errorf("sealing %s of %s %s: %w", at.purpose, at.table, at.rowID, err)
	}
	return append([]byte{blobVersion}, sealed...), nil
}

func (k *Keyset) open(at place, blob []byte) ([]byte, error) {
	if len(blob) == 0 || blob[0] != blobVersion {
		return nil, ErrSeal
	}
	plain, err := k.aead.Decrypt(blob[1:], associatedData(at.table, at.environmentID, at.rowID, at.purpose, at.generation))
	if err != nil {
		return nil, ErrSeal
	}
	return plain, nil
}

func (r *keyring) open(ctx context.Context, at place, blob []byte) ([]byte, error) {
	k, err := r.environment(ctx, at.environmentID)
	if err != nil {
		return nil, err
	}
	plain, err := k.open(at, blob)
	if err == nil {
		return plain, nil
	}
	// A key we do not have is the sign of a rotation elsewhere. Anything else
	// stays closed without another query.
	if id, ok := blobKeyID(blob); ok && !k.has(id) {
		if k, err = r.reload(ctx, at.environmentID); err == nil {
			plain, err = k.open(at, blob)
		}
	}
	if err != nil {
		return nil, fault.Wrap(fmt.Errorf("opening %s of %s %s: %w", at.purpose, at.table, at.rowID, err),
			fault.Internal, "Something went wrong.")
	}
	return plain, nil
}

// blobKeyID reads the id of the key out of Tink's prefix: 0x01 and four bytes.
func blobKeyID(blob []byte) (uint32, bool) {
	if len(blob) < 6 || blob[0] != blobVersion || blob[1] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(blob[2:6]), true
}

func (k *Keyset) has(id uint32) bool {
	for _, key := range k.handle.KeysetInfo().GetKeyInfo() {
		if key.GetKeyId() == id {
			return true
		}
	}
	return false
}
