package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the OpenAPI document that a broker serves, ready to hold answers to.
type contract struct {
	doc        object
	operations []operation
	mu         sync.Mutex // guards compiler, and schemas made so far
	compiler   *jsonschema.Compiler
}

// operation is a method at a path of the document.
type operation struct {
	method, path string // "GET", "/v1/connections/{id}"
	route        *regexp.Regexp
	spec         object
}

func (o operation) String() string { return o.method + " " + o.path }

// scope is the one that the operation needs.
func (o operation) scope(t *testing.T) string {
	t.Helper()
	security, _ := o.spec["security"].([]any)
	if len(security) != 1 {
		t.Fatalf("%s: security = %v", o, o.spec["security"])
	}
	scopes, _ := security[0].(object)["apiKey"].([]any)
	if len(scopes) != 1 {
		t.Fatalf("%s: security = %v", o, o.spec["security"])
	}
	return scopes[0].(string)
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

func newContract(t *testing.T, base string) *contract {
	t.Helper()
	resp, err := http.Get(base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v: %s", resp.StatusCode, err, raw)
	}
	k := &contract{compiler: jsonschema.NewCompiler()}
	if err := json.Unmarshal(raw, &k.doc); err != nil {
		t.Fatal(err)
	}
	for path, item := range k.doc["paths"].(object) {
		for method, spec := range item.(object) {
			if method == "parameters" {
				continue
			}
			k.operations = append(k.operations, operation{
				method: strings.ToUpper(method), path: path, spec: spec.(object),
				route: regexp.MustCompile("^" + placeholder.ReplaceAllString(path, `[^/?]+`) + `(\?|$)`),
			})
		}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	closeObjects(doc)
	k.compiler.DefaultDraft(jsonschema.Draft2020)
	k.compiler.AssertFormat()
	if err := k.compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return k
}

// closeObjects refuses members that a schema does not name: to clients an
// answer may grow, to these tests it has grown by mistake.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, open := v["additionalProperties"]; !open && v["type"] == "object" && v["properties"] != nil {
			v["additionalProperties"] = false
		}
		for _, member := range v {
			closeObjects(member)
		}
	case []any:
		for _, item := range v {
			closeObjects(item)
		}
	}
}

// schema compiles the schema at a place of the document.
func (k *contract) schema(t *testing.T, place ...string) *jsonschema.Schema {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	at := "openapi.json#"
	for _, name := range place {
		at += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	s, err := k.compiler.Compile(strings.NewReplacer("{", "%7B", "}", "%7D").Replace(at))
	if err != nil {
		t.Fatalf("compiling %s: %v", at, err)
	}
	return s
}

// find is the operation that a call is for, nil where there is none. The
// longest path wins: it has the most literal segments.
func (k *contract) find(method, path string) *operation {
	var found *operation
	for i, o := range k.operations {
		if o.method == method && o.route.MatchString(path) && (found == nil || len(o.path) > len(found.path)) {
			found = &k.operations[i]
		}
	}
	return found
}

// check holds an answer to what the document says of it.
func (k *contract) check(c *call, a *answer) {
	t := a.t
	t.Helper()
	o := k.find(c.method, c.path)
	if o == nil {
		if a.StatusCode < 400 {
			t.Errorf("%s is not in the document", a.name)
		}
		return
	}
	status := strconv.Itoa(a.StatusCode)
	place := []string{"paths", o.path, strings.ToLower(o.method), "responses", status}
	spec, ok := o.spec["responses"].(object)[status].(object)
	if !ok {
		t.Errorf("%s: the document has no answer %s: %s", o, status, a.body)
		return
	}
	if ref, ok := spec["$ref"].(string); ok {
		place = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
		spec = k.doc["components"].(object)["responses"].(object)[place[2]].(object)
	}
	content, ok := spec["content"].(object)
	if !ok {
		if len(a.body) > 0 {
			t.Errorf("%s: the document has no body for %s: %s", o, status, a.body)
		}
		return
	}
	mediaType, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || content[mediaType] == nil {
		t.Errorf("%s: content type %q is not in the document for %s", o, a.Header.Get("Content-Type"), status)
		return
	}
	headers, _ := spec["headers"].(object)
	for name := range headers {
		if name != "Retry-After" && a.Header.Get(name) == "" {
			t.Errorf("%s: no header %s", a.name, name)
		}
	}
	var v any = string(a.body)
	if mediaType != "text/plain" && mediaType != "application/jsonl" {
		if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(a.body)); err != nil {
			t.Errorf("%s: %v: %s", a.name, err, a.body)
			return
		}
	}
	if err := k.schema(t, append(place, "content", mediaType, "schema")...).Validate(v); err != nil {
		t.Errorf("%s: %#v: %s", a.name, err, a.body)
	}
}

// examples are the request bodies that the document shows for an operation.
func (k *contract) examples(o operation) map[string]any {
	body, ok := o.spec["requestBody"].(object)
	if !ok {
		return nil
	}
	if ref, ok := body["$ref"].(string); ok {
		body = k.doc["components"].(object)["requestBodies"].(object)[strings.TrimPrefix(ref, "#/components/requestBodies/")].(object)
	}
	out := map[string]any{}
	for name, e := range body["content"].(object)["application/json"].(object)["examples"].(object) {
		out[name] = e.(object)["value"]
	}
	return out
}

// requestSchema is the place of an operation's request body.
func (o operation) requestSchema() []string {
	if ref, ok := o.spec["requestBody"].(object)["$ref"].(string); ok {
		return append(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), "content", "application/json", "schema")
	}
	return []string{"paths", o.path, strings.ToLower(o.method), "requestBody", "content", "application/json", "schema"}
}

// example is one of them, nil where the operation takes no body.
func (k *contract) example(o operation) any {
	for _, v := range k.examples(o) {
		return v
	}
	return nil
}

// fill puts ids into a path.
func fill(path string, id string) string { return placeholder.ReplaceAllString(path, id) }
