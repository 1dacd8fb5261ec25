// Package api is REST for backends, /v1: a bearer key, JSON in and out, no
// cookies.
//
// A handler parses, makes one call and answers; the comment above it names the
// route. The whole contract is in openapi.yaml, served at /openapi.json.
//
// It owns the form of requests and answers, and leaves to others who may do
// what (vault), how errors look and what a request may be (httpd), and when a
// credential is refreshed (refresh).
package api
