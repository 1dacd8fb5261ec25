package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/sandbox"
)

// world is a broker as somebody runs it, with a database of its own, the three
// services beside it, and a front that browsers and backends go through. With
// PostgreSQL two processes serve it, request by request the other one.
//
// When its test ends everything that is left of it is searched for secrets.
type world struct {
	t        *testing.T
	kind     string // sqlite or postgres
	settings []string
	dataDir  string // sqlite
	database string // postgres
	brokers  []*broker
	front    *front
	sandbox  *sandbox.Sandbox
	api      backend
	http     *http.Client

	mu     *sync.Mutex
	hidden secrets
}

// onBoth tells a story on SQLite and on PostgreSQL.
func onBoth(t *testing.T, story func(t *testing.T, w *world)) {
	t.Helper()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			story(t, newWorld(t, kind))
		})
	}
}

// apiKey is the configured key of every world.
const apiKey = "e2e-key-Xw6mJcQ9dHt2RzLs8NvB4yFk"

// newWorld starts one; more are settings beside the usual ones.
func newWorld(t *testing.T, kind string, more ...string) *world {
	t.Helper()
	w := &world{t: t, kind: kind, mu: &sync.Mutex{}, hidden: secrets{"the configured API key": apiKey}}
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	w.makeKeyset(keyset)
	w.settings = []string{
		"CLAVIGER_KEYSET_FILE=" + keyset, "CLAVIGER_API_KEY=" + apiKey,
		"CLAVIGER_OUTBOUND_ALLOW=127.0.0.0/8", "CLAVIGER_APP_NAME=Acme Reports",
	}
	w.settings = append(w.settings, more...)
	switch kind {
	case "sqlite":
		w.dataDir = t.TempDir()
		w.settings = append(w.settings, "CLAVIGER_DATA_DIR="+w.dataDir)
	case "postgres":
		w.database = newDatabase(t)
		w.settings = append(w.settings, "CLAVIGER_DATABASE_URL="+w.database)
		w.run("migrate", "up")
		if u, err := url.Parse(w.database); err == nil {
			if password, _ := u.User.Password(); password != "" {
				w.hide("the database's password", password)
			}
		}
	}
	services, err := sandbox.Start(t.Context(), sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = services.Close() })
	w.sandbox = services
	w.front = startFront(t)
	w.start()
	if kind == "postgres" {
		w.start()
	}
	w.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 2 * time.Minute}
	w.api = backend{t: t, url: w.front.url, key: apiKey, http: w.http}
	t.Cleanup(w.searchForSecrets)
	return w
}

// in is the same world for a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t, sub.api = t, w.api.in(t)
	return &sub
}

// start starts one more process on the world's database.
func (w *world) start() *broker {
	w.t.Helper()
	b := startBroker(w.t, append(slices.Clone(w.settings), "CLAVIGER_PUBLIC_URL="+w.front.url)...)
	w.brokers = append(w.brokers, b)
	w.front.add(b)
	return b
}

// at is the backend of the world talking to one process only.
func (w *world) at(b *broker) backend {
	return backend{t: w.t, url: b.url, key: apiKey, http: w.http}
}

