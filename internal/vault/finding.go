package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Finding is one thing that is wrong with a trail, and where.
type Finding struct {
	// What is a sentence about it. Acknowledgements have it in them: one that is
	// worded anew is not known any more.
	What string
	// EntryID, Writer, Seq and At are of the entry where it shows.
	EntryID, Writer string
	Seq             int64
	At              time.Time
	// Checkpoint is its number, where it is about one.
	Checkpoint int64
	// Good is the number in the chain up to which a checkpoint stands for all, where
	// what is wrong may be any of those after it.
	Good int64
	// Known is the number of the checkpoint that acknowledges it, 0 where none does.
	Known int64

	// state is a hash of what is there now, so that nothing that is done to it later
	// passes for the same.
	state string
	// firm is what cannot be acknowledged.
	firm bool
}

func (f Finding) String() string {
	var where []string
	if f.Checkpoint != 0 {
		where = append(where, fmt.Sprintf("checkpoint %d", f.Checkpoint))
	}
	if f.EntryID != "" {
		where = append(where, "entry "+f.EntryID)
	}
	if f.Writer != "" {
		where = append(where, fmt.Sprintf("number %d of %s", f.Seq, f.Writer))
	}
	if !f.At.IsZero() {
		where = append(where, f.At.UTC().Format(time.RFC3339Nano))
	}
	s := strings.Join(where, ", ") + ": " + f.What
	if f.Good > 0 {
		s += fmt.Sprintf(" (up to number %d all is as it was)", f.Good)
	}
	return s
}

// line is the finding as an acknowledgement has it, in one line whatever somebody has
// put into the database.
func (f Finding) line() string {
	f.Good = 0
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, f.String()+" ["+f.state+"]")
}

// stateSize is how many bytes of a hash tell states apart.
const stateSize = 16

func stateOf(parts ...[]byte) string {
	f := make(form, 0, 256)
	for _, p := range parts {
		f.text(string(p))
	}
	sum := sha256.Sum256(f)
	return hex.EncodeToString(sum[:stateSize])
}

// reportOf is the hash of findings, whatever their order.
func reportOf(findings []Finding) Digest {
	if len(findings) == 0 {
		return Digest{}
	}
	lines := make([]string, len(findings))
	for i, f := range findings {
		lines[i] = f.line()
	}
	slices.Sort(lines)
	f := make(form, 0, 4096)
	for _, line := range lines {
		f.text(line)
	}
	return sha256.Sum256(f)
}

// at is a finding at an entry that comes after the one that has the hash prev.
func findingAt(e *AuditEntry, prev Digest, format string, args ...any) Finding {
	digest := e.digest(Digest{})
	return Finding{
		What: fmt.Sprintf(format, args...), EntryID: e.ID, Writer: e.Writer, Seq: e.Seq, At: e.At,
		state: stateOf(digest[:], e.Hash[:], e.Proof[:], prev[:]),
	}
}

// findingOf is a finding of a checkpoint; beside is what else it is about.
func findingOf(p *Checkpoint, beside Digest, format string, args ...any) Finding {
	digest := p.Digest()
	return Finding{
		What: fmt.Sprintf(format, args...), Checkpoint: p.Number, EntryID: p.EntryID, Writer: p.Writer, Seq: p.Seq, At: p.At,
		state: stateOf(digest[:], p.Signature, beside[:]),
	}
}

// cutOff is that a checkpoint names an entry of a chain that ends before it.
func cutOff(p *Checkpoint, end ChainHead) Finding {
	return findingOf(p, end.Hash, "the end of the chain was cut off: %s missing, up to this one", some(p.Seq-end.Seq))
}

func some(n int64) string {
	if n == 1 {
		return "1 entry is"
	}
	return fmt.Sprintf("%d entries are", n)
}
