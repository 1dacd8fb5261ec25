package connect

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

// visit is a request of the browser that holds a session.
type visit struct {
	caller  vault.Caller
	session vault.ConnectSession
	binding vault.Secret
}

// step is a handler for one step of a session that can go on.
type step func(echo.Context, visit) error

// bound lets a step have the requests of the browser that holds the session,
// while the session is alive. Otherwise it says how the session ended.
func (h *Handler) bound(next step) echo.HandlerFunc {
	return func(c echo.Context) error {
		v, err := h.visit(c)
		if err != nil {
			return err
		}
		if v.session.Kind == vault.SessionManage { // its pages are elsewhere
			return c.Redirect(http.StatusSeeOther, v.path())
		}
		if v.session.Status == vault.SessionBound {
			return next(c, v)
		}
		if c.Request().Method == http.MethodPost {
			return c.Redirect(http.StatusSeeOther, v.path())
		}
		return h.end(c, v)
	}
}

// visit reads the session that the path names, for the browser that holds it.
func (h *Handler) visit(c echo.Context) (visit, error) {
	id := c.Param("session")
	if !isID(id) {
		return visit{}, unknownLink()
	}
	ctx := c.Request().Context()
	v := visit{binding: h.presented(c, id)}
	var err error
	if v.caller, v.session, err = h.vault.BoundSession(ctx, id, v.binding); err != nil {
		return visit{}, err
	}
	rec := httpd.RecordOf(ctx)
	rec.SetActor(v.session.ID)
	rec.SetEnvironment(v.session.EnvironmentID)
	if v.session.ReturnURL != "" {
		// Every form of a session may be the one that ends it. A host that no
		// policy can name is still gone to, by browsers other than Chromium.
		if err := httpd.AllowFormAction(c, v.session.ReturnURL); err != nil {
			rec.Add(slog.String("form_action", err.Error()))
		}
	}
	return v, nil
}

// path is a page of the session, below it by the given names.
func (v *visit) path(names ...string) string {
	if v.session.Kind == vault.SessionManage {
		return managePath(v.session.ID, names...)
	}
	return sessionPath(v.session.ID, names...)
}

func sessionPath(id string, names ...string) string {
	p := "/connect/s/" + id
	for _, n := range names {
		p += "/" + url.PathEscape(n)
	}
	return p
}

// offer is an integration that a session has on offer.
type offer struct {
	in      vault.Integration // without its client secret
	title   string
	methods []*providers.Method
}

func (h *Handler) offer(in vault.Integration) (offer, error) {
	methods, err := h.providers.Methods(in)
	if err != nil {
		return offer{}, err
	}
	o := offer{in: in, title: in.Title, methods: methods}
	if p, ok := h.providers.Catalog().Get(in.Provider); ok {
		o.title = cmp.Or(o.title, p.Title)
	}
	return o, nil
}

// offers lists what the session has on offer and can still be had.
func (h *Handler) offers(c echo.Context, s *vault.ConnectSession) ([]offer, error) {
	ctx := c.Request().Context()
	var all []offer
	for _, key := range s.Integrations {
		in, err := h.vault.Integration(ctx, reader(s), key)
		if fault.Is(err, fault.NotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		o, err := h.offer(in)
		if fault.Is(err, fault.ProviderRejected) || err == nil && len(o.methods) == 0 {
			httpd.RecordOf(ctx).Add(slog.String("not_offered", in.ID))
			continue // its provider, or the last of its methods, left the catalog
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if all == nil {
		return nil, errNothingOffered
	}
	return all, nil
}

// errNothingOffered: everything that the session names is gone.
var errNothingOffered = errors.New("nothing of what the session names can be linked any more")

// chosen is the integration that the path names, if the session has it.
func (h *Handler) chosen(c echo.Context, v *visit) (offer, error) {
	key := c.Param("integration")
	if !slices.Contains(v.session.Integrations, key) {
		return offer{}, unknownLink()
	}
	in, err := h.vault.Integration(c.Request().Context(), reader(&v.session), key)
	if err != nil {
		return offer{}, err
	}
	return h.offer(in)
}

// method is the method of the path, if the integration offers it.
func (o *offer) method(name string) (*providers.Method, error) {
	for _, m := range o.methods {
		if m.Name == name {
			return m, nil
		}
	}
	return nil, unknownLink()
}
