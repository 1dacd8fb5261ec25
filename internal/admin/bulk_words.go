package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// revocationRows are bulk revocations with the names of who asked for them.
func (h *Handler) revocationRows(ctx context.Context, v *visit, found ...vault.BulkRevocation) ([]revocationRow, error) {
	asked := make([]vault.AuditEntry, len(found))
	for i, b := range found {
		asked[i] = vault.AuditEntry{ActorKind: b.ActorKind, ActorID: b.ActorID}
	}
	actors, err := h.auditRows(ctx, v, asked)
	if err != nil {
		return nil, err
	}
	rows := make([]revocationRow, len(found))
	for i, b := range found {
		rows[i] = revocationRow{b, actors[i].Who()}
	}
	return rows, nil
}

// Chosen is how its connections were chosen.
func (r revocationRow) Chosen() string {
	switch {
	case r.Deletion.IntegrationID != "":
		return "All of the integration " + r.Deletion.Key
	case r.Filter == nil:
		return "Chosen one by one"
	}
	return matchWords(*r.Filter)
}

// matchWords says what a filter matches.
func matchWords(f vault.ConnectionFilter) string {
	words := filterWords(f)
	if len(words) == 0 {
		return "All of the environment"
	}
	return "All that match " + strings.Join(words, ", ")
}

// filterWords are the members of a filter that narrow it, as the list calls them.
func filterWords(f vault.ConnectionFilter) []string {
	page := newConnectionsPage(frame{}, f)
	var words []string
	add := func(label, value string) {
		if value != "" {
			words = append(words, label+": "+value)
		}
	}
	add(page.Search.Label, f.Query)
	add(page.EndUser.Label, f.EndUserID)
	add("Integration", f.Integration)
	for _, s := range []web.Select{page.Status, page.LastRead, page.Expires} {
		if i := slices.IndexFunc(s.Options, func(o web.Option) bool { return o.Value == s.Value }); s.Value != "" && i >= 0 {
			add(s.Label, s.Options[i].Label)
		}
	}
	for _, t := range page.Tags {
		add("Tag "+t.Name, t.Value)
	}
	add("Within the integrations", strings.Join(f.Within, " "))
	return words
}
