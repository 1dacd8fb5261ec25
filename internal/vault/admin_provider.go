package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
)

// Why somebody for whom the OpenID provider vouches does not get in, beside the
// words of package login.
const (
	ReasonNoRole       = "no_role"
	ReasonOtherAccount = "other_account"
	ReasonTripUsed     = "trip_used"
)

// ErrNotAdmitted is somebody who proved who they are and does not get in: they
// were removed.
var ErrNotAdmitted = errors.New("this admin was removed")

// ErrOtherAdmin is somebody else than the admin who had to sign in again.
var ErrOtherAdmin = errors.New("somebody else has signed in")

// ErrTripUsed is a reply of the OpenID provider that began a session before.
var ErrTripUsed = errors.New("this sign-in was used already")

// Vouched is somebody for whom the OpenID provider vouches.
type Vouched struct {
	Issuer  string
	Subject string
	Email   string
	Name    string
	Role    Role // what the claims come to
	// SessionID is the provider's, and AuthenticatedAt when they signed in there;
	// zero where it does not say.
	SessionID       string
	AuthenticatedAt time.Time
	// Trip is a hash of the trip to the provider, which begins one session.
	Trip []byte
	// MustBe is the id of the admin who had to sign in again, "" for anybody.
	MustBe string
}

// maxProviderSession is the longest sid that is kept.
const maxProviderSession = 512

// SignInByProvider begins a session. Whoever is new becomes an admin; name,
// email and role are the provider's word of now. The errors are [ErrNotAdmitted],
// [ErrOtherAdmin] and [ErrTripUsed], all of them in the trail.
func (v *Vault) SignInByProvider(ctx context.Context, who Vouched, b Browser) (SignedIn, error) {
	in, err := v.signInByProvider(ctx, who, b)
	if errors.Is(err, ErrDuplicate) {
		// Of two first sign-ins at once one was later; or the trip was used, and is
		// so still.
		in, err = v.signInByProvider(ctx, who, b)
	}
	if errors.Is(err, ErrDuplicate) {
		if err := v.RefuseAdmin(ctx, who.Issuer, who.Subject, ReasonTripUsed); err != nil {
			return SignedIn{}, err
		}
		return SignedIn{}, ErrTripUsed
	}
	return in, err
}

func (v *Vault) signInByProvider(ctx context.Context, who Vouched, b Browser) (SignedIn, error) {
	var in SignedIn
	var refused error
	err := v.store.Update(ctx, func(tx Tx) error {
		refused = nil
		a, err := v.vouchedAdmin(ctx, tx, who)
		if err != nil {
			return err
		}
		reason := ""
		switch {
		case who.MustBe != "" && a.ID != who.MustBe:
			refused, reason = ErrOtherAdmin, ReasonOtherAccount
		case a.Removed():
			refused, reason = ErrNotAdmitted, ReasonRemoved
		}
		if refused != nil {
			return v.auditHome(ctx, tx, Caller{Kind: CallerAdmin, ID: actorOf(a, who)}, ActionAdminRefused, reason, "")
		}
		if a.CreatedAt.IsZero() {
			a.CreatedAt = v.now()
			if err := tx.InsertAdmin(ctx, *a); err != nil {
				return err
			}
		}
		row := AdminSessionRow{
			AdminSession: AdminSession{Method: MethodOIDC, AuthenticatedAt: v.provedAt(who), ProviderSession: who.SessionID},
			TripHash:     who.Trip,
		}
		if len(row.ProviderSession) > maxProviderSession {
			row.ProviderSession = ""
		}
		in, err = v.begin(ctx, tx, a, row, b)
		return err
	})
	if err == nil {
		err = refused
	}
	return in, err
}

// SubjectID names somebody in the trail who is no admin: by a hash of who they
// are at the OpenID provider, as a subject may be any text.
func SubjectID(issuer, subject string) string {
	h := sha256.Sum256([]byte(issuer + "\x00" + subject))
	return "sub_" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(h[:16]))
}

// actorOf is an admin's id, or a [SubjectID] for one who is not stored.
func actorOf(a *Admin, who Vouched) string {
	if a.CreatedAt.IsZero() {
		return SubjectID(who.Issuer, who.Subject)
	}
	return a.ID
}

