package vault

import (
	"context"
	"slices"

	"github.com/claviger/claviger/internal/fault"
)

// Reaches reports whether the caller may have to do with an integration, by its
// key, and with what belongs to it. What a caller does not reach is not there
// for them: the answer is the one for another environment's.
func (c Caller) Reaches(integration string) bool {
	return len(c.Integrations) == 0 || slices.Contains(c.Integrations, integration)
}

// Whole reports whether the scope is about an environment as a whole. It does
// not go with a limit to integrations: who hands out keys could hand out one
// without the limit, and the trail tells of everybody.
func (s Scope) Whole() bool {
	switch s {
	case ScopeAPIKeysWrite, ScopeAPIKeysRead, ScopeAuditRead, ScopeAdminsWrite, ScopeEnvironmentsWrite:
		return true
	}
	return false
}

// connection reads a connection that the caller reaches. Every operation on one
// begins here or with [Vault.lockConnection]; to read past the caller's limit
// is for what the system does by itself.
func (v *Vault) connection(ctx context.Context, r Reader, caller Caller, id string) (*ConnectionRow, error) {
	row, err := r.Connection(ctx, caller.EnvironmentID, id)
	return reached(caller, row, err)
}

// lockConnection is connection for a transaction that changes it.
func (v *Vault) lockConnection(ctx context.Context, tx Tx, caller Caller, id string) (*ConnectionRow, error) {
	row, err := tx.LockConnection(ctx, caller.EnvironmentID, id)
	return reached(caller, row, err)
}

func reached(caller Caller, row *ConnectionRow, err error) (*ConnectionRow, error) {
	switch {
	case err != nil:
		return nil, missing(err, "connection")
	case !caller.Reaches(row.Integration):
		return nil, fault.New(fault.NotFound, "There is no such connection.")
	}
	return row, nil
}

// integration reads an integration that the caller reaches, by its key.
func (v *Vault) integration(ctx context.Context, r Reader, caller Caller, key string) (*IntegrationRow, error) {
	if !caller.Reaches(key) {
		return nil, fault.New(fault.NotFound, noIntegration)
	}
	row, err := r.IntegrationByKey(ctx, caller.EnvironmentID, key)
	if err != nil {
		return nil, missing(err, "integration")
	}
	return row, nil
}

// integrationByID is integration by id.
func (v *Vault) integrationByID(ctx context.Context, caller Caller, id string) (*IntegrationRow, error) {
	row, err := v.store.Integration(ctx, caller.EnvironmentID, id)
	switch {
	case err != nil:
		return nil, missing(err, "integration")
	case !caller.Reaches(row.Key):
		return nil, fault.New(fault.NotFound, noIntegration)
	}
	return row, nil
}

// session reads a connect session that the caller reaches: one that offers
// nothing beyond the caller's limit.
func (v *Vault) session(ctx context.Context, r Reader, caller Caller, id string) (*SessionRow, error) {
	row, err := r.Session(ctx, caller.EnvironmentID, id)
	switch {
	case err != nil:
		return nil, missing(err, "connect session")
	case len(caller.Integrations) == 0:
		return row, nil
	case len(row.Integrations) == 0, slices.ContainsFunc(row.Integrations, func(key string) bool { return !caller.Reaches(key) }):
		return nil, fault.New(fault.NotFound, "There is no such connect session.")
	}
	return row, nil
}

// reachedIDs are those of the ids that are of connections which the caller
// reaches; all of them, there or not, for a caller without a limit.
func (v *Vault) reachedIDs(ctx context.Context, caller Caller, ids []string) ([]string, error) {
	if len(caller.Integrations) == 0 {
		return ids, nil
	}
	var reached []string
	for _, id := range ids {
		switch _, err := v.connection(ctx, v.store, caller, id); {
		case err == nil:
			reached = append(reached, id)
		case !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	return reached, nil
}

// reachedBulk answers a bulk revocation that the caller reaches: for who is
// limited, one of their own.
func reachedBulk(caller Caller) func(*BulkRevocation, error) (*BulkRevocation, error) {
	return func(b *BulkRevocation, err error) (*BulkRevocation, error) {
		switch {
		case err != nil:
			return nil, missing(err, "bulk revocation")
		case len(caller.Integrations) > 0 && b.ActorID != caller.ID:
			return nil, fault.New(fault.NotFound, "There is no such bulk revocation.")
		}
		return b, nil
	}
}
