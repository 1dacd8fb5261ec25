package sandbox_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

func TestStartRefusesAddressesOthersCanReach(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.com:0", "127.0.0.1", "127.0.0.1:-1", "127.0.0.1:65534", "[::]:0"} {
		if s, err := sandbox.Start(t.Context(), sandbox.Config{Listen: addr}); err == nil {
			t.Errorf("Start listens on %q; %v", addr, s.Close())
		}
	}
}

func TestStartTakesThreePortsInARow(t *testing.T) {
	t.Parallel()
	// Somebody else may take a neighbour between finding and using it, so a
	// few tries are allowed.
	for range 10 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr, ok := l.Addr().(*net.TCPAddr)
		if err := l.Close(); err != nil || !ok {
			t.Fatal(l.Addr(), err)
		}
		s, err := sandbox.Start(t.Context(), sandbox.Config{Listen: addr.String()})
		if err != nil {
			continue
		}
		for i, u := range []string{s.Toggl().URL(), s.ClickTime().URL(), s.TimeLog().URL()} {
			if want := "http://127.0.0.1:" + strconv.Itoa(addr.Port+i); u != want {
				t.Errorf("URL %q, want %q", u, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	t.Fatal("no three free ports in a row")
}

func TestContextEndsTheSandbox(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := sandbox.Start(ctx, sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := client(t)
	wantStatus(t, send(t, c, http.MethodGet, s.TimeLog().URL()+"/.well-known/openid-configuration", ""), http.StatusOK)
	cancel()
	if err := s.Close(); err != nil { // waits for the servers, whoever closed them
		t.Error(err)
	}
	for _, u := range []string{s.Toggl().URL(), s.ClickTime().URL(), s.TimeLog().URL()} {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(u, "http://")); err == nil {
			t.Errorf("%s still answers; %v", u, conn.Close())
		}
	}
}

// The handlers work under somebody else's server, TLS included.
func TestHandlersMountElsewhere(t *testing.T) {
	t.Parallel()
	tl := sandbox.NewTimeLog(sandbox.Config{})
	srv := httptest.NewTLSServer(tl)
	defer srv.Close()
	doc := send(t, srv.Client(), http.MethodGet, srv.URL+"/.well-known/openid-configuration", "").json(t)
	if doc["issuer"] != srv.URL {
		t.Errorf("issuer %v, want %q", doc["issuer"], srv.URL)
	}
	tl.SetURL("https://login.example.com/")
	doc = send(t, srv.Client(), http.MethodGet, srv.URL+"/.well-known/openid-configuration", "").json(t)
	if doc["issuer"] != "https://login.example.com" {
		t.Errorf("issuer %v after SetURL", doc["issuer"])
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	a := send(t, client(t), http.MethodPost, s.Toggl().URL()+"/api/sessions", strings.Repeat(" ", 1<<20+1), asJSON)
	wantStatus(t, a, http.StatusRequestEntityTooLarge)
}

// Secrets knows every secret that travelled, the request log none of them.
func TestSecretsAreAllKnownAndNotLogged(t *testing.T) {
	t.Parallel()
	var log logBuffer
	s := start(t, sandbox.Config{Log: debugLog(&log)})
	c := client(t)
	f := newFlow(t, s.TimeLog())

	reply := f.authorize(authorizeParams())
	tokens := f.token(exchangeForm(reply.Get("code"))).json(t)
	again := f.token(refreshForm(text(t, tokens, "refresh_token"))).json(t)
	login := send(t, c, http.MethodPost, s.Toggl().URL()+"/api/sessions",
		`{"email":"ada@example.com","password":"`+sandbox.TogglAdaPassword+`"}`, asJSON)
	wantStatus(t, login, http.StatusOK)
	reset := send(t, c, http.MethodPost, s.ClickTime().APIURL()+"/Me/ResetAuthToken", "", asJSON,
		basic(sandbox.AdaEmail, sandbox.ClickTimeAdaPassword))
	data, _ := reset.json(t)["data"].(map[string]any)

	want := []string{
		sandbox.DemoClientSecret, verifier, reply.Get("code"), reply.Get("id_token"),
		text(t, tokens, "access_token"), text(t, tokens, "refresh_token"), text(t, tokens, "id_token"),
		text(t, again, "access_token"), text(t, again, "refresh_token"), text(t, again, "id_token"),
		login.Cookies()[0].Value, text(t, data, "AuthToken"),
		sandbox.TogglAdaToken, sandbox.TogglAdaPassword, sandbox.ClickTimeAdaToken, sandbox.TimeLogAdaToken,
		"YWRhMGFkYTBhZGEwYWRhMGFkYTBhZGEwYWRhMGFkYTA6YXBpX3Rva2Vu", // the Basic value of Toggl's token
	}
	all := s.Secrets()
	for _, w := range want {
		if !slices.Contains(all, w) {
			t.Errorf("Secrets misses %q", w)
		}
	}
	if log.String() == "" {
		t.Error("nothing was logged")
	}
	for _, secret := range all {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestCallsTellWhatWasAskedAndHow(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Config{})
	c := client(t)
	me := s.Toggl().URL() + "/api/v9/me?with_related_data=false"
	send(t, c, http.MethodGet, me, "")
	send(t, c, http.MethodGet, me, "", basic(sandbox.TogglAdaToken, "api_token"))
	send(t, c, http.MethodGet, me, "", basic(sandbox.AdaEmail, sandbox.TogglAdaPassword))
	send(t, c, http.MethodGet, me, "", header("Cookie", sandbox.TogglCookie+"=x"))
	f := newFlow(t, s.TimeLog())
	f.token(refreshForm("nothing"))
	post(t, c, f.tl.URL()+"/connect/token", url.Values{"grant_type": {"password"}}, basic("a", "b"))

	var auth []sandbox.AuthKind
	var status []int
	for _, call := range s.Toggl().Calls(sandbox.TogglMe) {
		if call.Path != "/api/v9/me" || call.Method != http.MethodGet || !slices.Equal(call.Params, []string{"with_related_data"}) {
			t.Errorf("call %+v", call)
		}
		auth, status = append(auth, call.Auth), append(status, call.Status)
	}
	if want := []sandbox.AuthKind{sandbox.AuthNone, sandbox.AuthBasicToken, sandbox.AuthBasic, sandbox.AuthCookie}; !slices.Equal(auth, want) {
		t.Errorf("auth %v, want %v", auth, want)
	}
	if want := []int{403, 200, 200, 403}; !slices.Equal(status, want) {
		t.Errorf("status %v, want %v", status, want)
	}
	if n := f.tl.TokenCalls(); n != 2 {
		t.Errorf("%d token calls, want 2", n)
	}
	if n := f.tl.RefreshCalls(); n != 1 {
		t.Errorf("%d refresh calls, want 1", n)
	}
	refresh := f.tl.Calls(sandbox.TimeLogRefresh)[0]
	if refresh.Auth != sandbox.AuthClientSecret || !slices.Contains(refresh.Params, "redirect_uri") {
		t.Errorf("refresh call %+v", refresh)
	}
	f.tl.ResetCalls()
	if n := f.tl.Count(sandbox.Any); n != 0 {
		t.Errorf("%d calls after ResetCalls", n)
	}
}
