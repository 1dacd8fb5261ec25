package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// versionField is the form field of what the form was made from: a form that has
// lain around overwrites nothing that was changed meanwhile.
const versionField = "version"

// clash is between what is there by now and a form that was made before. The form
// is shown with it as it was sent; to send it again overwrites knowingly.
// partials/clash.html
type clash struct {
	// Who made the newest change, and when, as the trail has it; "" where it does
	// not say.
	Who string
	At  time.Time
	// Differences are between what is there and what was typed.
	Differences []difference
	// Afresh is the form with what is there.
	Afresh string
}

// difference is a setting that would become another.
type difference struct{ Label, There, Typed string }

// setting is what a form says of one thing, for people to compare.
type setting struct{ Label, Value string }

// differences compares two readings of one form. What only one of them has is
// empty in the other.
func differences(there, typed []setting) []difference {
	values := map[string]string{}
	for _, s := range typed {
		values[s.Label] = s.Value
	}
	var found []difference
	for _, s := range there {
		if s.Value != values[s.Label] {
			found = append(found, difference{s.Label, s.Value, values[s.Label]})
		}
	}
	return found
}

// chosen are the ticked boxes of groups, in words; none where there are none.
func chosen(word func(web.Checkbox) string, none string, groups ...web.CheckGroup) string {
	var all []string
	for _, g := range groups {
		for _, b := range g.Boxes {
			if b.Checked {
				all = append(all, word(b))
			}
		}
	}
	if all == nil {
		return none
	}
	return strings.Join(all, ", ")
}

func boxLabel(b web.Checkbox) string { return b.Label }
func boxValue(b web.Checkbox) string { return b.Value }

// newClash says who made the newest change that the filter finds and is about
// the thing.
func (h *Handler) newClash(ctx context.Context, v *visit, f vault.AuditFilter, about func(vault.AuditEntry) bool) (*clash, error) {
	f.Page.Limit = maxNames
	entries, err := h.vault.Audit(ctx, v.caller, f)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(entries, about)
	if at < 0 {
		return &clash{}, nil
	}
	rows, err := h.auditRows(ctx, v, entries[at:at+1])
	if err != nil {
		return nil, err
	}
	c := &clash{Who: rows[0].Who(), At: rows[0].At}
	if rows[0].ActorID == v.caller.ID {
		c.Who = "You, in another window,"
	}
	return c, nil
}
