package vault

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// CheckpointKind says what a checkpoint states of a chain.
type CheckpointKind string

// The kinds of checkpoints.
const (
	// CheckpointRunning: the chain has come as far as this entry.
	CheckpointRunning CheckpointKind = "running"
	// CheckpointClosed: this entry is its last.
	CheckpointClosed CheckpointKind = "closed"
	// CheckpointDropped: its entries up to this one were dropped, being past their
	// retention.
	CheckpointDropped CheckpointKind = "dropped"
	// CheckpointPruned is of no chain: the checkpoints up to number Seq were dropped,
	// of which the last had this Hash, and all entries with ids before EntryID. Count is
	// how many entries those checkpoints said were dropped.
	CheckpointPruned CheckpointKind = "pruned"
	// CheckpointAcknowledged is of no chain: somebody has looked into what Statement
	// says is wrong, Count findings. Hash is that of the Statement, EntryID and Seq
	// are of the entry that has who it was.
	CheckpointAcknowledged CheckpointKind = "acknowledged"
)

// Checkpoint is a signed statement on a chain of the trail. The checkpoints of all
// chains are one chain themselves, so that none of them, nor a whole chain of
// entries, goes missing unseen.
type Checkpoint struct {
	Number  int64  // from 1
	Prev    Digest // of the one before, zero for the first
	At      time.Time
	Kind    CheckpointKind
	Writer  string // the chain; empty where it is about none
	Seq     int64  // its entry that this is about
	EntryID string
	Hash    Digest // of that entry
	// Count is how many entries were dropped, 0 where the kind says nothing of that, or
	// the one before says the same.
	Count int64
	// Key is the fingerprint of the public key that Signature is to be checked
	// with.
	Key       string
	Signature []byte
	// Statement is what is acknowledged, a line each. Hash stands for it in what is
	// signed.
	Statement string
}

// Digest is the hash of the checkpoint. It is what is signed, what the next one
// has as Prev, and what an operator notes down elsewhere.
func (c *Checkpoint) Digest() Digest {
	f := make(form, 0, 512)
	f.text(checkpointForm)
	f.text(string(c.Prev[:]))
	f.number(c.Number)
	f.number(c.At.UnixMicro())
	f.text(string(c.Kind))
	f.text(c.Writer)
	f.number(c.Seq)
	f.text(c.EntryID)
	f.text(string(c.Hash[:]))
	f.number(c.Count)
	f.text(c.Key)
	return sha256.Sum256(f)
}

// keyFingerprint tells public keys apart: the first 8 bytes of their SHA-256.
func keyFingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// nextCheckpoint is the one after last, which is nil where there is none yet.
func nextCheckpoint(last *Checkpoint, kind CheckpointKind, head ChainHead, count int64, at time.Time, key ed25519.PrivateKey) Checkpoint {
	c := Checkpoint{
		Number: 1, At: at, Kind: kind, Writer: head.Writer, Seq: head.Seq, EntryID: head.EntryID, Hash: head.Hash, Count: count,
		Key: keyFingerprint(key.Public().(ed25519.PublicKey)),
	}
	if last != nil {
		c.Number, c.Prev = last.Number+1, last.Digest()
	}
	digest := c.Digest()
	c.Signature = ed25519.Sign(key, digest[:])
	return c
}

// lastNoted is what this process made its last checkpoints of: the number of an
// entry by chain.
type lastNoted struct {
	sync.Mutex
	seqs map[string]int64
}

// checkpointTries bounds how often others may be first with the next number.
const checkpointTries = 20

// errStranger is that the last checkpoint is nobody's. To sign the next one would
// be to vouch for it.
var errStranger = errors.New("the last audit checkpoint was not signed with a key of this process: restart it if a rotation of the master keyset is under way, else run `claviger audit verify`")

// signed reports whether a checkpoint was signed with one of the keys.
func (k *trailKeys) signed(c *Checkpoint) bool {
	digest := c.Digest()
	return slices.ContainsFunc(k.signers, func(key ed25519.PrivateKey) bool {
		public := key.Public().(ed25519.PublicKey)
		return keyFingerprint(public) == c.Key && ed25519.Verify(public, digest[:], c.Signature)
	})
}

// lastCheckpoint is the one to sign behind, nil where there is none yet.
func (v *Vault) lastCheckpoint(ctx context.Context, keys *trailKeys) (*Checkpoint, error) {
	last, err := v.store.LastCheckpoint(ctx)
	if err == nil && last != nil && !keys.signed(last) {
		err = errStranger
	}
	return last, err
}

