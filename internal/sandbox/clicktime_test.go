package sandbox_test

import (
	"net/http"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

func TestClickTimeAuthentication(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	c := client(t)
	token := header("Authorization", "Token "+sandbox.ClickTimeAdaToken)
	password := basic(sandbox.AdaEmail, sandbox.ClickTimeAdaPassword)
	tests := []struct {
		name, method, path string
		opts               []option
		want               int
	}{
		{"me by token", "GET", "/Me", []option{asJSON, token}, 200},
		{"me by password", "GET", "/Me", []option{asJSON, password}, 200},
		{"path in lower case", "GET", "/me", []option{asJSON, token}, 200},
		{"content type with charset", "GET", "/Me", []option{header("Content-Type", "application/json; charset=utf-8"), token}, 200},
		{"no content type", "GET", "/Me", []option{token}, 415},
		{"content type of a form", "GET", "/Me", []option{asForm, token}, 415},
		{"no credentials", "GET", "/Me", []option{asJSON}, 401},
		{"wrong password", "GET", "/Me", []option{asJSON, basic(sandbox.AdaEmail, "nope")}, 401},
		{"wrong token", "GET", "/Me", []option{asJSON, header("Authorization", "Token nope")}, 401},
		{"token as bearer", "GET", "/Me", []option{asJSON, header("Authorization", "Bearer "+sandbox.ClickTimeAdaToken)}, 401},
		{"jobs by token", "GET", "/Jobs", []option{asJSON, token}, 200},
		{"jobs by password", "GET", "/Jobs", []option{asJSON, password}, 401},
		{"time entries by token", "GET", "/TimeEntries", []option{asJSON, token}, 200},
		{"time entries by password", "GET", "/TimeEntries", []option{asJSON, password}, 401},
		{"reset by token", "POST", "/Me/ResetAuthToken", []option{asJSON, token}, 401},
		{"unknown resource", "GET", "/Nothing", []option{asJSON, token}, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := send(t, c, tt.method, s.ClickTime().APIURL()+tt.path, "", tt.opts...)
			wantStatus(t, a, tt.want)
			if errs, _ := a.json(t)["errors"].([]any); (len(errs) == 0) != (tt.want == http.StatusOK) {
				t.Errorf("body %q", a.body)
			}
		})
	}
}

func TestClickTimeMeCarriesTheTokenWhereToldTo(t *testing.T) {
	t.Parallel()
	const atTop, under = "top", "data"
	tests := []struct {
		name          string
		set           func(*sandbox.ClickTimeSettings)
		by            option
		where, member string // where "" means nowhere
	}{
		{"documented", func(*sandbox.ClickTimeSettings) {}, basic(sandbox.AdaEmail, sandbox.ClickTimeAdaPassword), under, "AuthToken"},
		{"by token too", func(*sandbox.ClickTimeSettings) {}, header("Authorization", "Token "+sandbox.ClickTimeAdaToken), under, "AuthToken"},
		{"at the top", func(s *sandbox.ClickTimeSettings) { s.TokenAtTop = true }, basic(sandbox.AdaEmail, sandbox.ClickTimeAdaPassword), atTop, "AuthToken"},
		{"other case", func(s *sandbox.ClickTimeSettings) { s.TokenMember = "authToken" }, basic(sandbox.AdaEmail, sandbox.ClickTimeAdaPassword), under, "authToken"},
		{"nowhere", func(s *sandbox.ClickTimeSettings) { s.TokenMember = "" }, basic(sandbox.AdaEmail, sandbox.ClickTimeAdaPassword), "", "AuthToken"},
		{"not by token", func(s *sandbox.ClickTimeSettings) { s.TokenOnlyForBasic = true }, header("Authorization", "Token "+sandbox.ClickTimeAdaToken), "", "AuthToken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, sandbox.Config{})
			s.ClickTime().Set(tt.set)
			top := send(t, client(t), http.MethodGet, s.ClickTime().APIURL()+"/Me", "", asJSON, tt.by).json(t)
			data, _ := top["data"].(map[string]any)
			if data["Email"] != sandbox.AdaEmail || data["Name"] != "Ada Lovelace" || data["ID"] == nil {
				t.Errorf("data: %v", data)
			}
			for where, m := range map[string]map[string]any{atTop: top, under: data} {
				want := any(nil)
				if where == tt.where {
					want = sandbox.ClickTimeAdaToken
				}
				if got := m[tt.member]; got != want {
					t.Errorf("%s %s is %v, want %v", where, tt.member, got, want)
				}
			}
		})
	}
}

func TestClickTimeResetAuthTokenKillsTheOldOne(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	c, root := client(t), s.ClickTime().APIURL()
	a := send(t, c, http.MethodPost, root+"/Me/ResetAuthToken", "", asJSON, basic(sandbox.AdaEmail, sandbox.ClickTimeAdaPassword))
	wantStatus(t, a, http.StatusOK)
	data, _ := a.json(t)["data"].(map[string]any)
	fresh := text(t, data, "AuthToken")
	wantStatus(t, send(t, c, http.MethodGet, root+"/Jobs", "", asJSON, header("Authorization", "Token "+sandbox.ClickTimeAdaToken)), http.StatusUnauthorized)
	wantStatus(t, send(t, c, http.MethodGet, root+"/Jobs", "", asJSON, header("Authorization", "Token "+fresh)), http.StatusOK)
}
