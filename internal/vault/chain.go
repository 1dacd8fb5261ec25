package vault

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads hexadecimal digits, as String writes them.
func ParseDigest(s string) (Digest, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != sha256.Size {
		return Digest{}, fmt.Errorf("a SHA-256 is %d hexadecimal digits", 2*sha256.Size)
	}
	return Digest(raw), nil
}

// ProofSize is the length of a [Proof] in bytes. Half of an HMAC-SHA-256 is as
// much as RFC 2104 section 5 wants, and there is one in each entry.
const ProofSize = sha256.Size / 2

// Proof shows that an entry was written by a holder of the master keyset: the
// HMAC of its hash. The hash is for everybody to check, and to make.
type Proof [ProofSize]byte

func (p Proof) String() string { return hex.EncodeToString(p[:]) }

// Prover makes the proof for the hash of an entry.
type Prover func(Digest) (Proof, error)

// What is hashed begins with its name and the version of its form: neither is
// ever taken for the other, or for a later form.
const (
	entryForm      = "claviger audit entry 1"
	checkpointForm = "claviger audit checkpoint 1"
)

// form is what a hash is made of: each part after its length, four bytes, the
// highest first. No two lists of parts make the same form.
type form []byte

func (f *form) text(s string) {
	*f = binary.BigEndian.AppendUint32(*f, uint32(len(s)))
	*f = append(*f, s...)
}

func (f *form) number(n int64) { f.text(strconv.FormatInt(n, 10)) }

// digest is the hash of the entry, which comes after the one that has prev.
func (e *AuditEntry) digest(prev Digest) Digest {
	f := make(form, 0, 512)
	f.text(entryForm)
	f.text(string(prev[:]))
	f.text(e.Writer)
	f.number(e.Seq)
	f.text(e.ID)
	f.text(e.EnvironmentID)
	f.number(e.At.UnixMicro())
	f.text(string(e.ActorKind))
	f.text(e.ActorID)
	f.text(string(e.Action))
	f.text(strconv.FormatBool(e.Allowed))
	f.text(e.ConnectionID)
	f.text(e.IntegrationID)
	f.text(e.SessionID)
	f.text(e.Reason)
	f.number(e.Generation)
	f.number(e.Count)
	return sha256.Sum256(f)
}

// Follows reports whether the entry is as it was written, right after the one that
// has the hash prev; the first of a chain follows zeros.
func (e *AuditEntry) Follows(prev Digest) bool { return e.digest(prev) == e.Hash }

// Chain is a part of the trail that one open store writes: each entry has the
// hash of the one before it in its own. It is a value that does not change, so
// that whoever rolls back keeps the one from before.
type Chain struct {
	ChainHead
	moment uint64 // of the last id
	prove  Prover
}

// ChainHead is the last entry of a chain. One without a Seq is of a chain that
// has no entry yet.
type ChainHead struct {
	Writer  string // names the chain
	Seq     int64  // from 1
	EntryID string
	Hash    Digest // all zero before the first
}

// chainRest is how long a chain may rest and be gone on with. After that another
// begins, so that a chain whose entries are all past their retention, which is a
// day at least, is over: what is known of it may go as well.
const chainRest = 12 * time.Hour

// NewChain begins a chain, with a name of its own. The proofs of a nil prover
// are zero.
func NewChain(prove Prover) Chain {
	return Chain{ChainHead: ChainHead{Writer: newID("wri")}, prove: prove}
}

// Link gives entries that are about to be committed their ids and their places
// at the end of the chain, or in another one where this has rested for half a day. It
// answers the chain that has them. Ids of a chain rise
// as its entries do, whatever the clock does; now is when.
func (c Chain) Link(entries []AuditEntry, now time.Time) (Chain, error) {
	if c.Seq > 0 && momentOf(now) > c.moment+momentOf(time.UnixMilli(chainRest.Milliseconds())) {
		c = NewChain(c.prove)
	}
	for i := range entries {
		e := &entries[i]
		c.moment = max(momentOf(now), c.moment+1)
		c.Seq++
		e.ID, e.Writer, e.Seq, e.At = entryID(c.moment), c.Writer, c.Seq, e.At.UTC().Truncate(time.Microsecond)
		e.Hash = e.digest(c.Hash)
		if c.prove != nil {
			var err error
			if e.Proof, err = c.prove(e.Hash); err != nil {
				return c, fmt.Errorf("proving audit entry %s: %w", e.Action, err)
			}
		}
		c.Hash, c.EntryID = e.Hash, e.ID
	}
	return c, nil
}

// momentOf is a time as an id has it: milliseconds since 1970 and 4096ths of one
// (RFC 9562 section 6.2, method 3).
func momentOf(t time.Time) uint64 {
	us := uint64(max(t.UnixMicro(), 0))
	return us/1000<<12 | us%1000<<12/1000
}

const entryPrefix = "aud"

// entryID is an id like those of [newID], of a moment that is given.
func entryID(moment uint64) string {
	var id [16]byte
	_, _ = rand.Read(id[8:]) // never fails, by its contract
	return entryPrefix + "_" + uuidAt(moment, id)
}

// firstID is before all ids that are made at t or later, and after all of
// earlier ones.
func firstID(prefix string, t time.Time) string {
	return prefix + "_" + uuidAt(momentOf(t), [16]byte{})
}

// uuidAt is a UUIDv7 (RFC 9562 section 5.7); its random part is the last 62 bits.
func uuidAt(moment uint64, id [16]byte) string {
	binary.BigEndian.PutUint64(id[:8], moment>>12<<16|7<<12|moment&0xfff)
	id[8] = id[8]&0x3f | 0x80
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:]))
}

// trailKeys prove entries and sign checkpoints. They are derived from the
// master keyset, whose primary key makes the first.
type trailKeys struct {
	proofs  [][]byte
	signers []ed25519.PrivateKey
}

// newTrailKeys derives them when they are first needed.
func newTrailKeys(master *Keyset) func() (*trailKeys, error) {
	return sync.OnceValues(func() (*trailKeys, error) {
		proofs, err := master.Derive("audit-proof")
		if err != nil {
			return nil, err
		}
		seeds, err := master.Derive("audit-checkpoint")
		if err != nil {
			return nil, err
		}
		keys := &trailKeys{proofs: proofs}
		for _, seed := range seeds {
			keys.signers = append(keys.signers, ed25519.NewKeyFromSeed(seed))
		}
		return keys, nil
	})
}

func proofWith(key []byte, hash Digest) (p Proof) {
	mac := hmac.New(sha256.New, key)
	mac.Write(hash[:])
	copy(p[:], mac.Sum(nil))
	return p
}

// prove is the [Prover] of the store.
func (v *Vault) prove(hash Digest) (Proof, error) {
	keys, err := v.trail()
	if err != nil {
		return Proof{}, err
	}
	return proofWith(keys.proofs[0], hash), nil
}
