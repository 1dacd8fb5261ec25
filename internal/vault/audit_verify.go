package vault

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// TrailItem is an entry or a checkpoint of the trail; the other is nil.
type TrailItem struct {
	Entry      *AuditEntry
	Checkpoint *Checkpoint
}

// Trail is the trail in the order in which it is verified and exported: entries by
// id, and each checkpoint right after the entry that it is about, or where that
// was. It ends with the first error.
type Trail iter.Seq2[TrailItem, error]

// Anchor is a checkpoint that somebody has noted elsewhere.
type Anchor struct {
	Number int64
	Hash   Digest
}

// ParseAnchor reads NUMBER:HASH, as String writes it.
func ParseAnchor(s string) (Anchor, error) {
	number, hash, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	digest, err2 := ParseDigest(hash)
	if err != nil || err2 != nil || n < 1 {
		return Anchor{}, errors.New("an anchor is the number of a checkpoint, a colon and its hash, as `claviger audit verify` prints it")
	}
	return Anchor{n, digest}, nil
}

func (a Anchor) String() string { return fmt.Sprintf("%d:%s", a.Number, a.Hash) }

// TrailKeys are what a trail is verified with.
type TrailKeys struct {
	public map[string]ed25519.PublicKey // by fingerprint
	proofs [][]byte                     // none where only public keys are known
}

// TrailKeys are those of the master keyset.
func (k *Keyset) TrailKeys() (TrailKeys, error) {
	keys, err := newTrailKeys(k)()
	if err != nil {
		return TrailKeys{}, err
	}
	return keys.known(), nil
}

// known are the keys to verify with.
func (k *trailKeys) known() TrailKeys {
	t := TrailKeys{public: map[string]ed25519.PublicKey{}, proofs: k.proofs}
	for _, key := range k.signers {
		t.add(key.Public().(ed25519.PublicKey))
	}
	return t
}

func (t *TrailKeys) add(key ed25519.PublicKey) { t.public[keyFingerprint(key)] = key }

// PublicTrailKeys are the keys to check signatures with, in hex, by themselves:
// whoever has no more than them cannot tell who wrote the entries that no
// checkpoint stands for.
func PublicTrailKeys(keys []string) (TrailKeys, error) {
	t := TrailKeys{public: map[string]ed25519.PublicKey{}}
	for _, s := range keys {
		raw, err := hex.DecodeString(s)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return TrailKeys{}, fmt.Errorf("a public key is %d hexadecimal digits", 2*ed25519.PublicKeySize)
		}
		t.add(raw)
	}
	return t, nil
}

// Public are the public keys in hex, in no order.
func (t *TrailKeys) Public() []string {
	var all []string
	for _, key := range t.public {
		all = append(all, hex.EncodeToString(key))
	}
	return all
}

// TrailSummary is what a trail that was verified has in it.
type TrailSummary struct {
	Entries, Checkpoints int64
	// Chains is how many there are, and Open how many of them do not end with a
	// checkpoint that says so: their process runs, or was killed.
	Chains, Open int
	// Dropped is how many entries are past their retention and gone.
	Dropped int64
	// Tail is how many entries come after the last checkpoint of their chain.
	// They cannot have been changed, but nobody would miss the last of them.
	Tail int64
	// Newest is the last checkpoint, the zero Anchor where there is none.
	Newest Anchor
	// Pruned is the number up to which checkpoints are past their retention and gone.
	Pruned int64
	// Findings is how many things are wrong that nobody has acknowledged, and Known how
	// many that somebody has, by so many Acknowledgements.
	Findings, Known, Acknowledgements int
	// Report is the hash of the former: what [Vault.AcknowledgeTrail] is to be told.
	Report Digest
}

// trailPage is how many rows of the trail are in memory at a time.
const trailPage = 1000

// ReadTrail hands the trail of all environments, as it is at one moment, to fn.
func (v *Vault) ReadTrail(ctx context.Context, fn func(Trail) error) error {
	return v.store.ReadTrail(ctx, func(r TrailReader) error {
		return fn(func(yield func(TrailItem, error) bool) {
			entries := pages(func(after *AuditEntry) ([]AuditEntry, error) {
				return r.TrailEntries(ctx, after.ID, trailPage)
			})
			checkpoints := pages(func(after *Checkpoint) ([]Checkpoint, error) {
				return r.TrailCheckpoints(ctx, *after, trailPage)
			})
			mergeTrail(entries, checkpoints, yield)
		})
	})
}

// pages walks over what read answers, page by page, each from after the last of
// the page before.
func pages[T any](read func(after *T) ([]T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		var last T
		for {
			page, err := read(&last)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page {
				if !yield(&page[i], nil) {
					return
				}
				last = page[i]
			}
			if len(page) < trailPage {
				return
			}
		}
	}
}

func mergeTrail(entries iter.Seq2[*AuditEntry, error], checkpoints iter.Seq2[*Checkpoint, error], yield func(TrailItem, error) bool) {
	next, stop := iter.Pull2(checkpoints)
	defer stop()
	c, err, more := next()
	until := func(id string) bool { // the checkpoints of entries before that
		for more && (err != nil || id == "" || c.EntryID < id) {
			if !yield(TrailItem{Checkpoint: c}, err) || err != nil {
				return false
			}
			c, err, more = next()
		}
		return true
	}
	for e, err := range entries {
		if err != nil {
			yield(TrailItem{}, err)
			return
		}
		if !until(e.ID) || !yield(TrailItem{Entry: e}, nil) {
			return
		}
	}
	until("")
}