// run runs a command of the binary to its end with the world's settings.
func (w *world) run(args ...string) string {
	w.t.Helper()
	settings := slices.Clone(w.settings)
	if w.front != nil {
		settings = append(settings, "CLAVIGER_PUBLIC_URL="+w.front.url)
	}
	cmd := claviger(w.t, settings, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("claviger %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// makeKeyset has the binary make a keyset, and hides what is in it.
func (w *world) makeKeyset(path string) {
	w.t.Helper()
	out, err := claviger(w.t, nil, "key", "generate").Output()
	if err != nil {
		w.t.Fatalf("key generate: %v", err)
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		w.t.Fatal(err)
	}
	var doc struct {
		Key []struct {
			KeyData struct{ Value string } `json:"keyData"`
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil || len(doc.Key) == 0 {
		w.t.Fatalf("the keyset cannot be read: %v", err)
	}
	for i, k := range doc.Key {
		raw, err := base64.StdEncoding.DecodeString(k.KeyData.Value)
		if err != nil || len(raw) < 32 {
			w.t.Fatalf("key %d has %d bytes: %v", i, len(raw), err)
		}
		// A protocol buffer whose last field is the key.
		w.hide(fmt.Sprintf("master key %d", i), string(raw[len(raw)-32:]))
	}
}

// hide notes a secret of this run.
func (w *world) hide(name, secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hidden[name] = secret
}

// integrate sets an integration up and answers its id.
func (w *world) integrate(in map[string]any) string {
	w.t.Helper()
	var made struct{ ID string }
	w.api.post("/v1/integrations", in).want(http.StatusCreated).into(&made)
	return made.ID
}

func (w *world) integrateToggl() {
	w.t.Helper()
	base := w.sandbox.Toggl().URL()
	w.integrate(map[string]any{
		"provider": "toggl", "key": "toggl",
		"overrides": map[string]any{"base_url": base, "session_url": base + "/api/sessions"},
	})
}

func (w *world) integrateClickTime() {
	w.t.Helper()
	w.integrate(map[string]any{
		"provider": "clicktime", "key": "clicktime",
		"overrides": map[string]any{"base_url": w.sandbox.ClickTime().APIURL()},
	})
}

// integrateTimeLog sets TimeLog up under a key; mode "" leaves the choice of
// the response mode to the broker.
func (w *world) integrateTimeLog(key, mode string) string {
	w.t.Helper()
	timeLog := w.sandbox.TimeLog()
	return w.integrateOpenID(key, timeLog.Issuer(), sandbox.DemoClientID, sandbox.DemoClientSecret, mode)
}

func (w *world) integrateOpenID(key, issuer, clientID, clientSecret, mode string) string {
	w.t.Helper()
	w.hide("the client secret of "+key, clientSecret)
	overrides := map[string]any{"issuer": issuer, "allowed_hosts": []string{strings.TrimPrefix(issuer, "http://")}}
	if mode != "" {
		overrides["response_mode"] = mode
	}
	return w.integrate(map[string]any{
		"provider": "timelog", "key": key, "client_id": clientID, "client_secret": clientSecret, "overrides": overrides,
	})
}

// link makes a connect link for an end user; more is merged into the request.
func (w *world) link(endUser string, integrations []string, more map[string]any) link {
	w.t.Helper()
	request := map[string]any{
		"end_user":     map[string]any{"id": endUser, "name": "Ada Lovelace", "email": "ada@acme.example"},
		"integrations": integrations,
	}
	maps.Copy(request, more)
	var l link
	w.api.post("/v1/connect-sessions", request).want(http.StatusCreated).into(&l)
	token := l.URL[strings.LastIndexByte(l.URL, '/')+1:]
	w.hide("a connect token "+mark(token), token)
	return l
}

// linked is the one active connection of an end user.
func (w *world) linked(endUser string) connection {
	w.t.Helper()
	list := w.api.connections(endUser)
	if len(list) != 1 || list[0].Status != "active" {
		w.t.Fatalf("%s has the connections %+v, want one that is active", endUser, list)
	}
	return list[0]
}

// secrets is every secret that this run has used until now.
func (w *world) secrets() secrets {
	all := w.front.secrets()
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.Copy(all, w.hidden)
	for i, s := range w.sandbox.Secrets() {
		all[fmt.Sprintf("secret %d of the services", i)] = s
	}
	return all
}

// searchForSecrets looks at all that is left of the world, while it is in use
// and when its processes have ended.
func (w *world) searchForSecrets() {
	for _, leak := range w.leaks() {
		w.t.Errorf("while in use %s", leak)
	}
	// A stopping server gives connections that were opened for nothing some
	// seconds, and clients open such.
	w.http.CloseIdleConnections()
	w.front.transport.CloseIdleConnections()
	for _, b := range w.brokers {
		_ = b.terminate() // its own cleanup says what it thinks of the end
	}
	for _, leak := range w.leaks() {
		w.t.Errorf("in the end %s", leak)
	}
}

// leaks looks for every secret of the run in the database, in the whole log of
// every process, and in all answers that browsers and backends were sent.
// Answers that carry a secret on purpose are searched for all others.
func (w *world) leaks() []string {
	hidden := w.secrets().search(w.t)
	var found []string
	look := func(where string, content []byte, meant *regexp.Regexp) {
		if len(content) == 0 {
			found = append(found, where+" is empty: nothing was looked at")
		}
		for _, leak := range hidden.leaks(content) {
			if meant == nil || !meant.MatchString(leak) {
				found = append(found, where+" has "+leak)
			}
		}
	}
	if w.kind == "sqlite" {
		look("the database", readTree(w.t, w.dataDir), nil)
	} else {
		look("the dump", dumpPostgres(w.t, w.database), nil)
	}
	for _, b := range w.brokers {
		look("the log of "+b.name, b.log(w.t), nil)
	}
	for _, x := range w.front.exchanges() {
		look("the answer to "+x.method+" "+x.path, x.text(), x.meantFor())
	}
	return found
}

// TestNothingHides plants a secret in a world where free text goes, and finds it
// in the database and in the answer. A search that finds nothing proves little
// before that.
func TestNothingHides(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, w *world) {
		w.integrateToggl()
		id := importToggl(w, "careless")
		const planted = "planted-in-metadata-0123456789"
		w.hide("what was planted", planted)
		if found := w.leaks(); len(found) > 0 {
			t.Fatalf("before: %q", found)
		}
		w.api.call(http.MethodPatch, "/v1/connections/"+id, map[string]any{"metadata": map[string]any{"note": planted}}).want(http.StatusOK)
		found := strings.Join(w.leaks(), "\n")
		database := map[string]string{"sqlite": "the database has what was planted", "postgres": "the dump has what was planted"}[w.kind]
		for _, want := range []string{database, "the answer to PATCH /v1/connections/" + id + " has what was planted"} {
			if !strings.Contains(found, want) {
				t.Errorf("not found: %s, but %q", want, found)
			}
		}
		w.mu.Lock()
		delete(w.hidden, "what was planted")
		w.mu.Unlock()
	})
}
