package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// revocation is a bulk revocation as the API shows it.
type revocation struct {
	ID        string           `json:"id"`
	Status    vault.BulkStatus `json:"status"`
	CreatedBy actor            `json:"created_by"`
	// Filter is null where the connections were named, or are an integration's.
	Filter         *revocationFilter `json:"filter"`
	Total          int64             `json:"total"`
	Done           int64             `json:"done"`
	Revoked        int64             `json:"revoked"`
	AlreadyRevoked int64             `json:"already_revoked"`
	Missing        int64             `json:"missing"`
	Failed         int64             `json:"failed"`
	Provider       providerCounts    `json:"provider"`
	// DeletesIntegration is null where it deletes none.
	DeletesIntegration *deletion  `json:"deletes_integration"`
	CreatedAt          time.Time  `json:"created_at"`
	StartedAt          *time.Time `json:"started_at"`
	FinishedAt         *time.Time `json:"finished_at"`
}

// deletion is the integration that a bulk revocation deletes.
type deletion struct {
	ID        string     `json:"id"`
	Key       string     `json:"key"`
	DeletedAt *time.Time `json:"deleted_at"`
}

// actor is who asked for it, as in the trail.
type actor struct {
	Kind vault.CallerKind `json:"kind"`
	ID   string           `json:"id"`
}

// providerCounts is what the providers made of the revoked ones.
type providerCounts struct {
	Revoked     int64 `json:"revoked"`
	Unsupported int64 `json:"unsupported"`
	Failed      int64 `json:"failed"`
	Waiting     int64 `json:"waiting"`
}

func showRevocation(b vault.BulkRevocation) revocation {
	shown := revocation{
		ID: b.ID, Status: b.Status, CreatedBy: actor{b.ActorKind, b.ActorID},
		Total: b.Total, Done: b.Done(), Revoked: b.Revoked, AlreadyRevoked: b.AlreadyRevoked, Missing: b.Missing, Failed: b.Failed,
		Provider:  providerCounts{Revoked: b.ToldRevoked, Unsupported: b.ToldUnsupported, Failed: b.ToldFailed, Waiting: b.Untold()},
		CreatedAt: b.CreatedAt, StartedAt: orNull(b.StartedAt), FinishedAt: orNull(b.FinishedAt),
	}
	if f := b.Filter; f != nil {
		shown.Filter = &revocationFilter{
			Integration: f.Integration, EndUserID: f.EndUserID, Status: f.Status, Failing: f.Failing,
			LastRead: f.LastRead, Expires: f.Expires, Tags: f.Tags, Query: f.Query,
		}
	}
	if d := b.Deletion; d.IntegrationID != "" {
		shown.DeletesIntegration = &deletion{ID: d.IntegrationID, Key: d.Key, DeletedAt: orNull(d.DeletedAt)}
	}
	return shown
}

// newRevocation is what a bulk revocation is asked for with.
type newRevocation struct {
	ConnectionIDs []string          `json:"connection_ids"`
	Filter        *revocationFilter `json:"filter"`
	All           bool              `json:"all"`
	DryRun        bool              `json:"dry_run"`
	Expect        *int64            `json:"expect"`
}

