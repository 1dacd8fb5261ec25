package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the document
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/labstack/echo/v4"
)

//go:embed openapi.yaml
var openAPIYAML []byte

// document is the API's description as it is served.
type document struct {
	json []byte
	etag string
}

// describe turns the document into JSON and says where this broker is.
func describe(publicURL *url.URL) (document, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(openAPIYAML, &doc); err != nil {
		return document{}, fmt.Errorf("reading openapi.yaml: %w", err)
	}
	doc["servers"] = []map[string]string{{"url": publicURL.String()}}
	out, err := json.Marshal(doc)
	if err != nil {
		return document{}, fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	sum := sha256.Sum256(out)
	return document{json: out, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}, nil
}

// GET /openapi.json
//
// It is the same for everybody and needs no key. A client keeps it and asks
// whether it has changed.
func (h *Handler) openAPI(c echo.Context) error {
	doc, err := h.document()
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set("Content-Type", echo.MIMEApplicationJSON)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", doc.etag)
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(doc.json))
	return nil
}
