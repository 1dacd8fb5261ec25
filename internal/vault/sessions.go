package vault

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// endUser is the caller that a session makes of the browser it is bound to.
func endUser(s *ConnectSession) Caller {
	return Caller{Kind: CallerEndUser, ID: s.ID, EnvironmentID: s.EnvironmentID}
}

// CreateSession makes a connect session and the token of its link. The token
// is in the answer and never again.
func (v *Vault) CreateSession(ctx context.Context, caller Caller, n NewSession) (ConnectSession, Secret, error) {
	if err := v.allow(ctx, caller, ScopeConnectWrite, ""); err != nil {
		return ConnectSession{}, Secret{}, err
	}
	s := ConnectSession{
		ID:                 newID("cs"),
		EnvironmentID:      caller.EnvironmentID,
		Kind:               cmp.Or(n.Kind, SessionConnect),
		EndUser:            n.EndUser,
		Integrations:       n.Integrations,
		ConnectionID:       n.ConnectionID,
		Reconnect:          n.ConnectionID != "",
		AllowAccountChange: n.AllowAccountChange,
		ReturnURL:          n.ReturnURL,
		Completion:         n.Completion,
		Tags:               n.Tags,
		Status:             SessionOpen,
		CreatedAt:          v.now(),
	}
	fields := v.completeSession(&s, n.TTL)
	offered, err := v.offeredTo(ctx, caller, &s)
	if err != nil {
		return ConnectSession{}, Secret{}, err
	}
	if fields = append(fields, offered...); fields != nil {
		return ConnectSession{}, Secret{}, fault.InvalidFields(fields...)
	}
	token := mint(prefixSession)
	err = v.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertSession(ctx, SessionRow{ConnectSession: s, TokenHash: HashToken(token)}); err != nil {
			return err
		}
		e := v.entry(caller, ActionSessionCreated)
		e.SessionID, e.ConnectionID = s.ID, s.ConnectionID
		return tx.InsertAudit(ctx, e)
	})
	if err != nil {
		return ConnectSession{}, Secret{}, fmt.Errorf("creating connect session: %w", err)
	}
	return s, token, nil
}

// completeSession fills in the defaults and says what is wrong with the rest.
func (v *Vault) completeSession(s *ConnectSession, ttl time.Duration) []fault.Field {
	fields := append(checkEndUser(s.EndUser), checkTags(s.Tags)...)
	fields = append(fields, s.kindFaults()...)
	if s.ReturnURL != "" {
		if f := v.checkReturnURL(s.ReturnURL); f != nil {
			fields = append(fields, *f)
		}
	}
	switch {
	case s.Kind == SessionManage:
		s.Completion = CompleteAuto // of nothing: it ends without a connection
	case s.Completion == "" && s.ReturnURL != "":
		s.Completion = CompleteRedeem
	case s.Completion == "":
		s.Completion = CompleteAuto
	case s.Completion == CompleteRedeem && s.ReturnURL == "":
		fields = append(fields, fault.Field{Pointer: "/completion", Detail: "redeem needs a return_url: that is where the result goes."})
	case s.Completion != CompleteAuto && s.Completion != CompleteRedeem:
		fields = append(fields, fault.Field{Pointer: "/completion", Detail: "Must be auto or redeem."})
	}
	if ttl == 0 {
		ttl = DefaultSessionTTL
	}
	if ttl < MinSessionTTL || ttl > MaxSessionTTL {
		fields = append(fields, fault.Field{Pointer: "/ttl_seconds", Detail: fmt.Sprintf("Must be %d to %d.", int(MinSessionTTL.Seconds()), int(MaxSessionTTL.Seconds()))})
	}
	s.ExpiresAt = s.CreatedAt.Add(ttl)
	return fields
}

