package outbound

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// maxDocument is the most that a [Client.Transport] reads of an answer.
const maxDocument = 256 << 10

// Transport lets a library fetch documents with the client: discovery documents
// and keys. route is the label for the log. Answers of more than 256 KiB are
// errors.
func (c *Client) Transport(route string) http.RoundTripper { return documents{c, route} }

type documents struct {
	client *Client
	route  string
}

// RoundTrip answers with the whole body in memory.
func (d documents) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := d.client.Do(req.Context(), req, maxDocument, Route(d.route))
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status:        strconv.Itoa(resp.Status) + " " + http.StatusText(resp.Status),
		StatusCode:    resp.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        resp.Header,
		Body:          io.NopCloser(bytes.NewReader(resp.Body)),
		ContentLength: int64(len(resp.Body)),
		Request:       req,
	}, nil
}
