package sandbox

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// Status answers with a status and a short text, without doing the work.
func Status(code int) Fault {
	return Respond(code, nil, http.StatusText(code)+"\n")
}

// Respond answers with what is given, without doing the work.
func Respond(code int, header http.Header, body string) Fault {
	return answering(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	})
}

// TooManyRequests answers 429 with Retry-After in whole seconds.
func TooManyRequests(retryAfter time.Duration) Fault {
	secs := strconv.FormatInt(int64(retryAfter/time.Second), 10)
	return Respond(http.StatusTooManyRequests, http.Header{"Retry-After": {secs}}, "Too Many Requests\n")
}

// Redirect answers 302, 307 or another redirect to a location, without doing
// the work. A 307 or 308 asks a careless client to post its secrets again.
func Redirect(code int, location string) Fault {
	return Respond(code, http.Header{"Location": {location}}, "")
}

// NotJSON answers 200 with an HTML page, as a proxy with a captive portal does.
func NotJSON() Fault {
	return Respond(http.StatusOK, http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		"<!doctype html><title>Maintenance</title><p>We will be back soon.</p>\n")
}

// Drop cuts the connection without a word and without doing the work.
func Drop() Fault {
	return answering(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// Slow waits, then does the work. Less time is waited when the client goes
// away; then the work is not done.
func Slow(d time.Duration) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if pause(r.Context(), d) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// Hang waits until release is closed, then does the work; a nil channel hangs
// for ever. When the client goes away or the sandbox is closed, the work is
// not done.
func Hang(release <-chan struct{}) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
				next.ServeHTTP(w, r)
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		})
	}
}

// Late does the work, then waits before it answers.
func Late(d time.Duration) Fault {
	return after(func(w http.ResponseWriter, r *http.Request, a *Answer) {
		if pause(r.Context(), d) {
			a.send(w)
		}
	})
}

// Withhold does the work and keeps the answer until release is closed; a nil
// channel keeps it for ever.
func Withhold(release <-chan struct{}) Fault {
	return after(func(w http.ResponseWriter, r *http.Request, a *Answer) {
		select {
		case <-release:
			a.send(w)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	})
}

// Cut does the work, announces the whole answer, sends half of it and cuts the
// connection: for a one-time token, the worst moment there is.
func Cut() Fault {
	return after(func(w http.ResponseWriter, _ *http.Request, a *Answer) {
		a.Header.Set("Content-Length", strconv.Itoa(len(a.Body)))
		a.Body = a.Body[:len(a.Body)/2]
		a.send(w)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// Trickle does the work and sends the answer byte by byte with a pause after
// each.
func Trickle(every time.Duration) Fault {
	return after(func(w http.ResponseWriter, r *http.Request, a *Answer) {
		body := a.Body
		a.Header.Set("Content-Length", strconv.Itoa(len(body)))
		a.Body = nil
		a.send(w)
		flush := http.NewResponseController(w)
		for i := range body {
			if _, err := w.Write(body[i : i+1]); err != nil {
				return
			}
			_ = flush.Flush()
			if !pause(r.Context(), every) {
				return
			}
		}
	})
}

// Oversized does the work and pads the answer in front with n spaces: still
// the same JSON, but longer than anybody should be willing to read.
func Oversized(n int) Fault {
	return Rewrite(func(a *Answer) {
		a.Body = append(bytes.Repeat([]byte{' '}, n), a.Body...)
	})
}

// Rewrite does the work and lets change alter the answer before it is sent.
func Rewrite(change func(*Answer)) Fault {
	return after(func(w http.ResponseWriter, _ *http.Request, a *Answer) {
		change(a)
		a.send(w)
	})
}

// Done makes another fault strike only after the work was done: the state has
// changed, the answer is lost. Done(Status(500)), Done(Drop()).
func Done(fault Fault) Fault {
	return func(next http.Handler) http.Handler {
		instead := fault(http.NotFoundHandler())
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(newAnswer(), r)
			instead.ServeHTTP(w, r)
		})
	}
}

// Answer is a whole HTTP answer, kept back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

type answerWriter struct{ *Answer }

func newAnswer() answerWriter { return answerWriter{&Answer{Header: make(http.Header)}} }

func (a answerWriter) Header() http.Header { return a.Answer.Header }

func (a answerWriter) WriteHeader(status int) {
	if a.Status == 0 {
		a.Status = status
	}
}

func (a answerWriter) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.Body = append(a.Body, b...)
	return len(b), nil
}

func (a *Answer) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.Header)
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// answering is a fault that leaves the work undone.
func answering(h http.HandlerFunc) Fault {
	return func(http.Handler) http.Handler { return h }
}

// after is a fault that has the work done and then the answer in its hand.
func after(f func(http.ResponseWriter, *http.Request, *Answer)) Fault {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := newAnswer()
			next.ServeHTTP(a, r)
			f(w, r, a.Answer)
		})
	}
}

// pause waits for d and reports whether ctx is still wanted then.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
