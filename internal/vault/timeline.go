package vault

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// How much of the trail one page of a timeline takes: what happened, and the
// spans in which somebody read. readsLooked bounds what is added up for it, in
// entries; a timeline of more has more pages. activityLooked is the same for a
// chart, which has one page.
const (
	timelineEvents = 25
	timelineReads  = 40
	readsLooked    = 10_000
	activityLooked = 20_000
)

// ReadSum is how often somebody read the headers of a connection in an hour, or
// on a day where that is long ago.
type ReadSum struct {
	ActorKind CallerKind
	ActorID   string
	// Since is the beginning of the hour or day, in UTC.
	Since time.Time
	Daily bool
	// First and Last are when the first and the last entry of it were written.
	First, Last time.Time
	Count       int64
	// Entries is how many entries were added up; FirstID and LastID are the ends
	// of them.
	Entries         int
	FirstID, LastID string
}

// ReadsFilter asks for the reads of one connection.
type ReadsFilter struct {
	ConnectionID string
	// From is the id of the first entry that counts, Before that of the first
	// which does not any more; "" is no bound.
	From, Before string
	// HourlySince is from when on reads are added up by the hour, and not by the
	// day; it is the beginning of a day.
	HourlySince time.Time
	// Most is how many of the newest entries are looked at.
	Most int
}

// Happening is one item of a timeline: an entry of the trail, or reads.
type Happening struct {
	Entry *AuditEntry
	Reads *ReadSum
}

// at is what items are sorted by.
func (h Happening) at() string {
	if h.Entry != nil {
		return h.Entry.ID
	}
	return h.Reads.LastID
}

// Timeline is a page of what happened to a connection, newest first.
type Timeline struct {
	Items []Happening
	// Next is the cursor of the page that follows, "" where none does.
	Next string
}

// Timeline answers what the trail has on a connection before the cursor of an
// earlier page; reads are added up.
func (v *Vault) Timeline(ctx context.Context, caller Caller, connectionID, cursor string) (Timeline, error) {
	if err := v.allow(ctx, caller, ScopeAuditRead, connectionID); err != nil {
		return Timeline{}, err
	}
	events, err := v.store.ConnectionHistory(ctx, caller.EnvironmentID, connectionID, Page{Cursor: cursor, Limit: timelineEvents + 1})
	if err != nil {
		return Timeline{}, fmt.Errorf("reading the history of %s: %w", connectionID, err)
	}
	f := ReadsFilter{
		ConnectionID: connectionID, Before: cursor, Most: readsLooked,
		HourlySince: v.now().Truncate(day).Add(-day),
	}
	var t Timeline
	if len(events) > timelineEvents {
		events = events[:timelineEvents]
		t.Next = events[timelineEvents-1].ID
		f.From = t.Next
	}
	reads, err := v.store.ConnectionReads(ctx, caller.EnvironmentID, f)
	if err != nil {
		return Timeline{}, fmt.Errorf("reading the reads of %s: %w", connectionID, err)
	}
	if cut := cutReads(reads); cut != "" {
		// The page ends where the spans of reads do that fit on it.
		t.Next, f.From = cut, cut
		events = slices.DeleteFunc(events, func(e AuditEntry) bool { return e.ID < cut })
		if reads, err = v.store.ConnectionReads(ctx, caller.EnvironmentID, f); err != nil {
			return Timeline{}, fmt.Errorf("reading the reads of %s: %w", connectionID, err)
		}
	}
	for i := range events {
		t.Items = append(t.Items, Happening{Entry: &events[i]})
	}
	for i := range reads {
		t.Items = append(t.Items, Happening{Reads: &reads[i]})
	}
	slices.SortFunc(t.Items, func(a, b Happening) int { return strings.Compare(b.at(), a.at()) })
	return t, nil
}

// cutReads answers the id of the entry that a page with these reads ends with,
// where it has to end because of them.
func cutReads(reads []ReadSum) string {
	entries := 0
	for _, r := range reads {
		entries += r.Entries
	}
	if len(reads) <= timelineReads && entries < readsLooked {
		return ""
	}
	kept := slices.Clone(reads)
	slices.SortFunc(kept, func(a, b ReadSum) int { return strings.Compare(b.LastID, a.LastID) })
	kept = kept[:min(len(kept), timelineReads)]
	first := slices.MinFunc(kept, func(a, b ReadSum) int { return strings.Compare(a.FirstID, b.FirstID) })
	return first.FirstID
}

// ActivityDays is how far back [Vault.Activity] looks.
const ActivityDays = 30

// Activity is what was done with one connection, hour by hour.
type Activity struct {
	// Since is from when on all is in it: ActivityDays ago, or less where there
	// is more than can be added up.
	Since time.Time
	Hours []ActivityHour
}

// ActivityHour is one hour in which there was something, in UTC.
type ActivityHour struct {
	Hour                     time.Time
	Reads, Refreshes, Failed int64
}

// ActivityFilter asks for the newest Most entries on a connection from an entry
// and a time on.
type ActivityFilter struct {
	ConnectionID, From string
	Since              time.Time
	Most               int
}

// clockSkew is how far an id may be behind the time of its entry: the clocks of
// replicas, and reads that wait to be written.
const clockSkew = 5 * time.Minute

// Activity adds up what the trail has on the use of a connection.
func (v *Vault) Activity(ctx context.Context, caller Caller, connectionID string) (Activity, error) {
	if err := v.allow(ctx, caller, ScopeAuditRead, connectionID); err != nil {
		return Activity{}, err
	}
	return v.activity(ctx, caller.EnvironmentID, connectionID)
}

func (v *Vault) activity(ctx context.Context, environmentID, connectionID string) (Activity, error) {
	since := v.now().Truncate(day).Add(-(ActivityDays - 1) * day)
	hours, oldest, err := v.store.ConnectionActivity(ctx, environmentID, ActivityFilter{
		ConnectionID: connectionID, From: firstID(entryPrefix, since.Add(-clockSkew)), Since: since, Most: activityLooked,
	})
	if err != nil {
		return Activity{}, fmt.Errorf("reading the activity of %s: %w", connectionID, err)
	}
	if oldest.After(since) {
		since = oldest
	}
	return Activity{Since: since, Hours: hours}, nil
}

// idTime is when an id was made; ok is false for what is none.
func idTime(id string) (at time.Time, ok bool) {
	_, sorted, _ := strings.Cut(id, "_")
	b, err := base32.HexEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(sorted))
	if err != nil || len(b) != 16 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:8]) >> 16)).UTC(), true
}
