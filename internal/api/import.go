package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// tellTime is how long a provider may take to be told that what it handed out
// is not wanted after all.
const tellTime = 10 * time.Second

// POST /v1/connections
func (h *Handler) importConnection(c echo.Context, caller vault.Caller) error {
	var in *struct {
		Integration string            `json:"integration"`
		Method      string            `json:"method"`
		Credential  vault.Credential  `json:"credential"`
		EndUser     vault.EndUser     `json:"end_user"`
		Tags        map[string]string `json:"tags"`
		ExternalID  string            `json:"external_id"`
		Verify      *bool             `json:"verify"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	ctx := c.Request().Context()
	n := vault.NewImport{Method: in.Method, EndUser: in.EndUser, Tags: in.Tags, ExternalID: in.ExternalID}
	var err error
	if n.Integration, err = h.vault.PrepareImport(ctx, caller, in.Integration, n); err != nil {
		return err
	}
	if n.Grant, err = h.providers.Import(ctx, n.Integration, in.Method, in.Credential, in.Verify == nil || *in.Verify); err != nil {
		return err
	}
	made, err := h.vault.ImportConnection(ctx, caller, n)
	if err != nil {
		h.disown(ctx, n, in.Credential)
		return err
	}
	return c.JSON(http.StatusCreated, showConnection(made))
}

// disown tells the provider that what it has just handed out for an import, a
// session for a password say, is not wanted: the import came to nothing. What
// the host brought along goes on being the host's.
func (h *Handler) disown(ctx context.Context, n vault.NewImport, brought vault.Credential) {
	for _, readyMade := range []string{"cookie", vault.ValueAccessToken, vault.ValueRefreshToken} {
		if !brought[readyMade].IsZero() {
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTime)
	defer cancel()
	outcome := h.providers.Revoke(ctx, n.Integration, vault.Connection{
		EnvironmentID: n.Integration.EnvironmentID, IntegrationID: n.Integration.ID, Integration: n.Integration.Key,
		Provider: n.Integration.Provider, Method: n.Method, Account: n.Grant.Account, BaseURL: n.Grant.BaseURL,
	}, n.Grant.Credential)
	httpd.RecordOf(ctx).Add(slog.String("disowned", string(outcome.Outcome)))
}
