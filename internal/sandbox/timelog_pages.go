package sandbox

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed pages/*.html
var pageFiles embed.FS

// page parses one page anew: nobody is in a hurry here, and nothing is shared.
func page(name string) (*template.Template, error) {
	return template.ParseFS(pageFiles, "pages/base.html", "pages/"+name)
}

type loginData struct {
	Ticket  string
	Request *authorizeRequest
	Email   string
	Failed  bool
}

// loginPage shows sign-in and consent on one page, without script.
func (t *TimeLog) loginPage(w http.ResponseWriter, status int, d loginData) {
	var hints []Account
	if t.Settings().ShowHints {
		hints = DemoAccounts(TimeLogName)
	}
	t.render(w, status, "login.html", map[string]any{
		"Ticket": d.Ticket, "Email": d.Email, "Failed": d.Failed,
		"Client": d.Request.client.ID, "Scope": d.Request.scope, "Hints": hints,
	})
}

// formPostPage is OAuth 2.0 Form Post Response Mode's page, with a button for
// browsers that run no script.
func (t *TimeLog) formPostPage(w http.ResponseWriter, rep *Reply) {
	t.render(w, http.StatusOK, "form_post.html", map[string]any{
		"Action": rep.RedirectURI, "Params": rep.Params,
	})
}

func (t *TimeLog) errorPage(w http.ResponseWriter, f *authorizeFault) {
	t.render(w, http.StatusBadRequest, "error.html", map[string]any{
		"Code": f.code, "Description": f.description,
	})
}

func (t *TimeLog) render(w http.ResponseWriter, status int, name string, data map[string]any) {
	nonce := randomToken()
	data["CSPNonce"] = nonce
	tmpl, err := page(name)
	var buf bytes.Buffer
	if err == nil {
		err = tmpl.ExecuteTemplate(&buf, "base", data)
	}
	if err != nil {
		t.log.Error("sandbox: rendering a page", "page", name, "error", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	// No form-action: Chromium applies it to the redirect that follows the
	// sign-in form, and that one leads to the client.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+"'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}
