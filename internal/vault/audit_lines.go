package vault

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// EntryLine is an entry as JSON has it.
type EntryLine struct {
	ID            string     `json:"id"`
	EnvironmentID string     `json:"environment_id"`
	At            time.Time  `json:"at"`
	ActorKind     CallerKind `json:"actor_kind"`
	ActorID       string     `json:"actor_id"`
	Action        Action     `json:"action"`
	Allowed       bool       `json:"allowed"`
	ConnectionID  *string    `json:"connection_id"`
	IntegrationID *string    `json:"integration_id"`
	SessionID     *string    `json:"connect_session_id"`
	Reason        *string    `json:"reason"`
	Generation    *int64     `json:"generation"`
	Count         int64      `json:"count"`
	Writer        string     `json:"writer"`
	Seq           int64      `json:"seq"`
	Hash          hexBytes   `json:"hash"`
	Proof         hexBytes   `json:"proof"`
}

// Line is the entry as JSON has it.
func (e *AuditEntry) Line() EntryLine {
	return EntryLine{
		ID: e.ID, EnvironmentID: e.EnvironmentID, At: e.At.UTC(), ActorKind: e.ActorKind, ActorID: e.ActorID,
		Action: e.Action, Allowed: e.Allowed, ConnectionID: orNull(e.ConnectionID), IntegrationID: orNull(e.IntegrationID),
		SessionID: orNull(e.SessionID), Reason: orNull(e.Reason), Generation: orNull(e.Generation), Count: e.Count,
		Writer: e.Writer, Seq: e.Seq, Hash: e.Hash[:], Proof: e.Proof[:],
	}
}

// Lines are entries as JSON has them.
func Lines(entries []AuditEntry) []EntryLine {
	lines := make([]EntryLine, len(entries))
	for i := range entries {
		lines[i] = entries[i].Line()
	}
	return lines
}

func (l *EntryLine) entry() (AuditEntry, error) {
	e := AuditEntry{
		ID: l.ID, EnvironmentID: l.EnvironmentID, At: l.At, ActorKind: l.ActorKind, ActorID: l.ActorID,
		Action: l.Action, Allowed: l.Allowed, ConnectionID: orZero(l.ConnectionID), IntegrationID: orZero(l.IntegrationID),
		SessionID: orZero(l.SessionID), Reason: orZero(l.Reason), Generation: orZero(l.Generation), Count: l.Count,
		Writer: l.Writer, Seq: l.Seq,
	}
	return e, errors.Join(l.Hash.into(e.Hash[:]), l.Proof.into(e.Proof[:]))
}

type checkpointLine struct {
	Number    int64          `json:"number"`
	Prev      hexBytes       `json:"prev"`
	At        time.Time      `json:"at"`
	Kind      CheckpointKind `json:"state"`
	Writer    string         `json:"writer"`
	Seq       int64          `json:"seq"`
	EntryID   string         `json:"entry_id"`
	Hash      hexBytes       `json:"hash"`
	Count     int64          `json:"count"`
	Key       string         `json:"key"`
	Signature hexBytes       `json:"signature"`
	Statement string         `json:"statement,omitempty"`
}

func (c *Checkpoint) line() *checkpointLine {
	return &checkpointLine{
		Number: c.Number, Prev: c.Prev[:], At: c.At.UTC(), Kind: c.Kind, Writer: c.Writer, Seq: c.Seq, EntryID: c.EntryID,
		Hash: c.Hash[:], Count: c.Count, Key: c.Key, Signature: c.Signature, Statement: c.Statement,
	}
}

func (l *checkpointLine) checkpoint() (Checkpoint, error) {
	c := Checkpoint{
		Number: l.Number, At: l.At, Kind: l.Kind, Writer: l.Writer, Seq: l.Seq, EntryID: l.EntryID,
		Count: l.Count, Key: l.Key, Signature: l.Signature, Statement: l.Statement,
	}
	return c, errors.Join(l.Prev.into(c.Prev[:]), l.Hash.into(c.Hash[:]))
}