// offeredTo fills in what the session offers: what was asked for, the
// integration of the connection to mend, or all that the caller reaches. To
// manage, all there are need not be named.
func (v *Vault) offeredTo(ctx context.Context, caller Caller, s *ConnectSession) ([]fault.Field, error) {
	if s.Reconnect && s.Kind == SessionConnect {
		row, err := v.connection(ctx, v.store, caller, s.ConnectionID)
		switch {
		case err != nil:
			return nil, err
		case row.Status == StatusRevoked:
			return nil, revokedFault()
		case row.EndUser.ID != s.EndUser.ID:
			return []fault.Field{{Pointer: "/end_user/id", Detail: "Is not the end user of this connection."}}, nil
		case len(s.Integrations) > 0 && (len(s.Integrations) != 1 || s.Integrations[0] != row.Integration):
			return []fault.Field{{Pointer: "/integrations", Detail: "A reconnect stays with the connection's own integration."}}, nil
		}
		s.Integrations = []string{row.Integration}
		return nil, nil
	}
	if len(s.Integrations) > 0 {
		var fields []fault.Field
		seen := map[string]bool{}
		for i, key := range s.Integrations {
			pointer := fmt.Sprintf("/integrations/%d", i)
			if seen[key] {
				fields = append(fields, fault.Field{Pointer: pointer, Detail: "Is named twice."})
				continue
			}
			seen[key] = true
			if _, err := v.integration(ctx, v.store, caller, key); fault.Is(err, fault.NotFound) {
				fields = append(fields, fault.Field{Pointer: pointer, Detail: noIntegration})
			} else if err != nil {
				return nil, fmt.Errorf("reading integration: %w", err)
			}
		}
		return fields, nil
	}
	if s.Kind == SessionManage {
		s.Integrations = caller.Integrations
		return nil, nil
	}
	all, err := v.store.Integrations(ctx, s.EnvironmentID, caller.Integrations, Page{Limit: 200})
	if err != nil {
		return nil, fmt.Errorf("listing integrations: %w", err)
	}
	for _, in := range all {
		s.Integrations = append(s.Integrations, in.Key)
	}
	if all == nil {
		return []fault.Field{{Pointer: "/integrations", Detail: "There is no integration in this environment yet; set one up first."}}, nil
	}
	return nil, nil
}

// statusAt is the status as people see it: time runs out without a write.
func (r *SessionRow) statusAt(now time.Time) SessionStatus {
	switch {
	case (r.Status == SessionOpen || r.Status == SessionBound) && !now.Before(r.ExpiresAt),
		r.Status == SessionPending && !now.Before(r.ResultExpiresAt):
		return SessionExpired
	}
	return r.Status
}

func (v *Vault) seen(r *SessionRow) ConnectSession {
	s := r.ConnectSession
	s.Status = r.statusAt(v.now())
	return s
}

// Session answers where a session stands.
func (v *Vault) Session(ctx context.Context, caller Caller, id string) (ConnectSession, error) {
	if err := v.allow(ctx, caller, ScopeConnectWrite, ""); err != nil {
		return ConnectSession{}, err
	}
	row, err := v.session(ctx, v.store, caller, id)
	if err != nil {
		return ConnectSession{}, err
	}
	return v.seen(row), nil
}

// LandingSession answers the session of a connect link and changes nothing:
// mail scanners fetch links.
func (v *Vault) LandingSession(ctx context.Context, token Secret) (ConnectSession, error) {
	row, err := v.store.SessionByToken(ctx, HashToken(token))
	if err != nil {
		return ConnectSession{}, missing(err, "connect link")
	}
	return v.seen(row), nil
}

