package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/claviger/claviger/internal/sandbox"
)

var galleryDir = flag.String("gallery", "", "where TestGallery leaves its pictures, for the README; empty is among the artifacts")

// TestGallery is a broker that has been in use for a while, and its main pages
// in light and dark: what the README shows. `make screenshots` runs it.
func TestGallery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite")
	shown := populate(w)

	p := visit(t, look{})
	w.signIn(p, "owner")
	for _, x := range []struct{ name, path, heading string }{
		{"overview", "/admin", "Overview"},
		{"connections", "/admin/connections", "Connections"},
		{"connection", "/admin/connections/" + shown, "Ada Lovelace at Toggl Track"},
		{"catalog", "/admin/integrations/new", "Set up a provider"},
		{"audit", "/admin/audit", "Audit trail"},
	} {
		p.open(w.front.url + x.path)
		p.arrive(x.heading)
		p.photograph(x.name)
	}

	l := w.link("ada-1815", []string{"toggl", "clicktime", "timelog"}, nil)
	end := visit(t, look{})
	end.open(l.URL)
	end.press("Continue")
	end.press("Toggl Track")
	end.press("API token")
	end.arrive("Link Toggl Track")
	end.photograph("link")
}

// populate sets the three services up and links some accounts at each. The
// connection that it answers has been read, refused and mended.
func populate(w *world) string {
	w.t.Helper()
	hybridWorld(w)
	w.integrateToggl()
	w.integrateClickTime()
	v := newVisitor(w.t)
	v.deliver(w, v.toTimeLog(w.link("ada-1815", []string{"timelog"}, nil))).want(http.StatusOK, "TimeLog is linked")
	w.api.headers(w.linked("ada-1815").ID)

	var ids []string
	for i, name := range []string{
		"Emmy Noether", "Alan Turing", "Grace Hopper", "Kurt Gödel", "Sofia Kovalevskaya", "Leonhard Euler", "Ada Lovelace",
		"Carl Friedrich Gauss", "Hedy Lamarr", "Charles Babbage", "Mary Somerville", "George Boole", "Maria Mitchell", "Ada Lovelace",
	} {
		first, last, _ := strings.Cut(strings.ToLower(name), " ")
		request := map[string]any{
			"integration": "toggl", "method": "session",
			"credential": map[string]any{"email": sandbox.AdaEmail, "password": sandbox.TogglAdaPassword},
			"end_user":   map[string]any{"id": fmt.Sprintf("%s-%d", strings.ReplaceAll(last, " ", "-"), 1001+i), "name": name, "email": first + "@acme.example"},
			"tags":       map[string]string{"team": []string{"research", "billing", "field"}[i%3]},
		}
		if i%2 == 1 {
			request["integration"], request["method"] = "clicktime", "token"
			request["credential"] = map[string]any{"token": sandbox.ClickTimeAdaToken}
		}
		if i == 6 {
			request["method"], request["credential"] = "api_token", map[string]any{"api_token": sandbox.TogglAdaToken}
		}
		var c connection
		w.api.post("/v1/connections", request).want(http.StatusCreated).into(&c)
		ids = append(ids, c.ID)
	}
	for i, id := range ids[1:] {
		for range i % 4 {
			w.api.headers(id)
		}
	}
	w.sandbox.Toggl().EndSessions()
	for _, id := range ids[:3] {
		if c := w.api.connection(id); c.Integration == "toggl" {
			w.api.post("/v1/connections/"+id+"/rejected", map[string]any{"generation": c.Generation}).problem(http.StatusConflict, "reconnect_required")
		}
	}
	revoke(w, ids[9])
	shown := ids[6]
	for range 40 {
		w.api.headers(shown)
	}
	return shown
}

// photograph keeps a picture of what a screen shows of the page, in light and
// in dark.
func (p *page) photograph(name string) {
	p.t.Helper()
	for at, l := range map[string]look{"light": {}, "dark": {Dark: true}} {
		p.wear(l)
		shot, err := chromedp.Call(p.ctx, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{})
		p.must(err)
		file := name + "-" + at + ".png"
		path := filepath.Join(*galleryDir, file)
		if *galleryDir == "" {
			path = artifact(p.t, file)
		}
		if err := os.WriteFile(path, shot.Data, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	p.wear(p.look)
}
