package sandbox

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The endpoints of Toggl Track. API host and accounts host are one here.
const (
	TogglMe          Endpoint = "me"              // GET /api/v9/me
	TogglResetToken  Endpoint = "reset_token"     // POST /api/v9/me/reset_token
	TogglTimeEntries Endpoint = "time_entries"    // GET /api/v9/me/time_entries
	TogglLogin       Endpoint = "sessions.create" // POST /api/sessions
	TogglLogout      Endpoint = "sessions.delete" // DELETE /api/sessions
)

// TogglCookie is the name of the session cookie.
const TogglCookie = "__Secure-accounts-session"

// TogglSettings are Toggl's switches.
type TogglSettings struct {
	// CookieName is [TogglCookie]; older hosts say __Host-timer-session.
	CookieName string
	// SessionLife is how long a session lasts; 14 days to begin with.
	SessionLife time.Duration
}

// Toggl is the Toggl Track service: API token, e-mail and password, or a
// session cookie, and a 403 for whoever has none of them right.
type Toggl struct {
	*Service
	Switches[TogglSettings]

	key ed25519.PrivateKey

	mu       sync.Mutex
	sessions map[string]togglSession // by cookie value
}

type togglSession struct {
	email   string
	expires time.Time
}

// NewToggl makes the service without serving it; it is an [http.Handler].
func NewToggl(cfg Config) (*Toggl, error) {
	cfg = cfg.withDefaults()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("sandbox: making Toggl's session key: %w", err)
	}
	t := &Toggl{
		Service:  newService(TogglName, cfg, cfg.TogglAccounts, func() string { return randomHex(16) }),
		key:      key,
		sessions: make(map[string]togglSession),
	}
	t.Set(func(s *TogglSettings) {
		*s = TogglSettings{CookieName: TogglCookie, SessionLife: 14 * 24 * time.Hour}
	})
	t.handle(TogglMe, "GET /api/v9/me", t.authenticated(t.me))
	t.handle(TogglResetToken, "POST /api/v9/me/reset_token", t.authenticated(t.resetToken))
	t.handle(TogglTimeEntries, "GET /api/v9/me/time_entries", t.authenticated(t.timeEntries))
	t.handle(TogglLogin, "POST /api/sessions", t.login)
	t.handle(TogglLogout, "DELETE /api/sessions", t.logout)
	t.handle(Unknown, "/", http.NotFound)
	return t, nil
}

// authenticated refuses with Toggl's 403 whoever has no valid credential.
func (t *Toggl) authenticated(h func(http.ResponseWriter, *http.Request, Account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		acc, ok := t.authenticate(r)
		if !ok {
			togglForbidden(w)
			return
		}
		h(w, r, acc)
	}
}

func (t *Toggl) authenticate(r *http.Request) (Account, bool) {
	if user, pass, ok := r.BasicAuth(); ok {
		if pass == "api_token" {
			return t.accounts.byToken(user)
		}
		return t.accounts.byPassword(user, pass)
	}
	return t.bySession(r)
}

func togglForbidden(w http.ResponseWriter) {
	http.Error(w, "Incorrect username and/or password", http.StatusForbidden)
}

// me answers GET /api/v9/me. As at the real service the answer holds the API
// token, whichever way one authenticated: a client has to be careful with it.
func (t *Toggl) me(w http.ResponseWriter, r *http.Request, acc Account) {
	const since = "2015-12-10T12:00:00+00:00"
	writeJSON(w, http.StatusOK, map[string]any{
		"id":                       json.Number(acc.ID),
		"toggl_accounts_id":        "acc-" + acc.ID,
		"api_token":                acc.Token,
		"email":                    acc.Email,
		"fullname":                 acc.Name,
		"timezone":                 "Europe/London",
		"beginning_of_week":        1,
		"country_id":               nil,
		"default_workspace_id":     workspaceID(acc),
		"image_url":                t.baseURL(r) + "/images/profile.png",
		"has_password":             acc.Password != "",
		"openid_enabled":           false,
		"openid_email":             nil,
		"intercom_hash":            nil,
		"oauth_providers":          []string{"password"},
		"2fa_enabled":              false,
		"created_at":               since,
		"updated_at":               since,
		"at":                       since,
		"authorization_updated_at": since,
	})
}

// resetToken answers POST /api/v9/me/reset_token with the new token as a JSON
// string; the old one is dead.
func (t *Toggl) resetToken(w http.ResponseWriter, _ *http.Request, acc Account) {
	token, err := t.accounts.ResetToken(acc.Email)
	if err != nil {
		togglForbidden(w)
		return
	}
	writeJSON(w, http.StatusOK, token)
}

// timeEntries answers GET /api/v9/me/time_entries.
func (t *Toggl) timeEntries(w http.ResponseWriter, _ *http.Request, acc Account) {
	stop := t.now().UTC().Truncate(time.Minute)
	start := stop.Add(-90 * time.Minute)
	writeJSON(w, http.StatusOK, []map[string]any{{
		"id":           4_200_000_001,
		"workspace_id": workspaceID(acc),
		"user_id":      json.Number(acc.ID),
		"description":  "Notes on the engine",
		"start":        start.Format(time.RFC3339),
		"stop":         stop.Format(time.RFC3339),
		"duration":     5400,
		"billable":     false,
		"tags":         []string{"writing"},
	}})
}

func workspaceID(acc Account) int64 {
	n, _ := strconv.ParseInt(acc.ID, 10, 64) // 0 for an odd id is as good a workspace as any
	return n%1000 + 5_000_000
}