// errGone is that a chain was dropped as far as it was to be signed for.
var errGone = errors.New("the entries are past their retention")

// addCheckpoint signs a statement on a chain and puts it behind all others, unless
// all that it is about was dropped: what says so goes before it would, and then
// it would be of entries that are missing.
func (v *Vault) addCheckpoint(ctx context.Context, kind CheckpointKind, head ChainHead) error {
	keys, err := v.trail()
	if err != nil {
		return err
	}
	_, err = v.signNext(ctx, func(last *Checkpoint, key ed25519.PrivateKey) (Checkpoint, error) {
		gone, err := v.gone(ctx, keys, head)
		if err == nil && gone {
			err = errGone
		}
		return nextCheckpoint(last, kind, head, 0, v.now(), key), err
	})
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// gone reports whether a chain was dropped up to an entry, as somebody with the
// keyset has signed.
func (v *Vault) gone(ctx context.Context, keys *trailKeys, head ChainHead) (bool, error) {
	dropped, err := v.store.LastOfKind(ctx, head.Writer, CheckpointDropped)
	if err != nil {
		return false, err
	}
	if dropped != nil && dropped.Seq >= head.Seq && v.vouched(ctx, keys, *dropped) == nil {
		return true, nil
	}
	pruned, err := v.store.LastOfKind(ctx, "", CheckpointPruned)
	if err != nil {
		return false, err
	}
	return pruned != nil && pruned.EntryID > head.EntryID && v.vouched(ctx, keys, *pruned) == nil, nil
}

// signNext puts a checkpoint behind all others and answers its number.
func (v *Vault) signNext(ctx context.Context, next func(last *Checkpoint, key ed25519.PrivateKey) (Checkpoint, error)) (int64, error) {
	keys, err := v.trail()
	if err != nil {
		return 0, err
	}
	for range checkpointTries {
		last, err := v.lastCheckpoint(ctx, keys)
		if err != nil {
			return 0, err
		}
		c, err := next(last, keys.signers[0])
		if err != nil {
			return 0, err
		}
		if err = v.store.InsertCheckpoint(ctx, c); !errors.Is(err, ErrDuplicate) {
			return c.Number, err
		}
	}
	return 0, fmt.Errorf("signing an audit checkpoint: others were first %d times", checkpointTries)
}

// checkpoint notes how far the chains of this process have come, where they have
// come any further.
func (v *Vault) checkpoint(ctx context.Context) error {
	v.noted.Lock()
	defer v.noted.Unlock()
	seqs := map[string]int64{}
	for _, head := range v.store.AuditHeads() {
		if head.Seq != v.noted.seqs[head.Writer] {
			if err := v.addCheckpoint(ctx, CheckpointRunning, head); err != nil {
				return fmt.Errorf("writing an audit checkpoint: %w", err)
			}
		}
		seqs[head.Writer] = head.Seq
	}
	v.noted.seqs = seqs
	return nil
}

// VouchForTrail signs what the last checkpoint says once more with the primary key,
// where it was signed with another one, which is about to be retired: nobody would
// sign behind it any more.
func (v *Vault) VouchForTrail(ctx context.Context) error {
	keys, err := v.trail()
	if err != nil {
		return err
	}
	last, err := v.store.LastCheckpoint(ctx)
	if err != nil || last == nil || last.Key == keyFingerprint(keys.signers[0].Public().(ed25519.PublicKey)) {
		return err
	}
	_, err = v.signNext(ctx, func(last *Checkpoint, key ed25519.PrivateKey) (Checkpoint, error) {
		if last == nil {
			return Checkpoint{}, errStranger
		}
		count := last.Count
		if last.Kind == CheckpointDropped {
			count = 0 // no more than it says
		}
		place := ChainHead{Writer: last.Writer, Seq: last.Seq, EntryID: last.EntryID, Hash: last.Hash}
		c := nextCheckpoint(last, last.Kind, place, count, v.now(), key)
		c.Statement = last.Statement
		return c, nil
	})
	return err
}

// CloseAudit ends what this process has written of the trail, and notes that it
// ends there. It is the last that a process does with a vault; whatever is
// written after it begins other chains.
func (v *Vault) CloseAudit(ctx context.Context) error {
	heads, err := v.store.EndAudit(ctx)
	for _, head := range heads {
		err = errors.Join(err, v.addCheckpoint(ctx, CheckpointClosed, head))
	}
	if err != nil {
		return fmt.Errorf("closing the audit trail of this process: %w", err)
	}
	return nil
}