// hexBytes are hexadecimal digits in JSON.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

func (h hexBytes) into(fixed []byte) error {
	if len(h) != len(fixed) {
		return fmt.Errorf("%d bytes where %d are due", len(h), len(fixed))
	}
	copy(fixed, h)
	return nil
}

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func orZero[T any](v *T) (zero T) {
	if v == nil {
		return zero
	}
	return *v
}

// trailLine is one line of a file that has a whole trail: first what it is, then
// entries and checkpoints in the order of a [Trail], and last how many of them
// there were, so that a file that was cut short is none.
type trailLine struct {
	Form       string          `json:"trail,omitempty"`
	Entry      *EntryLine      `json:"entry,omitempty"`
	Checkpoint *checkpointLine `json:"checkpoint,omitempty"`
	End        *trailEnd       `json:"end,omitempty"`
}

type trailEnd struct {
	Entries     int64 `json:"entries"`
	Checkpoints int64 `json:"checkpoints"`
}

const (
	trailForm = "claviger audit trail 1"
	maxLine   = 512 << 10
)

// WriteTrail writes a whole trail as lines of JSON, which [TrailFile] reads.
func WriteTrail(w io.Writer, trail Trail) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	if err := enc.Encode(trailLine{Form: trailForm}); err != nil {
		return err
	}
	var n trailEnd
	for item, err := range trail {
		var line trailLine
		switch {
		case err != nil:
			return err
		case item.Entry != nil:
			n.Entries++
			e := item.Entry.Line()
			line.Entry = &e
		default:
			n.Checkpoints++
			line.Checkpoint = item.Checkpoint.line()
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	if err := enc.Encode(trailLine{End: &n}); err != nil {
		return err
	}
	return out.Flush()
}

// TrailFile reads what [WriteTrail] wrote. An error names the line.
func TrailFile(r io.Reader) Trail {
	return func(yield func(TrailItem, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), maxLine)
		var n trailEnd
		ended := false
		for number := 1; lines.Scan(); number++ {
			item, end, err := readTrailLine(lines.Bytes(), number, n)
			if err == nil && ended {
				err = errors.New("the file goes on after its end")
			}
			if err != nil {
				yield(TrailItem{}, fmt.Errorf("line %d: %w", number, err))
				return
			}
			switch {
			case end:
				ended = true
				continue
			case item.Entry != nil:
				n.Entries++
			case item.Checkpoint != nil:
				n.Checkpoints++
			default:
				continue
			}
			if !yield(item, nil) {
				return
			}
		}
		switch err := lines.Err(); {
		case err != nil:
			yield(TrailItem{}, err)
		case !ended:
			yield(TrailItem{}, errors.New("the file is cut short: its last line is missing"))
		}
	}
}

func readTrailLine(b []byte, number int, so trailEnd) (item TrailItem, end bool, err error) {
	var line trailLine
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&line); err != nil {
		if number == 1 {
			return item, false, errNoTrail
		}
		return item, false, err
	}
	if (line.Form == trailForm) != (number == 1) {
		return item, false, errNoTrail
	}
	switch {
	case line.End != nil && *line.End != so:
		return item, false, fmt.Errorf("the file ends with %d entries and %d checkpoints, and has %d and %d",
			line.End.Entries, line.End.Checkpoints, so.Entries, so.Checkpoints)
	case line.Entry != nil:
		e, err := line.Entry.entry()
		return TrailItem{Entry: &e}, false, err
	case line.Checkpoint != nil:
		c, err := line.Checkpoint.checkpoint()
		return TrailItem{Checkpoint: &c}, false, err
	}
	return item, line.End != nil, nil
}

var errNoTrail = errors.New("this is no export of a whole trail; what is narrowed by a filter cannot be verified")
