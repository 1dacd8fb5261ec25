package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// What an overview looks at. Among a million connections it takes a moment, so
// that it is made for everybody at once, and no more often than overviewEvery or
// than keeps the database busy for one part in overviewShare of the time.
const (
	ForecastDays = 30
	// SoonDays is how many days ahead it is time to do something.
	SoonDays = 7

	overviewEvery = 10 * time.Second
	overviewShare = 20
	overviewTime  = 30 * time.Second
	readsWindow   = 5 * time.Minute
	readsSampled  = 10_000
	untoldAfter   = time.Minute
	keysSoon      = 14 * 24 * time.Hour
	maxKeysSoon   = 20
	// MaxUntold is what [Overview].Untold counts up to.
	MaxUntold = 1000
)

// Standing is how the connections of one integration stand.
type Standing struct {
	IntegrationID string
	Key, Title    string
	Provider      string
	Active        int
	// Failing of the active ones could not be refreshed the last time.
	Failing           int
	ReconnectRequired int
	Pending           int
	Revoked           int
	// Ended of the active ones have run out, and nobody has noticed yet; Soon run
	// out within SoonDays, Month within ForecastDays.
	Ended, Soon, Month int
	// ReadsPerMinute is how often headers were read, of late.
	ReadsPerMinute float64
}

// Overview is how an environment stands.
type Overview struct {
	At        time.Time
	Standings []Standing // by key
	// Ends is how many connections run out on each of the next days.
	Ends [ForecastDays]int
	// Untold is how many providers have not confirmed a revocation yet.
	Untold int
	// Keys are API keys that expire soon; nil for whoever may not see keys.
	Keys []KeyEnd
	// ReadsSince is from when on reads are counted for ReadsPerMinute.
	ReadsSince time.Time
}

// Total is the sum of all integrations.
func (o *Overview) Total() Standing {
	var t Standing
	for _, s := range o.Standings {
		t.Active, t.Failing, t.ReconnectRequired = t.Active+s.Active, t.Failing+s.Failing, t.ReconnectRequired+s.ReconnectRequired
		t.Pending, t.Revoked = t.Pending+s.Pending, t.Revoked+s.Revoked
		t.Ended, t.Soon, t.Month = t.Ended+s.Ended, t.Soon+s.Soon, t.Month+s.Month
		t.ReadsPerMinute += s.ReadsPerMinute
	}
	return t
}

// overviews are the latest of each environment, made for all who ask.
type overviews struct {
	flights singleflight.Group
	mu      sync.Mutex
	latest  map[string]timedOverview
}

type timedOverview struct {
	Overview

	until time.Time
}

// Overview answers how the caller's environment stands, some seconds ago at most.
func (v *Vault) Overview(ctx context.Context, caller Caller) (Overview, error) {
	if err := v.allow(ctx, caller, ScopeConnectionsRead, ""); err != nil {
		return Overview{}, err
	}
	o, err := v.overview(ctx, caller.EnvironmentID)
	if !caller.May(ScopeAPIKeysRead) && !caller.May(ScopeAPIKeysWrite) {
		o.Keys = nil
	}
	if len(caller.Integrations) > 0 { // the rest is not told apart by integration
		o.Standings = slices.DeleteFunc(slices.Clone(o.Standings), func(s Standing) bool { return !slices.Contains(caller.Integrations, s.Key) })
		o.Ends, o.Untold = [ForecastDays]int{}, 0
	}
	return o, err
}

