package admin

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers/login"
	"github.com/claviger/claviger/internal/providers/oidc"
	"github.com/claviger/claviger/internal/vault"
	"github.com/claviger/claviger/web"
)

// Provider is the OpenID provider that admins sign in at.
type Provider struct {
	Login *login.Provider
	Roles []RoleRule
}

// CallbackPath is where the provider sends browsers back to, below the public
// URL.
const CallbackPath = "/admin/callback"

const providerPath = "/admin/sign-in/provider"

// adminTrip is a trip to the provider and what it is for. The browser keeps it,
// sealed, and hands it back once.
type adminTrip struct {
	login.Trip
	Next string `json:"next"`
	// MustBe is the admin who has to sign in again, "" for anybody.
	MustBe string `json:"must_be,omitempty"`
	// Replaces is the session that the browser had when it left: on its way back
	// it does not bring the strict cookie along.
	Replaces string `json:"replaces,omitempty"`
}

// GET /admin/sign-in/provider
//
// It is a link and no form: a policy for forms would have to name every host
// that the provider leads on to.
func (h *Handler) goToProvider(c echo.Context) error {
	q := httpd.Query(c)
	next, again := inside(c, q.String("next", maxNext)), httpd.OneOf(q, "again", "", "1") == "1"
	if err := q.Err(); err != nil {
		return err
	}
	trip := adminTrip{Next: next}
	maxAge := vault.AdminLife
	v, err := h.visit(c)
	switch {
	case err == nil:
		trip.Replaces = v.stay.Session.ID
		if again {
			trip.MustBe, maxAge = v.stay.Admin.ID, 0
		}
	case !fault.Is(err, fault.Unauthenticated):
		return err
	}
	ctx := c.Request().Context()
	var to *url.URL
	if to, trip.Trip, err = h.issuer.Login.Begin(ctx, maxAge); err != nil {
		return h.refusePerson(c, trip, err)
	}
	sealed, err := h.sealer.seal(sealedTrip, trip)
	if err != nil && trip.Next != "" { // too long for a cookie
		trip.Next = ""
		sealed, err = h.sealer.seal(sealedTrip, trip)
	}
	if err != nil {
		return err
	}
	h.trips.Set(c, sealed)
	return c.Redirect(http.StatusSeeOther, to.String())
}

// signedInPage leads on to where somebody wanted to go. admin/signed-in.html
type signedInPage struct {
	frame
	Next string
}

// GET /admin/callback
func (h *Handler) callback(c echo.Context) error {
	var trip adminTrip
	_, there := h.sealer.open(sealedTrip, h.trips.Get(c), &trip)
	h.trips.Clear(c) // a trip is used once
	if !there {
		return h.refusePerson(c, adminTrip{}, &login.Refusal{Reason: login.ReasonState, Err: errors.New("this browser has no trip")})
	}
	// Not before: any site can make a browser load this page, and no try of its
	// owner is to be used up by that.
	if wait := h.tries.takeAddress(c.RealIP()); wait > 0 {
		return h.refuseForNow(c, trip.Next, wait)
	}
	ctx := c.Request().Context()
	reply, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return h.refusePerson(c, trip, &login.Refusal{Reason: login.ReasonReply, Err: errors.New("the query cannot be read")})
	}
	who, err := h.issuer.Login.Complete(ctx, trip.Trip, reply, claimsOf(h.issuer.Roles))
	if err != nil {
		return h.refusePerson(c, trip, err)
	}
	if wait := h.tries.takeAccount(who.Issuer + "#" + who.Subject); wait > 0 {
		return h.refuseForNow(c, trip.Next, wait)
	}
	in, err := h.admit(ctx, c, trip, who)
	if err != nil {
		httpd.RecordOf(ctx).Add(slog.String("subject", who.Subject))
		return h.refusePerson(c, trip, err)
	}
	if err := h.welcome(c, in); err != nil {
		return err
	}
	// The browser was sent here by another site, and so would not bring the new
	// strict cookie along if it were redirected. A page of ours asks for itself.
	next := orHome(trip.Next)
	c.Response().Header().Set("Refresh", "0; url="+next)
	return httpd.Render(c, http.StatusOK, "admin/signed-in", signedInPage{Next: next})
}

// errNoRole is somebody whom no rule gives a role.
var errNoRole = errors.New("no rule gives this account a role")

