package connect_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzCallback: the callback is open to everybody. Whatever comes in, it is
// refused in a page of ours that repeats nothing of it, and nothing happens.
func FuzzCallback(f *testing.F) {
	w := newWorld(f)
	for _, seed := range []struct {
		post              bool
		query, body, site string
	}{
		{false, "", "", "cross-site"},
		{false, "code=abc&id_token=a.b.c&state=clv_st_x.cs_00000000000000000000000000", "", "cross-site"},
		{false, "error=access_denied&error_description=%3Cb%3E&state=x", "", "cross-site"},
		{false, "state=a&state=b&code=%zz;x=1", "", "none"},
		{true, "", "code=abc&id_token=a.b.c&state=clv_st_x.cs_00000000000000000000000000", "cross-site"},
		{true, "", "state=%00%ff&code=x", "same-origin"},
		{true, "code=abc", "state=abc&code=def", "cross-site"},
		{true, "", "&&=&;", ""},
	} {
		f.Add(seed.post, seed.query, seed.body, seed.site)
	}
	path := "/connect/callback/" + w.ids["timelog"]
	f.Fuzz(func(t *testing.T, post bool, query, body, site string) {
		method := http.MethodGet
		if post {
			method = http.MethodPost
		}
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
		answer := httptest.NewRecorder()
		w.shell.ServeHTTP(answer, r)
		if answer.Code >= http.StatusInternalServerError || answer.Code >= 300 && answer.Code < 400 || post && answer.Code < 400 {
			t.Errorf("status %d", answer.Code)
		}
		if answer.Header().Get("Cache-Control") != "no-store" || len(answer.Result().Cookies()) != 0 {
			t.Errorf("headers %v", answer.Header())
		}
		for _, input := range []string{query, body} {
			if len(input) > 20 && strings.Contains(answer.Body.String(), input) {
				t.Error("the page repeats what came in")
			}
		}
	})
	if n := len(w.connections()); n != 0 || w.tokenCalls() != 0 {
		f.Errorf("%d connections, %d token calls", n, w.tokenCalls())
	}
}
