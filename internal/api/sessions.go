package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// maxWait is how long a reader may wait for a session, in seconds.
const maxWait = 30

// newSession is a connect session as its maker gets it, once.
type newSession struct {
	ID         string    `json:"id"`
	Token      string    `json:"token"`
	ConnectURL string    `json:"connect_url"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// POST /v1/connect-sessions
func (h *Handler) createSession(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Kind               vault.SessionKind `json:"kind"`
		EndUser            vault.EndUser     `json:"end_user"`
		Integrations       []string          `json:"integrations"`
		ConnectionID       string            `json:"connection_id"`
		AllowAccountChange bool              `json:"allow_account_change"`
		ReturnURL          string            `json:"return_url"`
		Completion         vault.Completion  `json:"completion"`
		Tags               map[string]string `json:"tags"`
		TTLSeconds         *int64            `json:"ttl_seconds"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	n := vault.NewSession{
		Kind: in.Kind, EndUser: in.EndUser, Integrations: in.Integrations, ConnectionID: in.ConnectionID, AllowAccountChange: in.AllowAccountChange,
		ReturnURL: in.ReturnURL, Completion: in.Completion, Tags: in.Tags, TTL: sessionTTL(in.TTLSeconds),
	}
	s, token, err := h.vault.CreateSession(c.Request().Context(), caller, n)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, newSession{
		ID: s.ID, Token: token.Reveal(), ConnectURL: h.publicURL.JoinPath("connect", token.Reveal()).String(), ExpiresAt: s.ExpiresAt,
	})
}

// sessionTTL is 0 where the vault is to choose, and a time that it refuses where
// there is no such time.
func sessionTTL(seconds *int64) time.Duration {
	switch {
	case seconds == nil:
		return 0
	case *seconds <= 0 || *seconds > int64(vault.MaxSessionTTL/time.Second):
		return -1
	}
	return time.Duration(*seconds) * time.Second
}

// session is where a connect session stands. One of kind manage ends completed
// when its end user is done, without a connection.
type session struct {
	ID           string              `json:"id"`
	Status       vault.SessionStatus `json:"status"`
	ConnectionID *string             `json:"connection_id,omitempty"`
	Error        *string             `json:"error,omitempty"`
	ExpiresAt    time.Time           `json:"expires_at"`
}

// GET /v1/connect-sessions/{id}
func (h *Handler) getSession(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	wait := q.Int("wait", 0, 0, maxWait)
	if err := q.Err(); err != nil {
		return err
	}
	s, err := h.vault.WaitSession(c.Request().Context(), caller, c.Param("id"), time.Duration(wait)*time.Second)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, session{
		ID: s.ID, Status: s.Status, ConnectionID: wordOrNull(s.ConnectionID), Error: wordOrNull(s.Error), ExpiresAt: s.ExpiresAt,
	})
}

// POST /v1/connect-sessions/{id}/redeem
func (h *Handler) redeemSession(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Result    vault.Secret `json:"result"`
		EndUserID string       `json:"end_user_id"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.EndUserID == "" {
		// A host that has lost track of who is signed in must not be taken for
		// one that sees somebody else: that would cost the connection.
		return fault.InvalidField("/end_user_id", "Is required.")
	}
	conn, err := h.vault.Redeem(c.Request().Context(), caller, c.Param("id"), in.Result, in.EndUserID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showConnection(conn))
}