// admit begins a session for a person who has a role here.
func (h *Handler) admit(ctx context.Context, c echo.Context, trip adminTrip, who login.Person) (vault.SignedIn, error) {
	role := roleOf(h.issuer.Roles, who.Claims)
	if role == "" {
		if err := h.vault.RefuseAdmin(ctx, who.Issuer, who.Subject, vault.ReasonNoRole); err != nil {
			return vault.SignedIn{}, err
		}
		return vault.SignedIn{}, errNoRole
	}
	return h.vault.SignInByProvider(ctx, vault.Vouched{
		Issuer: who.Issuer, Subject: who.Subject, SessionID: who.SessionID, AuthenticatedAt: who.AuthTime,
		Name:  cmp.Or(who.Claims.String("name"), who.Claims.String("preferred_username")),
		Email: who.Claims.Email(), Role: role, Trip: trip.Hash(), MustBe: trip.MustBe,
	}, vault.Browser{Address: c.RealIP(), Agent: c.Request().UserAgent(), Replaces: trip.Replaces})
}

// refusePerson shows why somebody who was sent to the provider is not signed
// in, with the way to try again.
func (h *Handler) refusePerson(c echo.Context, trip adminTrip, err error) error {
	ctx := c.Request().Context()
	var refusal *login.Refusal
	var unavailable *oidc.Unavailable
	var metadata *oidc.MetadataError
	status, outcome := http.StatusForbidden, ""
	n := web.Notice{Kind: web.Problem}
	switch {
	case errors.Is(err, errNoRole):
		outcome, n.Title = vault.ReasonNoRole, "Your account has no role here"
		n.Text = "You are known at " + h.issuer.Login.Host() + ", and nobody has given your account a role in Claviger. Ask an owner, or sign in there with another account."
	case errors.Is(err, vault.ErrNotAdmitted):
		outcome, n.Title = vault.ReasonRemoved, "You were removed as an admin"
		n.Text = "An owner can let you in again."
	case errors.Is(err, vault.ErrOtherAdmin):
		outcome, n.Title = vault.ReasonOtherAccount, "That was another account"
		n.Text = "Sign in again with the account that you are signed in with here, or sign out first."
	case errors.Is(err, vault.ErrTripUsed):
		outcome, n.Title = vault.ReasonTripUsed, "This sign-in was used already"
		n.Text = "Start again."
	case errors.As(err, &refusal):
		status, outcome, n.Title = http.StatusBadRequest, refusal.Reason, "The sign-in did not work"
		n.Text = refusalSentence(refusal.Reason)
		if refusal.Trusted {
			if err := h.vault.RefuseAdmin(ctx, "", "", refusal.Reason); err != nil {
				return err
			}
		}
	case errors.As(err, &unavailable):
		status, outcome, n.Title = http.StatusServiceUnavailable, "provider_unavailable", h.issuer.Login.Host()+" does not answer"
		n.Text = "Try again in a minute. Where it stays so, a sign-in link lets you in: " + inviteCommand + "."
		c.Response().Header().Set("Retry-After", retryAfter(max(unavailable.RetryAfter, time.Second)))
	case errors.As(err, &metadata):
		status, outcome, n.Title = http.StatusBadGateway, "provider_settings", h.issuer.Login.Host()+" cannot be used"
		n.Text = "What it publishes about itself does not fit the settings. The log says more. A sign-in link lets you in: " + inviteCommand + "."
	default:
		return err
	}
	rec := httpd.RecordOf(ctx)
	rec.SetOutcome(outcome)
	rec.Add(slog.String("error", err.Error()))
	page := h.newSignInPage(trip.Next)
	page.Notices = []web.Notice{n}
	return httpd.Render(c, status, "admin/sign-in", page)
}

// refusalSentence says what to do about a reply that signs nobody in. Why one
// was not believed is for the log and the trail.
func refusalSentence(reason string) string {
	switch reason {
	case "access_denied":
		return "It was not allowed at the provider. Start again."
	case login.ReasonState, login.ReasonExpired:
		return "It was begun in another browser, or too long ago, or the page was loaded a second time. Start again."
	case login.ReasonAuthTime:
		return "The provider did not ask for your password anew, or does not say when it did. Start again; if it stays so, an owner can make you a sign-in link."
	}
	return "The provider's reply could not be used (" + reason + "). Start again."
}
