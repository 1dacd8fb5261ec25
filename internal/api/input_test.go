package api_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/vault"
)

// TestBadBodies sends every route that takes a body what it cannot take.
func TestBadBodies(t *testing.T) {
	each(t, func(w *world) {
		const planted = "PLANTED-IN-A-BODY"
		w.planted.add(planted)
		x := w.target()
		before := string(w.db.Rows(w.t))
		const json = "application/json"
		tests := []struct {
			name, contentType, body string
			status                  int
		}{
			{"not JSON", json, planted, 400},
			{"half of it", json, `{"name":"` + planted, 400},
			{"a second value", json, `{} {"` + planted + `":1}`, 400},
			{"a list", json, `["` + planted + `"]`, 400},
			{"a string", json, `"` + planted + `"`, 400},
			{"a number", json, `1`, 400},
			{"unknown member", json, `{"planted_member":"` + planted + `"}`, 400},
			{"a member twice", json, `{"planted_member":1,"planted_member":"` + planted + `"}`, 400},
			{"invalid UTF-8", json, "{\"name\":\"\xff" + planted + "\"}", 400},
			{"half a surrogate pair", json, `{"name":"\ud800` + planted + `"}`, 400},
			{"a bare NUL", json, "{\"name\":\"\x00" + planted + "\"}", 400},
			{"byte order mark", json, "\ufeff{}", 400},
			{"too deep", json, strings.Repeat(`{"metadata":`, 40) + `"` + planted + `"` + strings.Repeat("}", 40), 400},
			{"very deep", json, strings.Repeat(`[`, 60<<10), 400},
			{"a form", "application/x-www-form-urlencoded", "name=" + planted, 415},
			{"no type", "", `{"name":"` + planted + `"}`, 415},
			{"another type", "text/plain", `{"name":"` + planted + `"}`, 415},
			{"another charset", json + "; charset=utf-16", `{"name":"` + planted + `"}`, 415},
			{"65 KiB", json, `{"name":"` + strings.Repeat("x", 65<<10) + planted + `"}`, 413},
			{"1 MiB", json, `{"name":"` + strings.Repeat("x", 1<<20) + planted + `"}`, 413},
		}
		for _, o := range w.contract.operations {
			if o.spec["requestBody"] == nil {
				continue
			}
			for _, tt := range tests {
				c := w.request(o.method, x.path(o), tt.body).with("Content-Type", tt.contentType)
				if a := c.send(); a.StatusCode != tt.status {
					t.Errorf("%s, %s: status %d, want %d: %s", o, tt.name, a.StatusCode, tt.status, a.body)
				} else if tt.name == "unknown member" {
					a.code("invalid_request", "/planted_member")
				}
			}
			optional := o.spec["requestBody"].(object)["$ref"] != nil
			for _, body := range []string{"", "null"} {
				if optional {
					continue
				}
				w.request(o.method, x.path(o), body).want(http.StatusBadRequest).code("invalid_request")
			}
		}
		if after := string(w.db.Rows(w.t)); after != before {
			t.Error("something was stored")
		}
	})
}

// TestWrongTypes gives each member of each example a value of another type:
// it is refused by name, and nothing is stored.
func TestWrongTypes(t *testing.T) {
	each(t, func(w *world) {
		x := w.target()
		before := string(w.db.Rows(w.t))
		n := 0
		for _, o := range w.contract.operations {
			for _, example := range w.contract.examples(o) {
				for name, value := range example.(object) {
					for _, wrong := range []any{object{"x": object{"y": 1}}, []any{[]any{}}, "PLANTED", 1.5, true} {
						if sameType(value, wrong) {
							continue
						}
						body := object{}
						maps.Copy(body, example.(object))
						body[name] = wrong
						n++
						a := w.request(o.method, x.path(o), body).send()
						if a.StatusCode != http.StatusBadRequest || !strings.Contains(string(a.body), `"pointer":"/`+name) {
							t.Errorf("%s with %s %s: %d %s", o, name, js(wrong), a.StatusCode, a.body)
						}
						a.lacks("PLANTED")
					}
				}
			}
		}
		if n < 100 {
			t.Errorf("%d tries", n)
		}
		if after := string(w.db.Rows(w.t)); after != before {
			t.Error("something was stored")
		}
	})
}

// sameType reports whether two values are of one JSON type. No number is: the
// one that is tried has a fraction, which nothing here takes.
func sameType(a, b any) bool {
	kind := func(v any) string {
		switch v.(type) {
		case object:
			return "object"
		case []any:
			return "array"
		case string:
			return "string"
		case float64, int:
			return "number"
		case bool:
			return "boolean"
		}
		return "null"
	}
	return kind(a) == kind(b) && kind(a) != "number"
}

// TestStrangePaths: whatever stands in a path, it is not there.
func TestStrangePaths(t *testing.T) {
	each(t, func(w *world) {
		weak := w.newKey(vault.ScopeAuditRead)
		for _, o := range w.contract.operations {
			if !strings.Contains(o.path, "{") {
				continue
			}
			for _, id := range []string{
				"%00", "con_%00", "%ff%fe", "a%0d%0ab", "..%2f..", "%2e%2e", "con_0000000000000000000000000%27", "con_0000000000000000000000000z",
				"CON_00000000000000000000000000", strings.Repeat("a", 8<<10), "%F0%9F%94%91", "-", "TOGGL", "toggl%20", " ", "%20",
			} {
				c := w.request(o.method, fill(o.path, strings.ReplaceAll(id, " ", "+")), w.contract.example(o))
				for status, key := range map[int]string{http.StatusNotFound: w.key, http.StatusForbidden: weak} {
					if a := c.as(key).send(); a.StatusCode != status {
						t.Errorf("%s with %.40q: status %d, want %d: %s", o, id, a.StatusCode, status, a.body)
					}
				}
			}
		}
		for where, text := range map[string]string{"log": w.log.String(), "database": string(w.db.Dump(w.t))} {
			if strings.Contains(text, strings.Repeat("a", 100)) || strings.Contains(text, "TOGGL") {
				t.Errorf("the %s has what stood in a path", where)
			}
		}
		if log := w.log.String(); strings.Contains(log, `"level":"ERROR"`) {
			t.Error("there is an error in the log")
		}
	})
}
