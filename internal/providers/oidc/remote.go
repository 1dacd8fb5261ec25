package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// maxDocument bounds what is read of a discovery document or a key set.
	maxDocument = 256 << 10
	// minInterval is the least time between two fetches of one document,
	// failed ones too: forged tokens must not become load on the provider.
	minInterval = 30 * time.Second
	// fetchTimeout bounds one fetch; the HTTP client's own may be shorter.
	fetchTimeout = 10 * time.Second
	// patience is how long somebody waits for news of a document of which
	// there is a usable, if old, copy.
	patience = 2 * time.Second
)

// remote is a document kept elsewhere: the last good copy of it, and the
// manners to ask for another. However many callers want one, one fetch is
// under way; it runs on its own context, since the request that happened to
// come first may be gone before the answer is here.
type remote[T any] struct {
	url    string
	what   string // for errors and the log
	ttl    time.Duration
	maxAge time.Duration // a copy older than that is not usable; 0 means any age
	parse  func([]byte) (T, error)
	client *http.Client
	now    func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	last    snapshot[T]
	started time.Time     // of the last fetch, whatever became of it
	flight  chan struct{} // closed when the fetch under way is done; nil if none is
}

// snapshot is what is known of a document.
type snapshot[T any] struct {
	value   T
	fetched time.Time // of value; zero means that there is none
	err     error     // of the last fetch; nil where it succeeded
}

// current answers a copy younger than the TTL where there is one to be had,
// and otherwise the last good one. The error is [Unavailable] or the context's;
// a snapshot without error has a value.
func (r *remote[T]) current(ctx context.Context) (snapshot[T], error) {
	r.mu.Lock()
	known := r.last
	r.mu.Unlock()
	if !known.fetched.IsZero() && r.now().Sub(known.fetched) < r.ttl {
		return known, nil
	}
	wait := time.Duration(0)
	if r.usable(known) {
		wait = patience
	}
	known, err := r.refetch(ctx, wait)
	if err != nil {
		return known, err
	}
	if !r.usable(known) {
		return known, r.unavailable(known.err)
	}
	return known, nil
}

func (r *remote[T]) usable(s snapshot[T]) bool {
	return !s.fetched.IsZero() && (r.maxAge == 0 || r.now().Sub(s.fetched) < r.maxAge)
}

// refetch asks for the document anew, unless it was asked for a moment ago,
// and answers what is known then. It waits for a fetch under way; wait bounds
// that, 0 means to its end. The only error is the context's.
func (r *remote[T]) refetch(ctx context.Context, wait time.Duration) (snapshot[T], error) {
	r.mu.Lock()
	if now := r.now(); r.flight == nil && (r.started.IsZero() || now.Sub(r.started) >= minInterval) {
		r.started = now
		r.flight = make(chan struct{})
		go r.fetch() //nolint:contextcheck // outlives the caller that happened to come first
	}
	flight := r.flight
	r.mu.Unlock()

	if flight != nil {
		var enough <-chan time.Time
		if wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case <-flight:
		case <-enough:
		case <-ctx.Done():
			return snapshot[T]{}, &Unavailable{What: r.what, Err: ctx.Err()}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, nil
}

// fetch runs one fetch and files its outcome.
func (r *remote[T]) fetch() {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	body, err := get(ctx, r.client, r.url)
	var value T
	if err == nil {
		value, err = r.parse(body)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.last
	r.last.err = err
	if err == nil {
		r.last.value, r.last.fetched = value, r.now()
	}
	// An outage is worth two lines, however long it lasts.
	switch {
	case err != nil && before.err == nil:
		r.log.Warn("cannot read a document of the provider", "document", r.what, "host", hostOf(r.url), "kept_copy", r.usable(before), "error", err)
	case err == nil && before.err != nil:
		r.log.Info("can read a document of the provider again", "document", r.what, "host", hostOf(r.url))
	}
	close(r.flight)
	r.flight = nil
}

// unavailable wraps the cause of a failed fetch and says when the next is due.
func (r *remote[T]) unavailable(err error) error {
	r.mu.Lock()
	due := max(0, minInterval-r.now().Sub(r.started))
	r.mu.Unlock()
	return &Unavailable{What: r.what, RetryAfter: due, Err: err}
}

// get reads one JSON document. Its errors name the host and nothing that came
// from there.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the address is not a URL")
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		// url.Error repeats the whole URL; the cause inside is enough.
		if wrapped := new(url.Error); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("asking %s: %w", hostOf(address), err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking %s: status %d", hostOf(address), res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", hostOf(address), err)
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("the answer of %s is larger than %d KiB", hostOf(address), maxDocument>>10)
	}
	return body, nil
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "?"
	}
	return u.Host
}
