package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Service is what the three services have in common: an address, accounts,
// faults, and books on what was asked of them. Everything is safe for
// concurrent use.
type Service struct {
	name     string
	now      func() time.Time
	log      *slog.Logger
	mux      *http.ServeMux
	accounts *Accounts
	faults   *Faults
	calls    *callLog
	secrets  *secretBook

	mu  sync.RWMutex
	url string
}

func newService(name string, cfg Config, accounts []Account, newToken func() string) *Service {
	s := &Service{
		name:    name,
		now:     cfg.Now,
		log:     cfg.Log,
		mux:     http.NewServeMux(),
		faults:  newFaults(),
		calls:   newCallLog(),
		secrets: newSecretBook(),
	}
	s.accounts = newAccounts(accounts, s.secrets, newToken)
	return s
}

// Name is the service's name in a provider catalog.
func (s *Service) Name() string { return s.name }

// URL is the service's root, without a slash at the end; "" until it is
// started or [Service.SetURL] was called.
func (s *Service) URL() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.url
}

// SetURL says under which root the service is reached, for a handler mounted
// by somebody else (httptest). [Start] does it itself.
func (s *Service) SetURL(u string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.url = strings.TrimSuffix(u, "/")
}

// baseURL is URL, or where that is unset the address by which r came, which
// is what IdentityServer does without a configured issuer.
func (s *Service) baseURL(r *http.Request) string {
	if u := s.URL(); u != "" {
		return u
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Accounts is the service's directory.
func (s *Service) Accounts() *Accounts { return s.accounts }

// Faults is the service's switchboard of faults.
func (s *Service) Faults() *Faults { return s.faults }

// Secrets lists every secret that exists or ever existed at this service:
// passwords, tokens, cookies, codes, id_tokens, client secrets, PKCE
// verifiers, and account credentials in the base64 in which Basic carries
// them. A leak test searches dumps and logs for each of them.
func (s *Service) Secrets() []string { return s.secrets.all() }

// Calls lists the latest requests to an endpoint, oldest first; at least the
// last 9,000 of the service are kept.
func (s *Service) Calls(e Endpoint) []Call { return s.calls.list(e) }

// Count is how many requests to an endpoint arrived since the start or the
// last ResetCalls, answered or not.
func (s *Service) Count(e Endpoint) int { return s.calls.count(e) }

// WaitCount returns once an endpoint was called at least n times, whether or
// not the calls are answered yet, or with ctx's error.
func (s *Service) WaitCount(ctx context.Context, e Endpoint, n int) error {
	return s.calls.wait(ctx, func() bool { return s.calls.countLocked(e) >= n })
}

// WaitIdle returns once no request is under way, or with ctx's error: after a
// connection was cut, the books are complete only then.
func (s *Service) WaitIdle(ctx context.Context) error {
	return s.calls.wait(ctx, func() bool { return s.calls.active == 0 })
}

// ResetCalls forgets the request log and sets the counters to zero.
func (s *Service) ResetCalls() { s.calls.reset() }

// handle adds a route for one endpoint.
func (s *Service) handle(e Endpoint, pattern string, h http.HandlerFunc) {
	s.mux.Handle(pattern, s.observe(func(*http.Request) Endpoint { return e }, nil, h))
}

// observe counts, logs and runs the faults around a handler. outer, if not
// nil, goes around faults and handler both.
func (s *Service) observe(name func(*http.Request) Endpoint, outer func(http.Handler) http.Handler, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := name(r)
		call := s.calls.begin(Call{
			At:          s.now(),
			Endpoint:    e,
			Method:      r.Method,
			Path:        r.URL.Path,
			Auth:        authKind(r),
			ContentType: r.Header.Get("Content-Type"),
			Params:      paramNames(r),
		})
		// The status is in the books before the client can have read it.
		sw := &statusWriter{ResponseWriter: w, note: func(status int) { s.calls.answered(call, status) }}
		defer func() { // also when a fault panics to cut the connection
			s.calls.done()
			s.log.Debug("sandbox request", "provider", s.name, "endpoint", string(e),
				"method", r.Method, "auth", string(call.Auth), "status", sw.status)
		}()
		chain := s.faults.wrap(e, h)
		if outer != nil {
			chain = outer(chain)
		}
		chain.ServeHTTP(sw, r.WithContext(context.WithValue(r.Context(), entryKey{}, &entry{s.calls, call})))
	})
}

// entry is a request's own place in the log, for whatever goes around the
// handler. It travels in the request's context.
type entry struct {
	log  *callLog
	call *Call
}

type entryKey struct{}

func entryOf(r *http.Request) (*entry, bool) {
	e, ok := r.Context().Value(entryKey{}).(*entry)
	return e, ok
}

// ServeHTTP reads the body, bounded, and goes to the route. The body is read
// whole first so that a hanging fault notices when the client goes away.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if isForm(r) {
		_ = r.ParseForm() // what cannot be parsed is missing, and the handler says so
	}
	s.mux.ServeHTTP(w, r)
}

func isForm(r *http.Request) bool {
	mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && mt == "application/x-www-form-urlencoded"
}

func paramNames(r *http.Request) []string {
	names := make(map[string]struct{})
	for k := range r.URL.Query() {
		names[k] = struct{}{}
	}
	for k := range r.PostForm {
		names[k] = struct{}{}
	}
	return slices.Sorted(maps.Keys(names))
}

func authKind(r *http.Request) AuthKind {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		if _, p, _ := r.BasicAuth(); p == "api_token" {
			return AuthBasicToken
		}
		return AuthBasic
	case strings.EqualFold(scheme, "Token"):
		return AuthToken
	case strings.EqualFold(scheme, "Bearer"):
		return AuthBearer
	case scheme != "":
		return AuthOther
	case r.PostForm.Has("client_secret"):
		return AuthClientSecret
	case len(r.Cookies()) > 0:
		return AuthCookie
	}
	return AuthNone
}

// schemeValue gives the credentials of an Authorization header of this scheme.
func schemeValue(r *http.Request, scheme string) (string, bool) {
	have, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return value, ok && strings.EqualFold(have, scheme)
}

// statusWriter remembers the status that was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
	note   func(status int) // called once, before the status is sent; may be nil
}

func (w *statusWriter) WriteHeader(status int) {
	w.remember(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.remember(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) remember(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.note != nil {
		w.note(status)
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
