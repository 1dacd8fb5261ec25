package api_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/store/storetest"
	"github.com/claviger/claviger/internal/vault"
)

// TestDocumentAndRoutes: what is served is in the document and the other way
// round, each with one scope that exists.
func TestDocumentAndRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	var served, described []string
	for _, r := range w.echo.Routes() {
		if r.Method != echo.RouteNotFound && strings.HasPrefix(r.Path, "/v1/") {
			segments := strings.Split(r.Path, "/")
			for i, s := range segments {
				if name, ok := strings.CutPrefix(s, ":"); ok {
					segments[i] = "{" + name + "}"
				}
			}
			served = append(served, r.Method+" "+strings.Join(segments, "/"))
		}
	}
	ids := map[string]bool{}
	for _, o := range w.contract.operations {
		described = append(described, o.String())
		if scope := vault.Scope(o.scope(t)); !slices.Contains(vault.AllScopes(), scope) {
			t.Errorf("%s needs %q, which is no scope", o, scope)
		}
		if id, _ := o.spec["operationId"].(string); id == "" || ids[id] {
			t.Errorf("%s: operationId %q is empty or taken", o, id)
		} else {
			ids[id] = true
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if d := cmp.Diff(served, described); d != "" {
		t.Errorf("routes (-served +described):\n%s", d)
	}
	if len(served) < 20 {
		t.Errorf("%d routes", len(served))
	}
}

// TestDocumentWords: the words of the document are the words of the code.
func TestDocumentWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	schemas := w.contract.doc["components"].(object)["schemas"].(object)
	words := func(schema any, path ...string) []string {
		for _, name := range path {
			schema = schema.(object)[name]
		}
		var out []string
		for _, v := range schema.([]any) {
			out = append(out, v.(string))
		}
		slices.Sort(out)
		return out
	}
	var scopes []string
	for _, s := range vault.AllScopes() {
		scopes = append(scopes, string(s))
	}
	slices.Sort(scopes)
	if d := cmp.Diff(scopes, words(schemas["Scope"], "enum")); d != "" {
		t.Errorf("scopes (-code +document):\n%s", d)
	}
	types := []string{
		string(vault.EventCreated), string(vault.EventReconnectRequired), string(vault.EventRecovered),
		string(vault.EventRefreshFailing), string(vault.EventRefreshed), string(vault.EventRevoked),
	}
	if d := cmp.Diff(types, words(schemas["Event"], "properties", "type", "enum")); d != "" {
		t.Errorf("types of events (-code +document):\n%s", d)
	}
	codes := words(schemas["Problem"], "properties", "code", "enum")
	for k := fault.Internal; k <= fault.Unavailable; k++ {
		if !slices.Contains(codes, k.Code()) {
			t.Errorf("code %s is not in the document", k.Code())
		}
	}
	// A code in the text of an answer is one that there is.
	for name, r := range w.contract.doc["components"].(object)["responses"].(object) {
		words := strings.Split(r.(object)["description"].(string), "`")
		for i := 1; i < len(words); i += 2 {
			if !slices.Contains(codes, words[i]) && words[i] != "connection_id" {
				t.Errorf("answer %s names %q, which is no code", name, words[i])
			}
		}
	}
	method := schemas["Provider"].(object)["properties"].(object)["methods"].(object)["items"].(object)["properties"].(object)
	want := []string{
		string(providers.SchemeBasic), string(providers.SchemeExchange), string(providers.SchemeClientCredentials), string(providers.SchemeOAuth2Code),
		string(providers.SchemeOIDCHybrid), string(providers.SchemeSessionCookie), string(providers.SchemeToken),
	}
	if d := cmp.Diff(want, words(method["scheme"], "enum")); d != "" {
		t.Errorf("schemes (-code +document):\n%s", d)
	}
}

// TestDocumentExamples: every body that the document shows is one that it allows.
func TestDocumentExamples(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	n := 0
	for _, o := range w.contract.operations {
		examples := w.contract.examples(o)
		if o.spec["requestBody"] != nil && len(examples) == 0 {
			t.Errorf("%s has no example", o)
		}
		for name, e := range examples {
			n++
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(js(e)))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.contract.schema(t, o.requestSchema()...).Validate(v); err != nil {
				t.Errorf("%s: example %s: %#v", o, name, err)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d examples", n)
	}
	// And the examples that can be sent here are taken.
	for _, send := range []struct {
		method, path, name string
		status             int
	}{
		{http.MethodPost, "/v1/connect-sessions", "link", 201},
		{http.MethodPost, "/v1/connect-sessions", "manage", 201},
		{http.MethodPost, "/v1/api-keys", "reader", 201},
		{http.MethodPatch, "/v1/integrations/{key}", "title", 200},
		{http.MethodPatch, "/v1/integrations/{key}", "secret", 200},
	} {
		body := w.contract.examples(*w.contract.find(send.method, send.path))[send.name]
		w.request(send.method, fill(send.path, "toggl"), body).shows().want(send.status)
	}
}

// TestDocumentIsKept: it is public, the same for everybody, and asked for again
// only to hear that it has not changed.
func TestDocumentIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	fetch := func(method, etag string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+"/openapi.json", http.NoBody)
		w.must(err)
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		w.must(err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		w.must(err)
		return resp, body
	}
	first, body := fetch(http.MethodGet, "")
	etag := first.Header.Get("ETag")
	if first.StatusCode != 200 || first.Header.Get("Content-Type") != "application/json" || first.Header.Get("Cache-Control") != "no-cache" || len(etag) < 10 {
		t.Errorf("%d %v", first.StatusCode, first.Header)
	}
	if !bytes.Contains(body, []byte(`"servers":[{"url":"`+w.url+`"}]`)) || !bytes.Contains(body, []byte(`"openapi":"3.1.0"`)) {
		t.Errorf("the document begins %.200s", body)
	}
	for _, tt := range []struct {
		method, etag string
		status, size int
	}{
		{http.MethodGet, etag, 304, 0},
		{http.MethodGet, `"other"`, 200, len(body)},
		{http.MethodHead, "", 200, 0},
	} {
		resp, again := fetch(tt.method, tt.etag)
		if resp.StatusCode != tt.status || len(again) != tt.size || resp.Header.Get("ETag") != etag {
			t.Errorf("%s with %q: %d, %d bytes, ETag %s", tt.method, tt.etag, resp.StatusCode, len(again), resp.Header.Get("ETag"))
		}
	}
}

// TestDocumentComponents: nothing in it is left over.
func TestDocumentComponents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t))
	text := js(w.contract.doc)
	for kind, members := range w.contract.doc["components"].(object) {
		for name := range maps.Keys(members.(object)) {
			if kind != "securitySchemes" && !strings.Contains(text, `"#/components/`+kind+`/`+name+`"`) {
				t.Errorf("components/%s/%s is used nowhere", kind, name)
			}
		}
	}
}
