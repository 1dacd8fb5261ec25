package providers

import (
	"testing"
)

func TestPaths(t *testing.T) {
	t.Parallel()
	doc, err := decodeJSON([]byte(`{
		"id": 90071992547409931, "empty": "", "flag": true, "null": null,
		"Data": {"authtoken": "lower", "AuthToken": "exact"},
		"accounts": [{"id": 1, "product": "forecast"}, {"id": 2, "product": "harvest"}],
		"team": "T1", "user": "U1"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		paths Paths
		fold  bool
		want  string
	}{
		{"a number keeps its digits", Paths{"id"}, false, "90071992547409931"},
		{"nested", Paths{"Data.AuthToken"}, false, "exact"},
		{"case counts", Paths{"data.AuthToken"}, false, ""},
		{"case does not count", Paths{"data.authtoken"}, true, "lower"},
		{"the exact name wins", Paths{"data.AuthToken"}, true, "exact"},
		{"first found", Paths{"nope", "empty", "id"}, false, "90071992547409931"},
		{"index", Paths{"accounts[0].id"}, false, "1"},
		{"index too far", Paths{"accounts[7].id"}, false, ""},
		{"choice", Paths{"accounts[product=harvest].id"}, false, "2"},
		{"no such choice", Paths{"accounts[product=other].id"}, false, ""},
		{"joined", Paths{"team+user"}, false, "T1:U1"},
		{"joined, one missing", Paths{"team+nope", "user"}, false, "U1"},
		{"a flag is no text", Paths{"flag"}, false, ""},
		{"null is nothing", Paths{"null"}, false, ""},
		{"an object is no text", Paths{"Data"}, false, ""},
		{"an item of no list", Paths{"team[0]"}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := tt.paths.find(doc, tt.fold); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v; want %q", got, ok, tt.want)
			}
		})
	}
}

func TestDecodeJSON(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "{", "{} {}", "nope", "{}x"} {
		if _, err := decodeJSON([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := decodeJSON([]byte("\xef\xbb\xbf{}\n")); err != nil {
		t.Errorf("a byte order mark: %v", err)
	}
}
