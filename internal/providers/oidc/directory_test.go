package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/oidc"
)

func TestMetadataIsTheDocument(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.setDocument(answer(encode(t, map[string]any{
		"issuer":                                         p.URL,
		"authorization_endpoint":                         p.URL + "/connect/authorize",
		"token_endpoint":                                 p.URL + "/connect/token",
		"jwks_uri":                                       "https://keys.example.com/jwks?tenant=1",
		"revocation_endpoint":                            p.URL + "/connect/revocation",
		"userinfo_endpoint":                              p.URL + "/connect/userinfo",
		"end_session_endpoint":                           p.URL + "/connect/endsession",
		"response_types_supported":                       []string{"code", "code id_token"},
		"response_modes_supported":                       []string{"form_post", "fragment"},
		"id_token_signing_alg_values_supported":          []string{"RS256", "none"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic"},
		"code_challenge_methods_supported":               []string{"plain", "S256"},
		"authorization_response_iss_parameter_supported": true,
		"service_documentation":                          nil,
		"mtls_endpoint_aliases":                          map[string]string{"token_endpoint": "ftp://elsewhere"},
	})))
	got, err := p.directory().Metadata(t.Context(), p.URL, &oidc.Metadata{TokenEndpoint: "https://unused.example"})
	if err != nil {
		t.Fatal(err)
	}
	want := oidc.Metadata{
		Issuer:                p.URL,
		AuthorizationEndpoint: p.URL + "/connect/authorize",
		TokenEndpoint:         p.URL + "/connect/token",
		JWKSURI:               "https://keys.example.com/jwks?tenant=1",
		RevocationEndpoint:    p.URL + "/connect/revocation",
		UserinfoEndpoint:      p.URL + "/connect/userinfo",
		EndSessionEndpoint:    p.URL + "/connect/endsession",
		ResponseTypes:         []string{"code", "code id_token"},
		ResponseModes:         []string{"form_post", "fragment"},
		SigningAlgorithms:     []string{"RS256", "none"},
		TokenAuthMethods:      []string{"client_secret_basic"},
		CodeChallengeMethods:  []string{"plain", "S256"},
		IssuerParameter:       true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is there and wrong is refused, and no static endpoint papers over it.
func TestMetadataRefusesADocument(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(map[string]any)
	}{
		{"another issuer", set("issuer", "https://server.example.com")},
		{"issuer with a slash", func(c map[string]any) { c["issuer"] = fmt.Sprint(c["issuer"], "/") }},
		{"issuer missing", remove("issuer")},
		{"ISSUER for issuer", func(c map[string]any) { c["ISSUER"] = c["issuer"]; delete(c, "issuer") }},
		{"no token endpoint", remove("token_endpoint")},
		{"no keys", remove("jwks_uri")},
		{"no authorization endpoint", remove("authorization_endpoint")},
		{"a relative endpoint", set("token_endpoint", "/token")},
		{"another scheme", set("token_endpoint", "ftp://server.example.com/token")},
		{"a script", set("authorization_endpoint", "javascript:alert(1)")},
		{"userinfo in an endpoint", set("revocation_endpoint", "https://a:b@server.example.com/revoke")},
		{"fragment in an endpoint", set("authorization_endpoint", "https://server.example.com/#a")},
		{"an endpoint that is a number", set("token_endpoint", 1)},
		{"a list that is a word", set("response_modes_supported", "form_post")},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			document := p.discovery()
			row.change(document)
			p.setDocument(answer(encode(t, document)))
			_, err := p.directory().Metadata(t.Context(), p.URL, static(p))
			var wrong *oidc.MetadataError
			if !errors.As(err, &wrong) {
				t.Fatalf("got %v, want the document refused", err)
			}
			if wrong.Issuer != p.URL || wrong.Fault().Kind != fault.ProviderRejected {
				t.Errorf("got %v of %q", wrong.Fault().Kind, wrong.Issuer)
			}
		})
	}
}

// static are endpoints as a provider file has them.
func static(p *provider) *oidc.Metadata {
	return &oidc.Metadata{
		AuthorizationEndpoint: p.URL + "/static/authorize",
		TokenEndpoint:         p.URL + "/static/token",
		JWKSURI:               p.URL + "/jwks",
	}
}

