package sandbox

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// RefreshCall is the books on one presentation of a refresh token. Times are
// the service's own.
type RefreshCall struct {
	Family string
	// Token is which of the family's refresh tokens came, counted from 1.
	Token int
	// RedirectURI is what came with it. Clients that give each of their
	// processes one of its own can be told apart by it.
	RedirectURI string
	// Fault is the name of the fault that struck, see [Named].
	Fault string

	Arrived time.Time
	// Spent is when this call used the token up; zero where it did not.
	Spent time.Time
	// Reused says that the token had been used up before.
	Reused bool
	// Granted says that new tokens were made, whatever became of the answer.
	Granted bool
	// Ended is when the service was done with it; zero while it is under way.
	Ended  time.Time
	Status int // 0 where no status line went out
	// Delivered says that the service sent the answer that it meant to send,
	// whole, to a client that was still there. It cannot know more.
	Delivered bool
}

// Refreshes lists the books on every refresh token that came and was known, in
// the order of arrival. They are kept for the life of the service.
func (t *TimeLog) Refreshes() []RefreshCall {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]RefreshCall, len(t.ledger))
	for i, c := range t.ledger {
		out[i] = *c
	}
	return out
}

// Revocations counts, by family, how often a client has ended its refresh token
// (RFC 7009), spent or not, ended before or not.
func (t *TimeLog) Revocations() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.revocations)
}

// AccessToken is what the service knows about an access token.
type AccessToken struct {
	Family string // "" without offline_access
	// Number is the token's place among the access tokens of its family, from 1.
	Number int
	Issued time.Time
	// Ended is when it stops working or has stopped: its expiry, or its own or
	// its family's revocation.
	Ended time.Time
}

// AccessToken looks an access token up, working or not.
func (t *TimeLog) AccessToken(value string) (AccessToken, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, ok := t.access[value]
	if !ok {
		return AccessToken{}, false
	}
	out := AccessToken{Number: a.number, Issued: a.issued, Ended: a.end()}
	if a.family != nil {
		out.Family = a.family.ID
	}
	return out, true
}

// Tokens is what a client holds after somebody has signed in and agreed.
type Tokens struct {
	Family  string
	Access  string
	Refresh string
	Expires time.Time // of the access token
}

// Agree hands out tokens as if the account with this e-mail address had signed
// in and agreed, without the flow. The family is bound to no redirect URI: a
// refresh may name any that the client may use. The access token lives as long as
// said, those after it as in the settings.
func (t *TimeLog) Agree(clientID, email string, life time.Duration) (Tokens, error) {
	client, ok := t.client(clientID)
	if !ok {
		return Tokens{}, fmt.Errorf("sandbox: there is no client %q", clientID)
	}
	acc, ok := t.accounts.Get(email)
	if !ok {
		return Tokens{}, fmt.Errorf("sandbox: there is no account %q", email)
	}
	g := &grant{
		client: client, email: acc.Email, subject: acc.ID, issuer: t.Issuer(),
		scope: client.Scopes, sid: randomHex(16), authTime: t.now(),
	}
	t.mu.Lock()
	f := t.newFamily(g, "", t.Settings().RefreshLife)
	head := f.Head
	t.mu.Unlock()
	access, err := t.newAccessToken(issue{grant: g, family: f, refresh: head, scope: g.scope, life: life})
	if err != nil {
		return Tokens{}, fmt.Errorf("sandbox: making an access token: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Tokens{Family: f.ID, Access: access, Refresh: head, Expires: t.access[access].expires}, nil
}

func (f *family) allowsRedirect(uri string) bool {
	if f.redirectURI == "" {
		return f.grant.client.allowsRedirect(uri)
	}
	return f.redirectURI == uri
}

type recordKey struct{}

// recordOf is the record that watchRefresh began; a spare one for what it did
// not know.
func recordOf(r *http.Request) *RefreshCall {
	if rec, ok := r.Context().Value(recordKey{}).(*RefreshCall); ok {
		return rec
	}
	return &RefreshCall{}
}

// watchRefresh goes around the token endpoint, faults included, and keeps the
// books: what came, how many refreshes of a family are under way, and whether
// the answer went out.
func (t *TimeLog) watchRefresh(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		tok, ok := t.refresh[r.PostForm.Get("refresh_token")]
		if !ok {
			t.mu.Unlock()
			next.ServeHTTP(w, r)
			return
		}
		f := tok.family
		f.inFlight++
		f.MaxInFlight = max(f.MaxInFlight, f.inFlight)
		rec := &RefreshCall{Family: f.ID, Token: tok.number, RedirectURI: r.PostForm.Get("redirect_uri"), Arrived: t.now()}
		t.ledger = append(t.ledger, rec)
		before := f.Head
		t.mu.Unlock()

		returned := false
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			f.inFlight--
			rec.Ended, rec.Status = t.now(), sw.status
			if e, ok := entryOf(r); ok {
				rec.Fault = e.log.faultOf(e.call)
			}
			rec.Delivered = returned && r.Context().Err() == nil && (!rec.Granted || sw.status == http.StatusOK)
			if f.Head != before {
				f.Undelivered = !rec.Delivered
			}
		}()
		next.ServeHTTP(sw, r.WithContext(context.WithValue(r.Context(), recordKey{}, rec)))
		returned = true
	})
}