func (v *Vault) overview(ctx context.Context, environmentID string) (Overview, error) {
	v.overviews.mu.Lock()
	latest, ok := v.overviews.latest[environmentID]
	v.overviews.mu.Unlock()
	if ok && v.now().Before(latest.until) {
		return latest.Overview, nil
	}
	// Whoever asked first may go away; the others wait for it.
	made := v.overviews.flights.DoChan(environmentID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), overviewTime)
		defer cancel()
		began := time.Now()
		o, err := v.lookOver(ctx, environmentID)
		if err != nil {
			return Overview{}, fmt.Errorf("looking over environment %s: %w", environmentID, err)
		}
		until := o.At.Add(max(overviewEvery, overviewShare*time.Since(began)))
		v.overviews.mu.Lock()
		v.overviews.latest[environmentID] = timedOverview{o, until}
		v.overviews.mu.Unlock()
		return o, nil
	})
	select {
	case r := <-made:
		o, _ := r.Val.(Overview)
		return o, r.Err
	case <-ctx.Done():
		return Overview{}, ctx.Err()
	}
}

// lookOver counts.
func (v *Vault) lookOver(ctx context.Context, environmentID string) (Overview, error) {
	now := v.now()
	o := Overview{At: now, ReadsSince: now.Add(-readsWindow)}
	integrations, err := v.store.Integrations(ctx, environmentID, nil, Page{})
	if err != nil {
		return Overview{}, err
	}
	by := make(map[string]*Standing, len(integrations))
	o.Standings = make([]Standing, len(integrations))
	for i, in := range integrations {
		o.Standings[i] = Standing{IntegrationID: in.ID, Key: in.Key, Title: in.Title, Provider: in.Provider}
		by[in.ID] = &o.Standings[i]
	}
	of := func(id string) *Standing {
		if by[id] == nil { // made a moment ago; the next overview has it
			by[id] = &Standing{}
		}
		return by[id]
	}
	statuses, err := v.store.CountByStatus(ctx, environmentID)
	if err != nil {
		return Overview{}, err
	}
	for _, c := range statuses {
		s := of(c.IntegrationID)
		switch c.Status {
		case StatusActive:
			s.Active = c.Count
		case StatusReconnectRequired:
			s.ReconnectRequired = c.Count
		case StatusPending:
			s.Pending = c.Count
		case StatusRevoked:
			s.Revoked = c.Count
		}
	}
	failing, err := v.store.CountFailing(ctx, environmentID)
	if err != nil {
		return Overview{}, err
	}
	for _, c := range failing {
		of(c.IntegrationID).Failing = c.Count
	}
	ends, err := v.store.CountEnds(ctx, environmentID, now, ForecastDays)
	if err != nil {
		return Overview{}, err
	}
	for _, c := range ends {
		s := of(c.IntegrationID)
		if c.Day < 0 {
			s.Ended += c.Count
			continue
		}
		if s.Month += c.Count; c.Day < SoonDays {
			s.Soon += c.Count
		}
		o.Ends[c.Day] += c.Count
	}
	if err := v.readRates(ctx, environmentID, &o, of); err != nil {
		return Overview{}, err
	}
	if o.Untold, err = v.store.CountUntold(ctx, environmentID, now.Add(-untoldAfter), MaxUntold); err != nil {
		return Overview{}, err
	}
	if o.Keys, err = v.store.KeysEnding(ctx, environmentID, now, now.Add(keysSoon), maxKeysSoon); err != nil {
		return Overview{}, err
	}
	slices.SortFunc(o.Standings, func(a, b Standing) int { return cmp.Compare(a.Key, b.Key) })
	return o, nil
}

// readRates fills in how often headers are read: over the last minutes, or, where
// there is more in the trail than is worth adding up, over as long as the newest
// of it takes.
func (v *Vault) readRates(ctx context.Context, environmentID string, o *Overview, of func(string) *Standing) error {
	recent, err := v.store.RecentReads(ctx, environmentID, firstID(entryPrefix, o.ReadsSince), readsSampled)
	if err != nil {
		return err
	}
	window := readsWindow
	if recent.Entries >= readsSampled {
		if oldest, ok := idTime(recent.Oldest); ok {
			window = min(window, max(o.At.Sub(oldest), time.Second))
			o.ReadsSince = o.At.Add(-window)
		}
	}
	for _, c := range recent.By {
		of(c.IntegrationID).ReadsPerMinute = float64(c.Count) / window.Minutes()
	}
	return nil
}