func TestStaticEndpointsStandInForNoDocument(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	t.Cleanup(elsewhere.Close)
	for name, handler := range map[string]http.HandlerFunc{
		"not found":    status(http.StatusNotFound),
		"out of order": status(http.StatusServiceUnavailable),
		"a page":       answer([]byte("<!doctype html><title>a word of the provider's</title>")),
		"a list":       answer([]byte(`["a word of the provider's"]`)),
		"too large":    answer([]byte(`{"issuer":"` + strings.Repeat("a", 256<<10) + `"}`)),
		"elsewhere":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"hanging up":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.setDocument(handler)
			d := p.directory()
			got, err := d.Metadata(t.Context(), p.URL, static(p))
			if err != nil {
				t.Fatal(err)
			}
			want := *static(p)
			want.Issuer, want.Static = p.URL, true
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			_, err = d.Metadata(t.Context(), p.URL, nil)
			u := wantUnavailable(t, err)
			if shown := u.Fault(); shown.Kind != fault.ProviderUnavailable || shown.RetryAfter != 30*time.Second {
				t.Errorf("shown as %v after %s", shown.Kind, shown.RetryAfter)
			}
			if said := err.Error() + p.journal.String(); strings.Contains(said, "a word of") || strings.Contains(said, "aaaa") {
				t.Errorf("the body is in the error or the log: %.200s", said)
			}
		})
	}
}

func TestStaticEndpointsAreHeldToTheRules(t *testing.T) {
	t.Parallel()
	d := oidc.NewDirectory(oidc.Config{HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("no route")
	})}})
	for name, fallback := range map[string]oidc.Metadata{
		"http under an https issuer": {
			AuthorizationEndpoint: "https://a.example/authorize", TokenEndpoint: "http://a.example/token", JWKSURI: "https://a.example/jwks",
		},
		"a hole": {AuthorizationEndpoint: "https://a.example/authorize", TokenEndpoint: "https://a.example/token"},
	} {
		_, err := d.Metadata(t.Context(), "https://a.example", &fallback)
		if wrong := new(oidc.MetadataError); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An https issuer keeps everything on https, whatever its document says.
func TestMetadataOfAnHTTPSIssuer(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	var document map[string]any
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(encode(t, document)) })
	server.StartTLS()
	t.Cleanup(server.Close)
	for endpoint, ok := range map[string]bool{"https://a.example/end": true, "http://a.example/end": false} {
		document = map[string]any{
			"issuer": server.URL, "authorization_endpoint": server.URL + "/a", "token_endpoint": server.URL + "/t",
			"jwks_uri": server.URL + "/k", "end_session_endpoint": endpoint,
		}
		_, err := oidc.NewDirectory(oidc.Config{HTTP: server.Client()}).Metadata(t.Context(), server.URL, nil)
		if wrong := new(oidc.MetadataError); errors.As(err, &wrong) == ok {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestMetadataRefusesAnIssuer(t *testing.T) {
	t.Parallel()
	d := oidc.NewDirectory(oidc.Config{HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("asked %s", r.URL)
		return nil, errors.New("no")
	})}})
	for _, issuer := range []string{
		"", "server.example.com", "ftp://server.example.com", "https://", "https://server.example.com?",
		"https://server.example.com/?a=b", "https://server.example.com/#", "https://a:b@server.example.com", "https://%zz",
	} {
		_, err := d.Metadata(t.Context(), issuer, nil)
		if wrong := new(oidc.MetadataError); !errors.As(err, &wrong) {
			t.Errorf("%q: got %v", issuer, err)
		}
	}
}

func TestMetadataLivesAtTheWellKnownPath(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		"https://a.example":         "https://a.example/.well-known/openid-configuration",
		"https://a.example/":        "https://a.example/.well-known/openid-configuration",
		"https://a.example/tenant":  "https://a.example/tenant/.well-known/openid-configuration",
		"https://a.example/tenant/": "https://a.example/tenant/.well-known/openid-configuration",
	} {
		asked := make(chan string, 1)
		d := oidc.NewDirectory(oidc.Config{HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			asked <- r.URL.String()
			return nil, errors.New("no")
		})}})
		_, err := d.Metadata(t.Context(), issuer, nil)
		_ = wantUnavailable(t, err)
		if got := <-asked; got != want {
			t.Errorf("%s: asked %s", issuer, got)
		}
	}
}

