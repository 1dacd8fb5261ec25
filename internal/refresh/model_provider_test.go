package refresh_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// reuse is what a spent refresh token does at the provider, as in provider files.
type modelReuse string

const (
	reuseRevokes   modelReuse = "revoke" // it ends the whole family: theft detection
	reuseIsRefused modelReuse = "reject"
	reuseHasGrace  modelReuse = "grace" // it buys another for a while, in the place of the newest
)

const (
	modelGrace = 5 * time.Minute
	accessLife = 10 * time.Minute
)

// modelAnswer is what the provider does with the first refresh.
type modelAnswer struct {
	before, after time.Duration // it waits before and after it gives out new tokens
	how           modelFate
}

type modelFate string

const (
	fateAnswered modelFate = ""
	fateCut      modelFate = "cut"           // given out, and the connection breaks
	fateCutEarly modelFate = "cut early"     // not given out, and the connection breaks
	fateFailed   modelFate = "500"           // not given out, and said to have failed
	fateFailedIn modelFate = "500 after all" // given out, and said to have failed
	fateBroken   modelFate = "not JSON"      // given out in a form that nobody can read
)

// modelProvider gives out one-time refresh tokens and keeps the books.
type modelProvider struct {
	world *modelWorld
	reuse modelReuse
	// kills: a new access token ends the one before.
	kills bool
	first modelAnswer

	mu      sync.Mutex
	tokens  []*modelToken // refresh tokens; each has an access token of the same name
	revoked bool
	calls   []*modelCall
}

// modelToken is a refresh token and the access token that came with it. Their
// names are r0 and a0, r1 and a1, and so on.
type modelToken struct {
	spent   time.Time
	spender *modelCall
	// replaced: nobody has sent it, but whoever sent the one before once more was
	// given another in its place. That call has been judged.
	replaced bool
	maker    *modelCall // nil for the first
	ends     time.Time  // of the access token
	ended    time.Time  // when the provider ended the access token before that
	// version of the row that had it in a header first, 0 for none
	version int
}

// modelCall is one refresh, from its arrival on.
type modelCall struct {
	by       *modelProcess
	token    int
	claim    *modelClaim // what the sender held when it sent
	arrived  time.Time
	answer   modelAnswer // what the provider meant to do with it
	made     int         // the token that it made, 0 for none
	reused   bool
	refused  bool
	received atomic.Bool // a process that went on has read the answer
	over     atomic.Bool // the sender has its answer, or has given up waiting
}

// dial is a connection from p to the provider.
func (m *modelProvider) dial(p *modelProcess) (net.Conn, error) {
	if err := p.step("dial"); err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	m.world.hangUpAtTheEnd(near, far)
	c := &modelConn{Conn: near, p: p}
	go m.serve(c, far)
	return c, nil
}

// modelConn is the process's end of a connection. Below it there is only the
// wire: what is stopped before its first byte is sent when it goes on.
type modelConn struct {
	net.Conn

	p      *modelProcess
	call   atomic.Pointer[modelCall] // what was sent over it, once it has arrived
	wrote  atomic.Bool
	read   atomic.Bool
	closed atomic.Bool
}

