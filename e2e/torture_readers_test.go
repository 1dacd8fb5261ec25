package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// line is one connection under torture: a line of refresh tokens at the provider.
type line struct {
	id     string // of the connection
	family string // of its tokens, at the provider

	mu sync.Mutex
	// newest is when an access token with a higher number than any before was
	// first handed out, with the numbers.
	newest []handedOut
}

type handedOut struct {
	number int
	at     time.Time
}

// before is the newest number that somebody had been given before a time.
func (l *line) before(at time.Time) (latest handedOut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.newest {
		if h.at.Before(at) {
			latest = h
		}
	}
	return latest
}

func (l *line) given(h handedOut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.newest); n == 0 || l.newest[n-1].number < h.number {
		l.newest = append(l.newest, h)
	}
}

// How the readers go about it.
const (
	readsASecond = 100
	// readPatience is how long a reader waits. Those of a stopped broker pile up
	// for as long.
	readPatience = 15 * time.Second
	maxWrong     = 1000
)

// readers ask all brokers for headers all along, whether those before were
// answered or not, and try each answer at the provider at once.
//
// Whoever has to link again does, so that there are always as many connections
// to be tortured.
type readers struct {
	members  []*member
	provider *sandbox.TimeLog
	http     *http.Client
	link     func(ctx context.Context, m *member, life time.Duration) (*line, error)

	mu       sync.Mutex
	lines    []*line // the live ones
	retired  []*line // whose end user had to link again, and did
	outcomes map[string]int
	longest  time.Duration // that a reader waited for headers
	wrong    []wrongRead
}

// wrongRead is an answer that may not be.
type wrongRead struct {
	line     *line
	broker   int
	asked    time.Time
	answered time.Time
	what     string
	// family says that the token worked no longer because its family was
	// revoked, and is right or wrong with that.
	family bool
	// stale says that the token works, but somebody was given a newer one
	// before; since then.
	stale bool
	since time.Time
	// late says that the token worked when it was asked for, and long no more
	// when the answer came.
	late bool
}

// run asks until ctx ends, and returns when the last answer is there.
func (r *readers) run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	tick := time.NewTicker(time.Second / readsASecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			asking.Go(func() {
				l, m := r.any(), r.members[rand.IntN(len(r.members))]
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readPatience)
				defer cancel()
				r.ask(ctx, l, m)
			})
		}
	}
}

// ask does one thing that backends do.
func (r *readers) ask(ctx context.Context, l *line, m *member) {
	var err error
	switch rand.IntN(40) {
	case 0:
		var a answer
		a, err = r.call(ctx, m, http.MethodPost, "/v1/connections/"+l.id+"/refresh", nil)
		r.count("refresh now: " + outcome(a, err))
		return
	case 1, 2, 3:
		_, err = r.read(ctx, l, m, "") // a minute, which is longer than the tokens live
	default:
		_, err = r.read(ctx, l, m, "?min_ttl=5")
	}
	if !errors.Is(err, errReconnect) || !r.retire(l) {
		return
	}
	for _, m := range r.members { // some may be dead just now
		if l, err = r.link(ctx, m, accessLife); err == nil {
			r.add(l)
			return
		}
	}
}

func (r *readers) any() *line {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines[rand.IntN(len(r.lines))]
}

func (r *readers) add(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, l)
}

// retire takes a line out of the live ones, and reports whether it was there.
func (r *readers) retire(l *line) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.lines, l)
	if i < 0 || len(r.lines) == 1 {
		return false
	}
	r.lines = slices.Delete(r.lines, i, i+1)
	r.retired = append(r.retired, l)
	return true
}

// all is every line that there was.
func (r *readers) all() []*line {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.lines, r.retired)
}

// errReconnect says that the end user has to link again.
var errReconnect = errors.New("reconnect required")

