package bench

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/api"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/refresh"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// broker is the API on a listener, with one connection to ask for.
type broker struct {
	url, key, connection string
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func newBroker(b *testing.B, db *storetest.DB) broker {
	b.Helper()
	keyset, err := vault.NewKeyset()
	must(b, err)
	log, err := os.Create(filepath.Join(b.TempDir(), "log"))
	must(b, err)
	b.Cleanup(func() { must(b, log.Close()) })
	logger := slog.New(slog.NewJSONHandler(log, nil))
	catalog, err := providers.Load(nil)
	must(b, err)
	public := &url.URL{Scheme: "http", Host: "localhost"}
	client := outbound.New(outbound.Config{Log: logger})
	b.Cleanup(client.Close)
	service := providers.New(providers.Config{Catalog: catalog, HTTP: client, PublicURL: public, Log: logger})
	v := vault.New(vault.Config{
		Store: db.Open(b), Keyset: keyset, Log: logger,
		CheckIntegration: service.CheckIntegration, TellProvider: service.Revoke,
	})
	must(b, v.CheckKeyset(b.Context()))
	env, err := v.EnsureEnvironment(b.Context(), vault.DefaultEnvironment)
	must(b, err)
	caller := vault.System("bench", env.ID)
	_, key, err := v.CreateAPIKey(b.Context(), caller, vault.NewAPIKey{Name: "bench", Scopes: vault.AllScopes()})
	must(b, err)
	in, err := v.CreateIntegration(b.Context(), caller, vault.Integration{Key: "toggl", Provider: "toggl"})
	must(b, err)
	token := strings.Repeat("t", 1<<10) // what a JWT of some claims takes
	conn, err := v.ImportConnection(b.Context(), caller, vault.NewImport{
		Integration: in, Method: "api_token", EndUser: vault.EndUser{ID: "bench"},
		Grant: vault.Grant{
			Credential: vault.Credential{"token": vault.NewSecret(token)},
			Headers:    []vault.Header{{Name: "Authorization", Value: vault.NewSecret("Bearer " + token)}},
			BaseURL:    "https://api.track.toggl.com", ExpiresAt: time.Now().Add(24 * time.Hour), Renewable: true,
		},
	})
	must(b, err)
	e, err := httpd.New(httpd.Config{Log: logger, PublicURL: public})
	must(b, err)
	engine := refresh.New(refresh.Config{Vault: v, Providers: service, Log: logger})
	api.New(api.Config{Vault: v, Providers: service, Engine: engine, PublicURL: public}).Mount(e)
	server := httptest.NewServer(e)
	b.Cleanup(server.Close)
	return broker{server.URL, key.Reveal(), conn.ID}
}

// BenchmarkHeaders is one caller after another in each of GOMAXPROCS lanes,
// everything on: authentication, scope, unsealing, request log to a file.
func BenchmarkHeaders(b *testing.B) {
	databases := map[string]func(testing.TB) *storetest.DB{"sqlite": storetest.SQLite}
	if os.Getenv(storetest.EnvPostgres) != "" {
		databases["postgres"] = storetest.Postgres
	}
	for kind, open := range databases {
		b.Run(kind, func(b *testing.B) {
			x := newBroker(b, open(b))
			transport := &http.Transport{MaxIdleConnsPerHost: 64}
			b.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport}
			b.SetParallelism(8)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if body := x.ask(b, client); !bytes.Contains(body, []byte(`"generation":1`)) {
						b.Errorf("answer: %.80s", body)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}

func (x broker) ask(b *testing.B, client *http.Client) []byte {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, x.url+"/v1/connections/"+x.connection+"/headers", http.NoBody)
	if err != nil {
		b.Error(err)
		return nil
	}
	req.Header.Set("Authorization", "Bearer "+x.key)
	answer, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		b.Errorf("status %d, %v", answer.StatusCode, err)
	}
	return body
}