func TestMetadataIsKept(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	d := p.directory()
	ask := func() oidc.Metadata {
		t.Helper()
		m, err := d.Metadata(t.Context(), p.URL, static(p))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := ask()
	p.clock.Advance(time.Hour - time.Second)
	ask()
	if n := p.documentCalls.Load(); n != 1 {
		t.Fatalf("asked %d times within the TTL", n)
	}

	// Gone, and then somebody else's: the copy stays good.
	for _, handler := range []http.HandlerFunc{
		status(http.StatusBadGateway),
		answer([]byte(`{"issuer":"https://server.example.com"}`)),
	} {
		p.setDocument(handler)
		p.clock.Advance(31 * time.Second)
		if diff := cmp.Diff(first, ask()); diff != "" {
			t.Error(diff)
		}
	}
	ask()
	if n := p.documentCalls.Load(); n != 3 {
		t.Errorf("asked %d times, want 3: once in half a minute", n)
	}

	document := p.discovery()
	document["token_endpoint"] = p.URL + "/moved"
	p.setDocument(answer(encode(t, document)))
	p.clock.Advance(31 * time.Second)
	if got := ask(); got.TokenEndpoint != p.URL+"/moved" {
		t.Errorf("still %s", got.TokenEndpoint)
	}
}

func TestAnOutageIsSaidOnce(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	good := answer(encode(t, p.discovery()))
	d := p.directory()
	for outage := 1; outage <= 2; outage++ {
		p.setDocument(status(http.StatusBadGateway))
		// A directory that has a copy does not fall back: start without one.
		if outage == 2 {
			d = p.directory()
		}
		for range 5 {
			if _, err := d.Metadata(t.Context(), p.URL, static(p)); err != nil {
				t.Fatal(err)
			}
			p.clock.Advance(31 * time.Second)
		}
		if got := strings.Count(p.journal.String(), "using the endpoints of the provider file"); got != outage {
			t.Errorf("outage %d: fallback said %d times", outage, got)
		}
		if got := strings.Count(p.journal.String(), "cannot read a document of the provider"); got != outage {
			t.Errorf("outage %d: said %d times", outage, got)
		}
		p.setDocument(good)
		m, err := d.Metadata(t.Context(), p.URL, static(p))
		if err != nil {
			t.Fatal(err)
		}
		if m.Static {
			t.Error("still on static endpoints")
		}
		if got := strings.Count(p.journal.String(), "can read a document of the provider again"); got != outage {
			t.Errorf("outage %d: end said %d times", outage, got)
		}
	}
}

func TestOneFetchForManyCallers(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	good := answer(encode(t, p.discovery()))
	arrived, release := make(chan struct{}), make(chan struct{})
	p.setDocument(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		good(w, r)
	})
	d := p.directory()

	// The first caller gives up; the fetch it began is everybody's.
	impatient, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := d.Metadata(impatient, p.URL, static(p))
		gone <- err
	}()
	<-arrived
	p.clock.Advance(time.Minute) // however long it takes
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v", err)
	}

	var callers, started sync.WaitGroup
	for range 50 {
		started.Add(1)
		callers.Go(func() {
			started.Done()
			if m, err := d.Metadata(t.Context(), p.URL, static(p)); err != nil || m.Static {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
	started.Wait()
	close(release)
	callers.Wait()
	if n := p.documentCalls.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// A provider that does not answer costs somebody who has an old copy two
// seconds, and no more than a goroutine.
func TestAnOldCopyIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const issuer = "https://a.example"
		calls := 0
		d := oidc.NewDirectory(oidc.Config{HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			if calls++; calls > 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			w := httptest.NewRecorder()
			_, _ = w.WriteString(`{"issuer":"https://a.example","authorization_endpoint":"https://a.example/a",` +
				`"token_endpoint":"https://a.example/t","jwks_uri":"https://a.example/k"}`)
			return w.Result(), nil
		})}, Log: slog.New(slog.DiscardHandler)})
		if _, err := d.Metadata(t.Context(), issuer, nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		before := time.Now()
		if _, err := d.Metadata(t.Context(), issuer, nil); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(before); waited != 2*time.Second {
			t.Errorf("waited %s", waited)
		}
		<-time.After(time.Minute) // the fetch ends by its own deadline, or synctest complains
	})
}

// What nobody asks for makes room; what is in use stays.
func TestADirectoryIsBounded(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	d := p.directory()
	address := func(i int) string { return fmt.Sprintf("https://a.example/%d", i) }
	idle, busy := d.Keys(address(0)), d.Keys(address(1))
	for i := 2; i < 600; i++ {
		p.clock.Advance(time.Second)
		d.Keys(address(i))
		if d.Keys(address(1)) != busy {
			t.Fatalf("what is in use went with %d others", i)
		}
	}
	if d.Keys(address(0)) == idle {
		t.Error("600 key sets, and none forgotten")
	}
}