// revocationFilter has the parameters of the list of connections.
type revocationFilter struct {
	Integration string            `json:"integration,omitempty"`
	EndUserID   string            `json:"end_user_id,omitempty"`
	Status      vault.Status      `json:"status,omitempty"`
	Failing     bool              `json:"failing,omitempty"`
	LastRead    vault.LastRead    `json:"last_read,omitempty"`
	Expires     vault.Expires     `json:"expires,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Query       string            `json:"q,omitempty"`
}

// target is what a request means. One that means two things, or nothing, is
// refused: what is revoked stays so.
func (n *newRevocation) target() (vault.BulkTarget, error) {
	t := vault.BulkTarget{IDs: n.ConnectionIDs, All: n.All}
	switch {
	case n.ConnectionIDs != nil && n.Filter != nil:
		return t, fault.InvalidField("/filter", "Does not go with connection_ids.")
	case n.ConnectionIDs == nil && n.Filter == nil:
		return t, fault.InvalidFields(fault.Field{Pointer: "/connection_ids", Detail: "Is required where there is no filter."})
	case n.ConnectionIDs != nil && len(n.ConnectionIDs) == 0:
		return t, fault.InvalidField("/connection_ids", "Must have one at least.")
	case n.ConnectionIDs != nil && n.All:
		return t, fault.InvalidField("/all", "Does not go with connection_ids.")
	}
	for i, id := range n.ConnectionIDs {
		if !idForm(id) {
			return t, fault.InvalidField(fmt.Sprintf("/connection_ids/%d", i), "Must be the id of a connection.")
		}
	}
	if f := n.Filter; f != nil {
		if f.Status == vault.StatusRevoked {
			return t, fault.InvalidField("/filter/status", "Must be pending, active or reconnect_required.")
		}
		t.Filter = vault.ConnectionFilter{
			Integration: f.Integration, EndUserID: f.EndUserID, Status: f.Status, Failing: f.Failing,
			LastRead: f.LastRead, Expires: f.Expires, Tags: f.Tags, Query: f.Query,
		}
	}
	return t, nil
}

// POST /v1/revocations
func (h *Handler) createRevocation(c echo.Context, caller vault.Caller) error {
	var in *newRevocation
	if err := decode(c, &in); err != nil {
		return err
	}
	target, err := in.target()
	if err != nil {
		return err
	}
	if in.DryRun {
		return h.previewRevocation(c, caller, target)
	}
	b, err := h.vault.StartBulkRevocation(c.Request().Context(), caller, vault.NewBulkRevocation{BulkTarget: target, Expect: in.Expect})
	if err != nil {
		return err
	}
	return acceptRevocation(c, b)
}

// acceptRevocation answers that a bulk revocation is on its way.
func acceptRevocation(c echo.Context, b vault.BulkRevocation) error {
	c.Response().Header().Set("Location", "/v1/revocations/"+b.ID)
	return c.JSON(http.StatusAccepted, showRevocation(b))
}

// revocationPreview is what a bulk revocation would do.
type revocationPreview struct {
	Total  int64             `json:"total"`
	More   bool              `json:"more"`
	Groups []revocationGroup `json:"groups"`
}

// revocationGroup is a part of it that the provider is told of in one way.
type revocationGroup struct {
	Integration  string `json:"integration"`
	Method       string `json:"method"`
	Count        int64  `json:"count"`
	ProviderTold bool   `json:"provider_told"`
	ByHand       string `json:"by_hand"`
}

func (h *Handler) previewRevocation(c echo.Context, caller vault.Caller, t vault.BulkTarget) error {
	ctx := c.Request().Context()
	p, err := h.vault.PreviewBulkRevocation(ctx, caller, t)
	if err != nil {
		return err
	}
	out := revocationPreview{Total: p.Total, More: p.More, Groups: []revocationGroup{}}
	for _, g := range p.Groups {
		group := revocationGroup{Integration: g.Integration, Method: g.Method, Count: g.Count}
		// It is part of the answer, so nobody needs to be allowed to see integrations.
		in, err := h.vault.Integration(ctx, vault.System("api", caller.EnvironmentID), g.Integration)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		// Where the provider's file is gone nobody can be told.
		if d, err := h.providers.Disconnection(in, g.Method); err == nil {
			group.ProviderTold, group.ByHand = d.Tellable, d.ByHand
		}
		out.Groups = append(out.Groups, group)
	}
	return c.JSON(http.StatusOK, out)
}

// GET /v1/revocations
func (h *Handler) listRevocations(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	p := pageOf(q)
	if err := p.err(q); err != nil {
		return err
	}
	found, err := h.vault.BulkRevocations(c.Request().Context(), caller, p.page())
	if err != nil {
		return err
	}
	return answerPage(c, p, found, func(b vault.BulkRevocation) string { return b.ID }, showRevocation)
}

// GET /v1/revocations/{id}
func (h *Handler) getRevocation(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	wait := q.Int("wait", 0, 0, maxWait)
	if err := q.Err(); err != nil {
		return err
	}
	b, err := h.vault.WaitBulkRevocation(c.Request().Context(), caller, c.Param("id"), time.Duration(wait)*time.Second)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showRevocation(b))
}

// POST /v1/revocations/{id}/stop
func (h *Handler) stopRevocation(c echo.Context, caller vault.Caller) error {
	if err := httpd.DecodeJSON(c, &struct{}{}, httpd.AllowEmpty); err != nil {
		return err
	}
	b, err := h.vault.StopBulkRevocation(c.Request().Context(), caller, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showRevocation(b))
}

// POST /v1/revocations/{id}/resume
func (h *Handler) resumeRevocation(c echo.Context, caller vault.Caller) error {
	if err := httpd.DecodeJSON(c, &struct{}{}, httpd.AllowEmpty); err != nil {
		return err
	}
	b, err := h.vault.ResumeBulkRevocation(c.Request().Context(), caller, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showRevocation(b))
}

// revocationItem is what became of one connection.
type revocationItem struct {
	ConnectionID string             `json:"connection_id"`
	Outcome      *vault.BulkOutcome `json:"outcome"`
	Provider     *vault.Outcome     `json:"provider"`
	At           *time.Time         `json:"at"`
}

func showRevocationItem(i vault.BulkItem) revocationItem {
	out := revocationItem{ConnectionID: i.ConnectionID, At: orNull(i.DoneAt)}
	if i.Outcome != "" {
		out.Outcome = &i.Outcome
	}
	if i.Told != "" {
		out.Provider = &i.Told
	}
	return out
}

// GET /v1/revocations/{id}/items
func (h *Handler) listRevocationItems(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	p := pageOf(q)
	f := vault.BulkItemFilter{
		Outcome: httpd.OneOf(q, "outcome", vault.BulkRevoked, vault.BulkAlreadyRevoked, vault.BulkMissing, vault.BulkFailed),
		Told:    httpd.OneOf(q, "provider", vault.OutcomeRevoked, vault.OutcomeUnsupported, vault.OutcomeFailed),
		Page:    p.page(),
	}
	if err := p.err(q); err != nil {
		return err
	}
	found, err := h.vault.BulkItems(c.Request().Context(), caller, c.Param("id"), f)
	if err != nil {
		return err
	}
	return answerPage(c, p, found, func(i vault.BulkItem) string { return i.ConnectionID }, showRevocationItem)
}
