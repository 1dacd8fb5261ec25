package httpd_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
)

// An answer in lines is a whole one, or none, or is seen to break off.
func TestLines(t *testing.T) {
	t.Parallel()
	refused := fault.New(fault.InsufficientScope, "Not you.")
	for name, tt := range map[string]struct {
		parts  [][]int
		err    error
		status int
		body   string
		broken bool
	}{
		"parts":         {parts: [][]int{{1, 2}, {3}}, status: http.StatusOK, body: "1\n2\n3\n"},
		"nothing":       {status: http.StatusOK},
		"an empty part": {parts: [][]int{nil}, status: http.StatusOK},
		"refused":       {err: refused, status: http.StatusForbidden},
		"breaks off":    {parts: [][]int{{1}}, err: errors.New("boom"), status: http.StatusOK, body: "1\n", broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, log := newShell(t, httpd.Config{})
			e.GET("/v1/lines", func(c echo.Context) error {
				return httpd.Lines(c, "x.jsonl", func(send func([]int) error) error {
					for _, part := range tt.parts {
						if err := send(part); err != nil {
							return err
						}
					}
					return tt.err
				})
			})
			srv := httptest.NewServer(e)
			defer srv.Close()
			resp, err := srv.Client().Get(srv.URL + "/v1/lines")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || (err != nil) != tt.broken || tt.status == http.StatusOK && string(body) != tt.body {
				t.Errorf("%d %q, %v", resp.StatusCode, body, err)
			}
			if tt.broken {
				contains(t, "log", log.String(), []string{"boom"}, nil)
			}
			if got := resp.Header.Get("Content-Disposition"); (got == `attachment; filename="x.jsonl"`) != (tt.status == http.StatusOK) {
				t.Errorf("Content-Disposition %q", got)
			}
		})
	}
}
