package vault

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/claviger/claviger/internal/fault"
)

// resealPage is how many rows are resealed between two looks at the context.
const resealPage = 200

// RotateEnvironment gives an environment a fresh primary key. Replicas learn
// of it within a minute; [Vault.Reseal] then moves the rows over.
func (v *Vault) RotateEnvironment(ctx context.Context, environmentID string) error {
	return v.changeKeyset(ctx, environmentID, (*Keyset).Rotate)
}

// RetireEnvironmentKey removes a key from an environment's keyset. While a row
// is still sealed with it, that is a conflict.
func (v *Vault) RetireEnvironmentKey(ctx context.Context, environmentID string, id uint32) error {
	use, err := v.KeyUse(ctx, environmentID)
	if err != nil {
		return err
	}
	if n := use[id]; n > 0 {
		return fault.New(fault.Conflict, "%d rows are still sealed with key %d; run `claviger key reseal` first.", n, id)
	}
	return v.changeKeyset(ctx, environmentID, func(k *Keyset) (*Keyset, error) { return k.Retire(id) })
}

// EnvironmentKeys lists the keys of an environment's keyset.
func (v *Vault) EnvironmentKeys(ctx context.Context, environmentID string) ([]KeyInfo, error) {
	k, err := v.ring.reload(ctx, environmentID)
	if err != nil {
		return nil, err
	}
	return k.Keys(), nil
}

func (v *Vault) changeKeyset(ctx context.Context, environmentID string, change func(*Keyset) (*Keyset, error)) error {
	env, err := v.store.Environment(ctx, environmentID)
	if err != nil {
		return missing(err, "environment")
	}
	inner, err := v.master.unwrap(env.ID, env.Keyset)
	if err != nil {
		return err
	}
	if inner, err = change(inner); err != nil {
		return err
	}
	return v.replaceKeyset(ctx, env, inner)
}

func (v *Vault) replaceKeyset(ctx context.Context, env *Environment, inner *Keyset) error {
	wrapped, err := v.master.wrap(env.ID, inner)
	if err != nil {
		return err
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		ok, err := tx.SetEnvironmentKeyset(ctx, env.ID, env.Keyset, wrapped)
		if err == nil && !ok {
			err = fault.New(fault.Conflict, "The keyset of environment %s was changed at the same time; try again.", env.Name)
		}
		if err != nil {
			return err
		}
		return tx.InsertAudit(ctx, v.entry(System("keys", env.ID), ActionKeysetChanged))
	})
	if err != nil {
		return fmt.Errorf("replacing keyset of environment %s: %w", env.Name, err)
	}
	_, err = v.ring.reload(ctx, env.ID)
	return err
}

// KeyUse counts the sealed rows of an environment by the key that seals them.
func (v *Vault) KeyUse(ctx context.Context, environmentID string) (map[uint32]int, error) {
	use := map[uint32]int{}
	err := v.eachSealed(ctx, environmentID, func(r SealedRow) error {
		for _, blob := range r.Blobs {
			if id, ok := blobKeyID(blob); ok {
				use[id]++
			}
		}
		return nil
	})
	return use, err
}

// Reseal brings everything under the primary keys: the environments' keysets
// and the canary under the master's, the rows under their environment's. It
// answers how many rows it moved. Readers notice nothing.
func (v *Vault) Reseal(ctx context.Context) (int, error) {
	canary, err := v.master.seal(canaryPlace(), []byte(canaryPlain))
	if err != nil {
		return 0, err
	}
	if err := v.store.ReplaceCanary(ctx, canary); err != nil {
		return 0, fmt.Errorf("replacing canary: %w", err)
	}
	envs, err := v.store.Environments(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing environments: %w", err)
	}
	moved := 0
	for i := range envs {
		n, err := v.resealEnvironment(ctx, &envs[i])
		moved += n
		if err != nil {
			return moved, err
		}
	}
	return moved, nil
}