// read fetches headers and tries them. It answers the access token's place in
// its family and when it was issued, or why there is none.
func (r *readers) read(ctx context.Context, l *line, m *member, query string) (sandbox.AccessToken, error) {
	asked := time.Now()
	a, err := r.call(ctx, m, http.MethodGet, "/v1/connections/"+l.id+"/headers"+query, nil)
	answered := time.Now()
	r.count("headers: " + outcome(a, err))
	if err != nil {
		return sandbox.AccessToken{}, err
	}
	r.waited(answered.Sub(asked))
	if a.status == http.StatusConflict {
		return sandbox.AccessToken{}, errReconnect
	}
	if a.status != http.StatusOK {
		return sandbox.AccessToken{}, fmt.Errorf("%d %s", a.status, a.body)
	}
	var h headers
	if err := json.Unmarshal(a.body, &h); err != nil {
		return sandbox.AccessToken{}, err
	}
	status := r.use(ctx, h)
	r.count(fmt.Sprintf("at the provider: %d", status))
	token, ok := r.provider.AccessToken(strings.TrimPrefix(h.Headers["Authorization"], "Bearer "))
	r.judge(wrongRead{line: l, broker: m.number, asked: asked, answered: answered}, token, ok)
	l.given(handedOut{token.Number, answered})
	if status == http.StatusUnauthorized {
		a, err := r.call(ctx, m, http.MethodPost, "/v1/connections/"+l.id+"/rejected", map[string]any{"generation": h.Generation})
		r.count("rejected: " + outcome(a, err))
		return token, errors.New("the provider refuses the headers")
	}
	return token, nil
}

// atOnce is how long it takes from the decision to answer to the answer, on a
// machine that does all this at once.
const atOnce = 2 * time.Second

// judge holds an answer to what the provider knows.
func (r *readers) judge(w wrongRead, token sandbox.AccessToken, known bool) {
	newer := w.line.before(w.asked)
	switch {
	case !known:
		w.what = "an access token that nobody issued"
	case token.Family != w.line.family:
		w.what = "somebody else's access token, of family " + token.Family
	case token.Ended.Before(w.asked):
		w.what = fmt.Sprintf("access token %d, which ended %.3fs before it was asked for", token.Number, w.asked.Sub(token.Ended).Seconds())
		w.family = r.revokedAt(w.line.family).Equal(token.Ended)
	case token.Ended.Before(w.answered.Add(-atOnce)):
		w.what = fmt.Sprintf("access token %d, which ended %.3fs before the answer was there", token.Number, w.answered.Sub(token.Ended).Seconds())
		w.late = true
	case token.Number < newer.number:
		w.what = fmt.Sprintf("access token %d, when %d had been handed out %.3fs before", token.Number, newer.number, w.asked.Sub(newer.at).Seconds())
		w.stale, w.since = true, newer.at
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) < maxWrong {
		r.wrong = append(r.wrong, w)
	}
}

func (r *readers) revokedAt(family string) time.Time {
	for _, f := range r.provider.Families() {
		if f.ID == family {
			return f.RevokedAt
		}
	}
	return time.Time{}
}

func (r *readers) waited(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.longest = max(r.longest, d)
}

func (r *readers) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[what]++
}

func (r *readers) call(ctx context.Context, m *member, method, path string, body any) (answer, error) {
	return backend{url: m.url, key: apiKey, http: r.http}.ask(ctx, method, path, body, "application/json")
}

// use calls the provider with the headers.
func (r *readers) use(ctx context.Context, h headers) (status int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.provider.URL()+"/soxdemo/api/v1/user", http.NoBody)
	if err != nil {
		return 0
	}
	for name, value := range h.Headers {
		req.Header.Set(name, value)
	}
	res, err := r.http.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// outcome is how a request ended, for counting.
func outcome(a answer, err error) string {
	if refused := (*url.Error)(nil); errors.As(err, &refused) {
		if refused.Timeout() {
			return fmt.Sprintf("no answer in %v", readPatience)
		}
		return "no broker"
	}
	if err != nil {
		return "no whole answer"
	}
	var p struct{ Code string }
	if a.status >= http.StatusBadRequest && json.Unmarshal(a.body, &p) == nil {
		return fmt.Sprintf("%d %s", a.status, p.Code)
	}
	return fmt.Sprint(a.status)
}
