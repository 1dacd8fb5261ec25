package providers_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/vault"
)

// fake stands in for a service on the internet: the built-in provider file,
// with its hosts exchanged for one on loopback.
type fake struct {
	*providers.Service
	t      *testing.T
	server *httptest.Server
	mux    *http.ServeMux
	clock  *clock
	in     vault.Integration

	mu    sync.Mutex
	asked []asked
}

// asked is one request that a fake got.
type asked struct {
	route string
	auth  string // the Authorization header
	form  url.Values
	body  string
	head  http.Header
}

const (
	fakeClient = "client-1"
	fakeSecret = "s3cret/with+odd chars"
)

func newFake(t *testing.T, provider string, hosts ...string) *fake {
	t.Helper()
	text, err := os.ReadFile("catalog/" + provider + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return newFakeOf(t, provider, string(text), hosts...)
}

// newFakeOf is a fake with a provider file of its own.
func newFakeOf(t *testing.T, provider, file string, hosts ...string) *fake {
	t.Helper()
	f := &fake{t: t, mux: http.NewServeMux(), clock: newClock()}
	f.server = httptest.NewUnstartedServer(f.mux)
	f.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	for _, host := range hosts {
		file = strings.ReplaceAll(file, "https://"+host, f.server.URL)
	}
	catalog, err := providers.Load(fstest.MapFS{provider + ".yaml": &fstest.MapFile{Data: []byte(file)}})
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(f.server.Certificate())
	client := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, RootCAs: pool})
	t.Cleanup(client.Close)
	f.Service = providers.New(providers.Config{
		Catalog: catalog, HTTP: client, PublicURL: mustURL(t, publicURL), Now: f.clock.Now, Log: slog.New(slog.DiscardHandler),
	})
	f.in = vault.Integration{ID: "int_1", Provider: provider, ClientID: fakeClient, ClientSecret: vault.NewSecret(fakeSecret)}
	if err := f.CheckIntegration(f.in); err != nil {
		t.Fatal(err)
	}
	return f
}

// answer serves the answers in turn, the last one for ever.
func (f *fake) answer(route string, answers ...any) {
	f.mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			f.t.Errorf("%s: %v", route, err)
		}
		form, _ := url.ParseQuery(string(body))
		f.mu.Lock()
		n := 0
		for _, a := range f.asked {
			if a.route == route {
				n++
			}
		}
		f.asked = append(f.asked, asked{route, r.Header.Get("Authorization"), form, string(body), r.Header})
		f.mu.Unlock()
		switch a := answers[min(n, len(answers)-1)].(type) {
		case int:
			w.WriteHeader(a)
		case string:
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
			_, _ = io.WriteString(w, a)
		case func() any:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(a())
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(a)
		}
	})
}

// calls are the requests to one route.
func (f *fake) calls(route string) []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []asked
	for _, a := range f.asked {
		if a.route == route {
			calls = append(calls, a)
		}
	}
	return calls
}

type object = map[string]any

// begin starts a trip and gives the authorization request.
func (f *fake) begin(method string) (url.Values, vault.Attempt) {
	f.t.Helper()
	u, values, err := f.Begin(f.t.Context(), f.in, method, vault.NewSecret("state-1"))
	if err != nil {
		f.t.Fatal(err)
	}
	return u.Query(), vault.Attempt{ID: "att_1", IntegrationID: f.in.ID, Method: method, Values: values, CreatedAt: f.clock.Now()}
}

// link goes there and comes back with a code.
func (f *fake) link(method string) vault.Grant {
	f.t.Helper()
	_, at := f.begin(method)
	g, err := f.Complete(f.t.Context(), f.in, at, f.reply(url.Values{"state": {"state-1"}, "code": {"code-1"}}))
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

func (f *fake) reply(values url.Values) providers.Reply {
	f.t.Helper()
	r, err := providers.ParseReply(providers.ModeQuery, values)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// refresh does both steps.
func (f *fake) refresh(method string, g vault.Grant) vault.Grant {
	f.t.Helper()
	r, err := f.Refresh(f.t.Context(), f.in, connection(f.in, method, g), g.Credential)
	if err != nil {
		f.t.Fatal(err)
	}
	next, err := r.Finish(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return next
}

// issuer signs id_tokens.
type issuer struct {
	key    *rsa.PrivateKey
	signer jose.Signer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key, signer}
}

func (i *issuer) jwks() any {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"}}}
}

func (i *issuer) token(t *testing.T, iss, nonce string, now time.Time, more object) string {
	t.Helper()
	claims := object{"iss": iss, "sub": "1815", "aud": fakeClient, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	maps.Copy(claims, more)
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := i.signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}