func (v *Vault) resealEnvironment(ctx context.Context, env *Environment) (int, error) {
	inner, err := v.master.unwrap(env.ID, env.Keyset)
	if err != nil {
		return 0, err
	}
	if wrapperID(env.Keyset) != v.master.PrimaryID() {
		if err := v.replaceKeyset(ctx, env, inner); err != nil {
			return 0, err
		}
	}
	moved := 0
	err = v.eachSealed(ctx, env.ID, func(r SealedRow) error {
		fresh, changed, err := inner.reseal(env.ID, r)
		if err != nil || !changed {
			return err
		}
		ok, err := v.store.Reseal(ctx, r, fresh)
		if ok {
			moved++
		}
		return err // a row that changed meanwhile was sealed anew by that
	})
	if err != nil {
		return moved, fmt.Errorf("resealing environment %s: %w", env.Name, err)
	}
	return moved, nil
}

// reseal seals the blobs of a row with the primary key, where they are not.
func (k *Keyset) reseal(environmentID string, r SealedRow) (SealedRow, bool, error) {
	fresh := r
	fresh.Blobs = make([][]byte, len(r.Blobs))
	changed := false
	for i, blob := range r.Blobs {
		fresh.Blobs[i] = blob
		if id, ok := blobKeyID(blob); !ok || id == k.PrimaryID() {
			continue
		}
		at := place{r.Table, environmentID, r.ID, sealedPurposes(r.Table)[i], r.Generation}
		plain, err := k.open(at, blob)
		if err != nil {
			return r, false, fmt.Errorf("opening %s of %s %s: %w", at.purpose, r.Table, r.ID, err)
		}
		if fresh.Blobs[i], err = k.seal(at, plain); err != nil {
			return r, false, err
		}
		changed = true
	}
	return fresh, changed, nil
}

// sealedPurposes are what the blobs of a [SealedRow] are for, in their order.
func sealedPurposes(table string) []purpose {
	switch table {
	case "integrations":
		return []purpose{purposeSecret, purposePreviousSecret}
	case "revocations":
		return []purpose{purposeRevocation}
	}
	return []purpose{purposeCredential, purposeAnswer}
}

func (v *Vault) eachSealed(ctx context.Context, environmentID string, fn func(SealedRow) error) error {
	cursor := ""
	for {
		rows, err := v.store.Sealed(ctx, environmentID, cursor, resealPage)
		if err != nil {
			return fmt.Errorf("reading sealed rows: %w", err)
		}
		for _, r := range rows {
			if err := fn(r); err != nil {
				return err
			}
			cursor = r.ID
		}
		if len(rows) < resealPage {
			return nil
		}
	}
}

// WrapperUse counts what a master key still wraps: environments, and the canary.
func (v *Vault) WrapperUse(ctx context.Context) (map[uint32]int, error) {
	envs, err := v.store.Environments(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing environments: %w", err)
	}
	use := map[uint32]int{}
	for _, env := range envs {
		use[wrapperID(env.Keyset)]++
	}
	canary, err := v.store.Canary(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading canary: %w", err)
	}
	if id, ok := blobKeyID(canary); ok {
		use[id]++
	}
	return use, nil
}

// wrapperID is the master key that wraps a keyset, 0 if it cannot be told.
func wrapperID(wrapped []byte) uint32 {
	e, err := keyset.NewBinaryReader(bytes.NewReader(wrapped)).ReadEncrypted()
	if err != nil {
		return 0
	}
	id, _ := blobKeyID(append([]byte{blobVersion}, e.GetEncryptedKeyset()...))
	return id
}

// WarmKeysets reads the keyset of every environment: this replica then seals
// with the newest key soon after somebody else has rotated, and no transaction
// has to wait for a second connection to read one.
func (v *Vault) WarmKeysets(ctx context.Context) error {
	envs, err := v.store.Environments(ctx)
	if err != nil {
		return fmt.Errorf("listing environments: %w", err)
	}
	for i := range envs {
		if err := v.ring.keep(&envs[i]); err != nil {
			return err
		}
	}
	return nil
}
