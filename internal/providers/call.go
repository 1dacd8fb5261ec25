package providers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers/outbound"
	"github.com/claviger/claviger/internal/vault"
)

// call is one request to a provider's API.
type call struct {
	route   string // its name in the log
	method  string
	url     string
	headers []vault.Header
	body    []byte // JSON; nil for none
	// refused are the statuses that mean a refused credential, nil for 401.
	refused []int
	success *Success
	timeout time.Duration // 0 for the client's
}

// reply is a yes to a call.
type reply struct {
	header http.Header
	body   []byte
}

// call makes a request and sorts the answer: nil for a yes, [ErrRefused] for a
// refused credential, a [*fault.Error] for the rest.
func (s *Service) call(ctx context.Context, c call) (reply, error) {
	u, err := s.http.ParseURL(c.url)
	if err != nil {
		return reply{}, fault.Wrap(fmt.Errorf("%s: %w", c.route, err), fault.ProviderRejected, "The provider's address is not one that may be called.")
	}
	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), body)
	if err != nil {
		return reply{}, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range c.headers {
		req.Header.Set(h.Name, h.Value.Reveal())
	}
	options := []outbound.Option{outbound.Route(c.route)}
	if c.timeout > 0 {
		options = append(options, outbound.Timeout(c.timeout))
	}
	resp, err := s.http.Do(ctx, req, 0, options...)
	if err != nil {
		return reply{}, asFault(err)
	}
	after := retryAfter(resp.Header, s.now())
	switch {
	case resp.Status/100 == 2:
		if err := c.success.judge(resp.Body, after); err != nil {
			return reply{}, err
		}
		return reply{resp.Header, resp.Body}, nil
	case slices.Contains(refusedStatuses(c.refused), resp.Status):
		return reply{}, fmt.Errorf("%s answered with status %d: %w", c.route, resp.Status, ErrRefused)
	}
	return reply{}, statusFault(resp.Status, after)
}

func refusedStatuses(list []int) []int {
	if len(list) == 0 {
		return []int{http.StatusUnauthorized}
	}
	return list
}

// judge looks into a body of status 200 for the provider's own yes or no.
func (s *Success) judge(body []byte, after time.Duration) error {
	if s == nil {
		return nil
	}
	doc, err := decodeJSON(body)
	if err != nil {
		return unusable(err)
	}
	if yes, _ := lookup(doc, s.Field, false).(bool); yes {
		return nil
	}
	code, _ := scalar(lookup(doc, s.Error, false))
	if slices.Contains(s.Refused, code) {
		return fmt.Errorf("the provider says no (%q): %w", code, ErrRefused)
	}
	// Its other words are about the day, not about the credential.
	return unavailable(fmt.Errorf("the provider says no, for a reason that its file does not list")).After(after)
}

// errUnusable is in the tree of every error about a yes that cannot be used.
var errUnusable = errors.New("the answer cannot be used")

func unusable(err error) *fault.Error {
	return fault.Wrap(fmt.Errorf("%w: %w", errUnusable, err), fault.ProviderRejected, "The provider answered in a way that was not expected.")
}

// marshal makes the JSON object of a body.
func marshal(body map[string]string) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("making a request body: %w", err)
	}
	return b, nil
}

// retryAfter reads the header (RFC 9110 section 10.2.3): a day at most, and 0
// where it is missing or in the past.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	var d time.Duration
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), 24*time.Hour)
}