// BindSession gives the session of a connect link to one browser. presented is
// what the browser has from before, if anything. The answer holds the binding
// to keep in the browser. Any other browser is refused.
func (v *Vault) BindSession(ctx context.Context, token, presented Secret) (ConnectSession, Secret, error) {
	row, err := v.store.SessionByToken(ctx, HashToken(token))
	if err != nil {
		return ConnectSession{}, Secret{}, missing(err, "connect link")
	}
	binding := NewBinding()
	var refused error
	err = v.store.Update(ctx, func(tx Tx) error {
		refused = nil
		if row, err = tx.LockSession(ctx, row.ID); err != nil {
			return err
		}
		e := v.entry(endUser(&row.ConnectSession), ActionSessionBound)
		e.SessionID = row.ID
		switch {
		case row.BindingHash != nil && !sameHash(row.BindingHash, HashToken(presented)):
			refused = otherBrowser()
			e.Allowed, e.Reason = false, "other_browser"
			return tx.InsertAudit(ctx, e)
		case row.BindingHash != nil:
			binding = presented
			return nil
		case row.statusAt(v.now()) != SessionOpen:
			return nil // the caller sees the status and says so
		}
		row.BindingHash = HashToken(binding)
		row.Status = SessionBound
		row.ExpiresAt = v.now().Add(BoundTTL)
		if err := tx.UpdateSession(ctx, *row); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, e)
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return ConnectSession{}, Secret{}, err
	}
	v.sessionUp.broadcast()
	return v.seen(row), binding, nil
}

func otherBrowser() error {
	return fault.New(fault.Forbidden, "This link was opened in another browser. Go back to that one, or ask for a new link.")
}

// BoundSession answers the session and its caller for a browser that has the
// binding. Whatever is not right reads the same.
func (v *Vault) BoundSession(ctx context.Context, id string, binding Secret) (Caller, ConnectSession, error) {
	row, err := v.store.SessionByID(ctx, id)
	if err != nil {
		return Caller{}, ConnectSession{}, missing(err, "connect session")
	}
	if !sameHash(row.BindingHash, HashToken(binding)) {
		return Caller{}, ConnectSession{}, otherBrowser()
	}
	return endUser(&row.ConnectSession), v.seen(row), nil
}

// FailLink records that one try of the end user came to nothing. The session
// stays usable; reason is a stable word.
func (v *Vault) FailLink(ctx context.Context, caller Caller, integrationID, reason string) error {
	return v.moveSession(ctx, caller, func(r *SessionRow) AuditEntry {
		r.Error = reason
		e := v.entry(caller, ActionLinkFailed)
		e.Allowed, e.SessionID, e.IntegrationID, e.Reason = false, r.ID, integrationID, reason
		return e
	})
}

// EndSession ends the session without a connection: the end user gave up, or
// guessed too often.
func (v *Vault) EndSession(ctx context.Context, caller Caller, reason string) error {
	return v.moveSession(ctx, caller, func(r *SessionRow) AuditEntry {
		r.Status, r.Error = SessionFailed, reason
		e := v.entry(caller, ActionSessionFailed)
		e.Allowed, e.SessionID, e.Reason = false, r.ID, reason
		return e
	})
}

// moveSession changes the caller's session while it is bound and alive.
func (v *Vault) moveSession(ctx context.Context, caller Caller, change func(*SessionRow) AuditEntry) error {
	err := v.store.Update(ctx, func(tx Tx) error {
		row, err := tx.LockSession(ctx, caller.ID)
		if err != nil {
			return missing(err, "connect session")
		}
		if err := row.usable(v.now()); err != nil {
			return err
		}
		e := change(row)
		if err := tx.UpdateSession(ctx, *row); err != nil {
			return err
		}
		return tx.InsertAudit(ctx, e)
	})
	if err == nil {
		v.sessionUp.broadcast()
	}
	return err
}

// usable answers nil while the end user may go on linking in this session.
func (r *SessionRow) usable(now time.Time) error {
	if r.Kind == SessionManage {
		return fault.New(fault.Conflict, "This link is for seeing what is linked; it links nothing by itself.")
	}
	return r.alive(now)
}

// alive answers nil while the session belongs to a browser and has not ended.
func (r *SessionRow) alive(now time.Time) error {
	switch r.statusAt(now) {
	case SessionBound:
		return nil
	case SessionExpired:
		return fault.New(fault.Conflict, "This connect link has expired. Ask for a new one.")
	case SessionPending, SessionCompleted:
		return fault.New(fault.Conflict, "This connect link was used: the account is linked.")
	case SessionFailed:
		return fault.New(fault.Conflict, "This connect link has ended. Ask for a new one.")
	}
	return fault.New(fault.Conflict, "This connect link was not opened yet.")
}
