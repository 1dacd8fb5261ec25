package httpd_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
)

func TestForm(t *testing.T) {
	t.Parallel()
	const urlencoded = "Content-Type: application/x-www-form-urlencoded"
	tests := []struct {
		name, target, body, header string
		status                     int
		want                       url.Values
	}{
		{"values", "/f", "email=a%40b&note=a+b", urlencoded, 204, url.Values{"email": {"a@b"}, "note": {"a b"}}},
		{"repeats are kept", "/f", "state=1&state=2", urlencoded + "; charset=utf-8", 204, url.Values{"state": {"1", "2"}}},
		{"the query does not count", "/f?token=" + planted, "a=1", urlencoded, 204, url.Values{"a": {"1"}}},
		{"empty", "/f", "", urlencoded, 204, url.Values{}},
		{"a broken query does not matter either", "/f?%zz", "a=1", urlencoded, 400, nil},
		{"JSON", "/f", "{}", "Content-Type: application/json", 415, nil},
		{"multipart", "/f", "--x--", "Content-Type: multipart/form-data; boundary=x", 415, nil},
		{"no type", "/f", "a=1", "", 415, nil},
		{"broken escape", "/f", "a=%zz" + planted, urlencoded, 400, nil},
		{"semicolon", "/f", "a=" + planted + ";b", urlencoded, 400, nil},
		{"invalid UTF-8", "/f", "a=%ff" + planted, urlencoded, 400, nil},
		{"invalid UTF-8 in a name", "/f", "%ff=1", urlencoded, 400, nil},
		{"NUL", "/f", "a=%00", urlencoded, 400, nil},
		{"too large", "/f", "a=" + strings.Repeat("a", 2000), urlencoded, 413, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, log := newShell(t, httpd.Config{})
			var got url.Values
			e.POST("/f", func(c echo.Context) (err error) {
				if got, err = httpd.Form(c); err != nil {
					return err
				}
				return c.NoContent(204)
			}, httpd.BodyLimit(1000))
			w := doChunked(e, "POST", tt.target, tt.body, tt.header)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			contains(t, "page", w.Body.String(), nil, []string{planted})
			contains(t, "log", log.String(), nil, []string{planted})
		})
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	type values struct {
		Limit  int
		Raw    bool
		Status string
		Q      string
		Tags   map[string]string
		Since  time.Time
	}
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name, query string
		want        values
		wrong       []string // pointer: detail
	}{
		{"nothing", "", values{Limit: 50}, nil},
		{"all", "limit=7&raw=true&status=active&q=a%20b&tag.team=blue&tag.x=", values{Limit: 7, Raw: true, Status: "active", Q: "a b", Tags: map[string]string{"team": "blue", "x": ""}}, nil},
		{"false is false", "raw=false", values{Limit: 50}, nil},
		{"no number", "limit=" + planted, values{Limit: 50}, []string{"limit: must be a whole number from 1 to 100"}},
		{"too small", "limit=0", values{Limit: 50}, []string{"limit: must be a whole number from 1 to 100"}},
		{"too large", "limit=101", values{Limit: 50}, []string{"limit: must be a whole number from 1 to 100"}},
		{"empty is not absent", "limit=&raw=", values{Limit: 50}, []string{"limit: must be a whole number from 1 to 100", "raw: must be true or false"}},
		{"other words for true", "raw=1", values{Limit: 50}, []string{"raw: must be true or false"}},
		{"not on the list", "status=" + planted, values{Limit: 50}, []string{"status: must be one of active, revoked"}},
		{"twice", "status=active&status=revoked", values{Limit: 50}, []string{"status: is there 2 times"}},
		{"too long", "q=" + strings.Repeat("q", 21), values{Limit: 50}, []string{"q: must not be longer than 20 bytes"}},
		{"tag too long", "tag.a=" + strings.Repeat("q", 21), values{Limit: 50, Tags: map[string]string{"a": ""}}, []string{"tag.a: must not be longer than 20 bytes"}},
		{"a typo is no default", "limt=7&tag.=1", values{Limit: 50}, []string{"limt: is not a parameter of this request", "tag.: is not a parameter of this request"}},
		{"a name not fit to show", "%0a=7", values{Limit: 50}, []string{"?: is not a parameter of this request"}},
		{"a time", "since=2026-03-04T13:00:00%2B01:00", values{Limit: 50, Since: noon}, nil},
		{"a day", "since=2026-03-04", values{Limit: 50, Since: noon.Add(-12 * time.Hour)}, nil},
		{"no time", "since=", values{Limit: 50}, nil},
		{"no such time", "since=2026-02-30", values{Limit: 50}, []string{"since: must be a time such as 2026-03-04T12:00:00Z, or a day"}},
		{"before there was any", "since=0001-01-01", values{Limit: 50}, []string{"since: must be a time such as 2026-03-04T12:00:00Z, or a day"}},
		{"broken escape", "q=%zz", values{Limit: 50}, []string{}},
		{"invalid UTF-8", "q=%ff", values{Limit: 50, Q: "\xff"}, []string{}},
		{"NUL", "q=%00", values{Limit: 50, Q: "\x00"}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, log := newShell(t, httpd.Config{})
			var got values
			var qerr error
			e.GET("/v1/q", func(c echo.Context) error {
				q := httpd.Query(c)
				got = values{
					Limit:  q.Int("limit", 50, 1, 100),
					Raw:    q.Bool("raw"),
					Status: httpd.OneOf(q, "status", "active", "revoked"),
					Q:      q.String("q", 20),
					Tags:   q.Prefixed("tag.", 20),
					Since:  q.Time("since"),
				}
				qerr = q.Err()
				return qerr
			})
			w := do(e, "GET", "/v1/q?"+tt.query, "")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if tt.wrong == nil {
				if w.Code != 200 {
					t.Errorf("%d: %s", w.Code, w.Body)
				}
				return
			}
			f, ok := fault.As(qerr)
			if !ok || f.Kind != fault.Malformed || w.Code != 400 {
				t.Fatalf("%d, error %v", w.Code, qerr)
			}
			fields := []string{}
			for _, x := range f.Fields {
				fields = append(fields, x.Pointer+": "+x.Detail)
			}
			if diff := cmp.Diff(tt.wrong, fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			contains(t, "answer", w.Body.String(), nil, []string{planted})
			contains(t, "log", log.String(), nil, []string{planted})
		})
	}
}
