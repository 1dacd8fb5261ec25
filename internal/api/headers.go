package api

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
)

const (
	defaultMinTTL = 60
	maxMinTTL     = 24 * 60 * 60
)

// GET /v1/connections/{id}/headers
func (h *Handler) getHeaders(c echo.Context) error {
	minTTL, err := minTTLOf(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	served, err := h.engine.Headers(ctx, bearerOf(c), connectionID(c), minTTL)
	rec := httpd.RecordOf(ctx)
	rec.SetActor(served.Caller.ID)
	rec.SetEnvironment(served.Caller.EnvironmentID)
	if err != nil {
		return err
	}
	if wantsText(c.Request()) {
		text, err := served.Answer.Text()
		if err != nil {
			return err
		}
		return writeWhole(c, echo.MIMETextPlainCharsetUTF8, text)
	}
	doc := served.Answer.JSON()
	if !served.MinTTLMet {
		doc = withMinTTLUnmet(doc)
	}
	return writeWhole(c, echo.MIMEApplicationJSON, doc)
}

// writeWhole announces the length: net/http sends what is longer than its
// buffer in chunks otherwise.
func writeWhole(c echo.Context, contentType string, body []byte) error {
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	return c.Blob(http.StatusOK, contentType, body)
}

func minTTLOf(c echo.Context) (time.Duration, error) {
	if c.Request().URL.RawQuery == "" {
		return defaultMinTTL * time.Second, nil
	}
	q := httpd.Query(c)
	seconds := q.Int("min_ttl", defaultMinTTL, 0, maxMinTTL)
	return time.Duration(seconds) * time.Second, q.Err()
}

// wantsText reports whether text/plain is asked for by name, and JSON is not:
// some clients name everything that they know of.
func wantsText(r *http.Request) bool {
	accept := strings.ToLower(r.Header.Get("Accept"))
	return strings.Contains(accept, "text/plain") && !strings.Contains(accept, "json")
}

// withMinTTLUnmet adds a member to an answer that is rendered already.
func withMinTTLUnmet(doc []byte) []byte {
	end := bytes.LastIndexByte(doc, '}')
	return append(append([]byte(nil), doc[:end]...), `,"min_ttl_met":false}`+"\n"...)
}