func (c *modelConn) Write(b []byte) (int, error) {
	if !c.wrote.Swap(true) {
		if err := c.p.step("send"); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

func (c *modelConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.read.Swap(true) {
		if err := c.p.step("receive"); err != nil {
			return 0, err
		}
		if call := c.call.Load(); call != nil && call.answer.how == fateAnswered && !c.closed.Load() && time.Since(call.arrived) < modelDeadline {
			call.received.Store(true)
		}
	}
	return n, err
}

func (c *modelConn) Close() error {
	c.closed.Store(true)
	if call := c.call.Load(); call != nil {
		call.over.Store(true)
	}
	return c.Conn.Close()
}

func (m *modelProvider) serve(c *modelConn, far net.Conn) {
	defer far.Close()
	req, err := http.ReadRequest(bufio.NewReader(far))
	if err != nil {
		return
	}
	if req.URL.Path == "/resolve" {
		respond(far, http.StatusOK, map[string]any{"url": modelRoot})
		return
	}
	if err := req.ParseForm(); err != nil {
		return
	}
	var token int
	if _, err := fmt.Sscanf(req.PostForm.Get("refresh_token"), "r%d", &token); err != nil {
		respond(far, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	call := m.arrive(c, token)
	answer := call.answer
	<-time.After(answer.before)
	made := 0
	if answer.how != fateCutEarly && answer.how != fateFailed {
		made = m.spend(call)
	}
	<-time.After(answer.after)
	switch {
	case answer.how == fateCut || answer.how == fateCutEarly:
	case answer.how == fateFailed || answer.how == fateFailedIn:
		respond(far, http.StatusInternalServerError, map[string]any{})
	case call.refused:
		respond(far, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
	case answer.how == fateBroken:
		respond(far, http.StatusOK, "")
	default:
		respond(far, http.StatusOK, map[string]any{
			"access_token": fmt.Sprintf("a%d", made), "refresh_token": fmt.Sprintf("r%d", made),
			"token_type": "Bearer", "expires_in": int(accessLife / time.Second),
		})
	}
}

func respond(far net.Conn, status int, body any) {
	blob, _ := json.Marshal(body)
	fmt.Fprintf(far, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), len(blob), blob)
}

// arrive enters a refresh into the books before anything comes of it.
func (m *modelProvider) arrive(c *modelConn, token int) *modelCall {
	call := &modelCall{by: c.p, token: token, arrived: time.Now()}
	m.world.sent(call)
	m.mu.Lock()
	if len(m.calls) == 0 {
		call.answer = m.first
	}
	m.calls = append(m.calls, call)
	m.mu.Unlock()
	c.call.Store(call)
	return call
}

// spend uses the token of a call up, if it still is of use.
func (m *modelProvider) spend(call *modelCall) (made int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if call.token >= len(m.tokens) {
		call.refused = true
		return 0
	}
	t := m.tokens[call.token]
	if !t.spent.IsZero() {
		call.reused = true
		if !t.replaced {
			m.world.reused(call, t.spender)
		}
		if m.reuse == reuseRevokes {
			m.revoked = true
		}
	}
	if !m.good(call.token) {
		call.refused = true
		m.world.note("provider", fmt.Sprintf("refuses r%d of %s", call.token, call.by.name))
		return 0
	}
	now := time.Now()
	newest := m.tokens[len(m.tokens)-1]
	if t.spent.IsZero() {
		t.spent, t.spender = now, call
	} else if newest.spent.IsZero() { // it never arrived, it seems, and gives way
		newest.spent, newest.spender, newest.replaced = now, call, true
	}
	if m.kills {
		for _, old := range m.tokens {
			if old.ended.IsZero() {
				old.ended = now
			}
		}
	}
	m.tokens = append(m.tokens, &modelToken{maker: call, ends: now.Add(accessLife)})
	call.made = len(m.tokens) - 1
	m.world.note("provider", fmt.Sprintf("gives r%d for r%d to %s", call.made, call.token, call.by.name))
	return call.made
}

// good reports whether the provider would take a refresh token. m.mu is held.
func (m *modelProvider) good(token int) bool {
	if m.revoked || token < 0 || token >= len(m.tokens) {
		return false
	}
	t := m.tokens[token]
	return t.spent.IsZero() || m.reuse == reuseHasGrace && time.Since(t.spent) < modelGrace
}

// mend ends what was wrong with the provider.
func (m *modelProvider) mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.first = modelAnswer{}
}

func (m *modelProvider) honours(token int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.good(token)
}

// newest is the refresh token given out last, and who got it.
func (m *modelProvider) newest() (int, *modelToken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.tokens) - 1
	return n, m.tokens[n]
}

func (m *modelProvider) book(token int) (t modelToken, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if token < 0 || token >= len(m.tokens) {
		return modelToken{}, false
	}
	return *m.tokens[token], true
}

func (m *modelProvider) isRevoked() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revoked
}

func (m *modelProvider) counted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.calls)
}

// tokenNumber reads "a7" or "r7"; -1 is neither.
func tokenNumber(name string) int {
	n := -1
	if strings.HasPrefix(name, "a") || strings.HasPrefix(name, "r") {
		if _, err := fmt.Sscanf(name[1:], "%d", &n); err != nil {
			return -1
		}
	}
	return n
}

// dialler is the network as a process sees it.
func (m *modelProvider) dialler(p *modelProcess) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return m.dial(p) }
}
