package vault

import (
	"context"
	"slices"
)

// Audit lists the trail, newest first.
func (v *Vault) Audit(ctx context.Context, caller Caller, f AuditFilter) ([]AuditEntry, error) {
	if err := v.allow(ctx, caller, ScopeAuditRead, ""); err != nil {
		return nil, err
	}
	return v.store.Audit(ctx, caller.EnvironmentID, f)
}

// exportPage is how many entries of an export are in memory at a time.
const exportPage = 500

// ExportAudit hands the trail as it is now to write, oldest first and a part at a
// time, until write fails. Nothing was written where the caller may not.
func (v *Vault) ExportAudit(ctx context.Context, caller Caller, f AuditFilter, write func([]AuditEntry) error) error {
	if err := v.allow(ctx, caller, ScopeAuditRead, ""); err != nil {
		return err
	}
	newest, err := v.store.Audit(ctx, caller.EnvironmentID, AuditFilter{Page: Page{Limit: 1}})
	if err != nil || len(newest) == 0 {
		return err
	}
	f.OldestFirst, f.Page = true, Page{Limit: exportPage}
	for {
		entries, err := v.store.Audit(ctx, caller.EnvironmentID, f)
		if err != nil {
			return err
		}
		last := len(entries) < exportPage
		if !last {
			f.Page.Cursor = entries[exportPage-1].ID
		}
		// What is written from now on is another export's: this one ends. Ids say
		// so, and no clock, which may have been wrong.
		entries = slices.DeleteFunc(entries, func(e AuditEntry) bool { return e.ID > newest[0].ID })
		if err := write(entries); err != nil {
			return err
		}
		if last || len(entries) == 0 {
			return nil
		}
	}
}