// provedAt is when they proved who they are. Where the provider does not say, it
// may have been at any time: never fresh.
func (v *Vault) provedAt(who Vouched) time.Time {
	now := v.now()
	switch at := who.AuthenticatedAt.UTC().Truncate(time.Microsecond); {
	case who.AuthenticatedAt.IsZero():
		return now.Add(-FreshFor)
	case at.After(now):
		return now
	default:
		return at
	}
}

// vouchedAdmin finds the admin and locks the row, with what the provider says of
// them now. One without a CreatedAt is new and not stored yet.
func (v *Vault) vouchedAdmin(ctx context.Context, tx Tx, who Vouched) (*Admin, error) {
	a := &Admin{ID: newID("adm"), Issuer: who.Issuer, Subject: who.Subject}
	known, err := tx.AdminBySubject(ctx, who.Issuer, who.Subject)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if known != nil {
		if a, err = tx.LockAdmin(ctx, known.ID); err != nil {
			return nil, err
		}
	}
	a.Email = printable(who.Email, 256)
	a.Name = cmp.Or(printable(who.Name, 100), a.Email, printable(who.Subject, 100))
	a.Role = who.Role
	return a, nil
}

// RefuseAdmin notes that somebody did not get in: who they are at the OpenID
// provider, as far as it is known, and why. Whom the provider gives no role any
// more loses the sessions that it began with the one from before.
func (v *Vault) RefuseAdmin(ctx context.Context, issuer, subject, reason string) error {
	if subject == "" {
		return v.refuseStranger(ctx, reason)
	}
	return v.store.Update(ctx, func(tx Tx) error {
		id := SubjectID(issuer, subject)
		known, err := tx.AdminBySubject(ctx, issuer, subject)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if known != nil {
			id = known.ID
			if reason == ReasonNoRole {
				if _, err := v.endProviderSessions(ctx, tx, issuer, subject, "", v.now(), ReasonNoRole); err != nil {
					return err
				}
			}
		}
		return v.auditHome(ctx, tx, Caller{Kind: CallerAdmin, ID: id}, ActionAdminRefused, reason, "")
	})
}

// refuseStranger is RefuseAdmin for somebody of whom nothing is known. Anybody
// can come back from the provider with anything, so that beyond the first of a
// minute they are counted.
func (v *Vault) refuseStranger(ctx context.Context, reason string) error {
	home, err := v.store.EnvironmentByName(ctx, DefaultEnvironment)
	if err != nil {
		return fmt.Errorf("finding environment %s: %w", DefaultEnvironment, err)
	}
	e := v.entry(Caller{Kind: CallerAdmin, EnvironmentID: home.ID}, ActionAdminRefused)
	e.Allowed, e.Reason = false, reason
	if !v.strangers.mayWrite(e) {
		return nil
	}
	return v.audit(ctx, e)
}

// logoutSkew is how far the clocks of the provider and ours may be apart.
const logoutSkew = time.Minute

// EndProviderSessions ends the sessions that somebody began at the issuer before
// a moment, as it says that they have logged out: those of the subject, or the
// one with the sid, or of both. It answers how many there were.
func (v *Vault) EndProviderSessions(ctx context.Context, issuer, subject, sid string, before time.Time) (n int, err error) {
	if subject == "" && sid == "" {
		return 0, fault.New(fault.Invalid, "There is no subject and no session.")
	}
	err = v.store.Update(ctx, func(tx Tx) error {
		n, err = v.endProviderSessions(ctx, tx, issuer, subject, sid, before, ReasonAtProvider)
		return err
	})
	return n, err
}

func (v *Vault) endProviderSessions(ctx context.Context, tx Tx, issuer, subject, sid string, before time.Time, reason string) (int, error) {
	sessions, err := tx.ProviderSessions(ctx, issuer, subject, sid, before.Add(logoutSkew))
	if err != nil {
		return 0, err
	}
	for _, s := range sessions {
		if err := v.endSession(ctx, tx, Caller{Kind: CallerAdmin, ID: s.AdminID}, s.ID, reason); err != nil {
			return 0, err
		}
	}
	return len(sessions), nil
}
