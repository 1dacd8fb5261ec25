package providers

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("provider.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("provider.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a YAML document as the schema library wants it.
func asJSON(t testing.TB, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func builtInFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := fs.Glob(builtIn, "catalog/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		data, err := fs.ReadFile(builtIn, name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, "catalog/")] = data
	}
	return files
}

func TestBuiltInFilesFitTheSchema(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	for name, data := range builtInFiles(t) {
		if err := schema.Validate(asJSON(t, data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.HasPrefix(data, []byte("# yaml-language-server: $schema=provider.schema.json\n")) {
			t.Errorf("%s does not name its schema in the first line", name)
		}
	}
}

func TestSchemaRefusesWhatTheDecoderRefuses(t *testing.T) {
	t.Parallel()
	schema := compileSchema(t)
	for name, text := range map[string]string{
		"unknown key":          minimal + "icon: x\n",
		"no methods":           "name: x\ntitle: X\nmethods: []\n",
		"number for text":      strings.Replace(minimal, "title: X", "title: 5", 1),
		"unknown scheme":       strings.Replace(minimal, "scheme: token", "scheme: tokens", 1),
		"settings missing":     strings.Replace(minimal, "    token:", "    basic:", 1),
		"http endpoint":        minimal + "base_url: http://api.example.com\n",
		"verified by minutes":  minimal + "verify: {url: 'https://x.example/me', account: {id: [id]}}\nverify_every: 30m\n",
		"brace without a name": strings.Replace(minimal, "Bearer {key}", "Bearer {key", 1),
	} {
		if _, f := parse("x.yaml", []byte(text)); len(f.Faults()) == 0 {
			t.Errorf("%s: the decoder takes it", name)
		}
		if schema.Validate(asJSON(t, []byte(text))) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
	if err := schema.Validate(asJSON(t, []byte(minimal))); err != nil {
		t.Errorf("the minimal file: %v", err)
	}
}

// The schema is written by hand, for its words. This holds it to the types.
func TestSchemaAndTypesHaveTheSameMembers(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	defs, _ := doc["$defs"].(map[string]any)
	seen := map[string]bool{}
	var walk func(at string, node map[string]any, typ reflect.Type)
	walk = func(at string, node map[string]any, typ reflect.Type) {
		if ref, ok := node["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, "#/$defs/")
			seen[name] = true
			target, _ := defs[name].(map[string]any)
			if target == nil {
				t.Errorf("%s: no definition %q", at, name)
				return
			}
			walk(at, target, typ)
			return
		}
		kind := func(want string) {
			if got := node["type"]; got != want && !(node["enum"] != nil && want == "string") && node["anyOf"] == nil {
				t.Errorf("%s: schema says %v, the type is a %s", at, got, typ)
			}
		}
		switch typ.Kind() {
		case reflect.Pointer:
			walk(at, node, typ.Elem())
		case reflect.Struct:
			kind("object")
			if node["additionalProperties"] != false {
				t.Errorf("%s: the schema lets more members in", at)
			}
			props, _ := node["properties"].(map[string]any)
			var want []string
			for f := range typ.Fields() {
				name := f.Tag.Get("yaml")
				want = append(want, name)
				if prop, ok := props[name].(map[string]any); ok {
					walk(at+"."+name, prop, f.Type)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, slices.Sorted(maps.Keys(props))); diff != "" {
				t.Errorf("%s: members of the type (-) and of the schema (+):\n%s", at, diff)
			}
		case reflect.Map:
			kind("object")
			if values, ok := node["additionalProperties"].(map[string]any); ok {
				walk(at+".*", values, typ.Elem())
			} else {
				t.Errorf("%s: the schema does not say what its values are", at)
			}
		case reflect.Slice:
			kind("array")
			if items, ok := node["items"].(map[string]any); ok {
				walk(at+"[]", items, typ.Elem())
			} else {
				t.Errorf("%s: the schema does not say what its items are", at)
			}
		case reflect.String:
			kind("string")
		case reflect.Bool:
			kind("boolean")
		case reflect.Int:
			kind("integer")
		default:
			t.Errorf("%s: unexpected type %s", at, typ)
		}
	}
	walk("provider", doc, reflect.TypeFor[Provider]())
	for name := range defs {
		if !seen[name] && name != "name" {
			t.Errorf("definition %q is not used", name)
		}
	}
}
