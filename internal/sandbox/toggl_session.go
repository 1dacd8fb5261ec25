package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// login answers POST /api/sessions: JSON in, a cookie out.
func (t *Toggl) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, "Invalid request body", http.StatusBadRequest)
		return
	}
	acc, ok := t.accounts.byPassword(in.Email, in.Password)
	if !ok {
		togglForbidden(w)
		return
	}
	cookie, err := t.newSession(acc)
	if err != nil {
		t.log.Error("sandbox: making a Toggl session", "error", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	http.SetCookie(w, cookie)
	writeJSON(w, http.StatusOK, map[string]any{"id": json.Number(acc.ID), "email": acc.Email, "fullname": acc.Name})
}

// newSession signs the JWT that is the cookie, and remembers it: a session is
// alive while it is remembered and its exp is not reached.
func (t *Toggl) newSession(acc Account) (*http.Cookie, error) {
	set := t.Settings()
	now := t.now()
	expires := now.Add(set.SessionLife)
	payload, err := json.Marshal(map[string]any{
		"iat": now.Unix(), "exp": expires.Unix(), "sub": acc.ID, "jti": randomHex(16),
	})
	if err != nil {
		return nil, fmt.Errorf("encoding session claims: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: t.key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("making session signer: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return nil, fmt.Errorf("signing session: %w", err)
	}
	value, err := jws.CompactSerialize()
	if err != nil {
		return nil, fmt.Errorf("serializing session: %w", err)
	}
	t.secrets.add(value)

	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions[value] = togglSession{email: acc.Email, expires: expires}
	return &http.Cookie{
		Name: set.CookieName, Value: value, Path: "/",
		HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	}, nil
}

// logout answers DELETE /api/sessions: the session is dead afterwards.
func (t *Toggl) logout(w http.ResponseWriter, r *http.Request) {
	if _, ok := t.bySession(r); !ok {
		togglForbidden(w)
		return
	}
	c, err := r.Cookie(t.Settings().CookieName)
	if err != nil {
		togglForbidden(w)
		return
	}
	t.mu.Lock()
	delete(t.sessions, c.Value)
	t.mu.Unlock()
	w.WriteHeader(http.StatusOK)
}

func (t *Toggl) bySession(r *http.Request) (Account, bool) {
	c, err := r.Cookie(t.Settings().CookieName)
	if err != nil {
		return Account{}, false
	}
	t.mu.Lock()
	s, ok := t.sessions[c.Value]
	t.mu.Unlock()
	if !ok || !t.now().Before(s.expires) {
		return Account{}, false
	}
	acc, ok := t.accounts.Get(s.email)
	return acc, ok && !acc.Disabled
}

// Sessions is how many sessions are alive.
func (t *Toggl) Sessions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, s := range t.sessions {
		if t.now().Before(s.expires) {
			n++
		}
	}
	return n
}

// EndSessions kills every session, as "sign out everywhere" does.
func (t *Toggl) EndSessions() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.sessions)
}
