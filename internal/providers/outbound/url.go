package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxURL is the longest address taken, in bytes.
const maxURL = 2 << 10

// CheckURL reports why u may not be called, or nil. It has to be https; http
// is for IP literals and "localhost" within the allowed ranges, and so are IP
// literals with https. There is no userinfo, no fragment, no way of writing
// an IPv4 address but the usual one, and no more than 2 KiB.
//
// It does not look names up: where they lead is judged when they are dialled.
// The error quotes no part of the URL.
func (c *Client) CheckURL(u *url.URL) error {
	_, err := c.canonical(u)
	return err
}

// ParseURL is [Client.CheckURL] for a URL in text. The URL that it returns has
// its host in lower-case ASCII and no default port.
func (c *Client) ParseURL(raw string) (*url.URL, error) {
	if len(raw) > maxURL {
		return nil, errors.New("the URL is longer than 2 KiB")
	}
	if strings.ContainsFunc(raw, isControlOrSpace) {
		return nil, errors.New("the URL has a space or a control character")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the URL cannot be read") // url.Error quotes it
	}
	return c.canonical(u)
}

// CheckRoot reads the root of an API as a provider's answer names it, which
// is where credentials will be sent: [Client.ParseURL], a host that
// [HostAllowed] takes, no query, and a path without dot segments or escaped
// slashes, given back clean and without a slash at its end. The port is the
// scheme's own unless a pattern names another.
func (c *Client) CheckRoot(raw string, patterns []string) (*url.URL, error) {
	u, err := c.ParseURL(raw)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return nil, errors.New("the URL has a query")
	}
	if !HostAllowed(u.Host, patterns) {
		return nil, errors.New("the URL's host is not one of those allowed")
	}
	escaped := strings.ToLower(u.EscapedPath())
	if strings.ContainsFunc(u.Path, isControlOrSpace) || strings.Contains(u.Path, `\`) ||
		strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%25") {
		return nil, errors.New("the URL's path has a character that does not belong there")
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, errors.New("the URL's path has dot segments")
		}
	}
	root := &url.URL{Scheme: u.Scheme, Host: u.Host}
	if clean := path.Clean("/" + u.Path); clean != "/" {
		root.Path = clean
	}
	return root, nil
}

// HostAllowed reports whether a host is one of the patterns: a name
// ("api.example.com"), or all names below one ("*.example.com", which is not
// example.com itself). A host with a port is only allowed by a pattern with
// that port. Letter case does not count, and neither does the alphabet
// (RFC 5891): both sides are compared in ASCII. What cannot be read matches
// nothing.
func HostAllowed(host string, patterns []string) bool {
	name, port, ok := splitHost(host)
	if !ok {
		return false
	}
	_, err := netip.ParseAddr(name)
	isIP := err == nil
	for _, pattern := range patterns {
		pattern, below := strings.CutPrefix(pattern, "*.")
		want, wantPort, ok := splitHost(pattern)
		switch {
		case !ok || port != wantPort:
		case !below && name == want:
			return true
		case below && !isIP && strings.HasSuffix(name, "."+want):
			return true
		}
	}
	return false
}

// canonical checks u and returns it with its host in one form.
func (c *Client) canonical(u *url.URL) (*url.URL, error) {
	switch {
	case u == nil || u.Opaque != "" || u.Host == "":
		return nil, errors.New("the URL has no host")
	case len(u.String()) > maxURL:
		return nil, errors.New("the URL is longer than 2 KiB")
	case u.User != nil:
		return nil, errors.New("the URL has a user name or password")
	case u.Fragment != "" || u.RawFragment != "":
		return nil, errors.New("the URL has a fragment")
	}
	name, port, ok := splitHost(u.Host)
	if !ok {
		return nil, errors.New("the URL's host is not a name or address in its usual form")
	}
	switch local, allowed := c.guard.literal(name); {
	case local && !allowed:
		return nil, fmt.Errorf("the URL's host: %w", ErrForbiddenAddress)
	case u.Scheme == "https" || u.Scheme == "http" && local:
	default:
		return nil, errors.New("the URL is not https")
	}
	if u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		port = ""
	}
	out := *u
	out.Host = name
	switch {
	case port != "":
		out.Host = net.JoinHostPort(name, port)
	case strings.Contains(name, ":"):
		out.Host = "[" + name + "]"
	}
	return &out, nil
}

// literal reports whether a host names an address instead of being looked up
// in the world's DNS, and whether the operator allowed that address.
func (g guard) literal(name string) (local, allowed bool) {
	if name == "localhost" {
		return true, g.allowed(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || g.allowed(netip.IPv6Loopback())
	}
	addr, err := netip.ParseAddr(name)
	return err == nil, err == nil && g.allowed(addr)
}

// splitHost takes "name", "name:port" or "[v6]:port" apart. The name comes
// back in lower-case ASCII, an address in its canonical form and without
// brackets. ok is false for what is none of these, and for the spellings of
// IPv4 that parsers disagree on: 2130706433, 0x7f.1, 0177.0.0.1.
func splitHost(host string) (name, port string, ok bool) {
	name = host
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", "", false
		}
		addr, err := netip.ParseAddr(host[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		name = addr.String()
		if addr.Is4In6() {
			name = addr.Unmap().String()
		}
		if host = host[end+1:]; host == "" {
			return name, "", true
		}
		if host[0] != ':' {
			return "", "", false
		}
		return name, host[1:], isPort(host[1:])
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		name, port = host[:i], host[i+1:]
		if !isPort(port) {
			return "", "", false
		}
	}
	name, err := idna.Lookup.ToASCII(name)
	if err != nil || len(name) > 253 {
		return "", "", false
	}
	for label := range strings.SplitSeq(name, ".") { // the Lookup profile lets these lengths pass
		if label == "" || len(label) > 63 {
			return "", "", false
		}
	}
	if endsInNumber(name) {
		addr, err := netip.ParseAddr(name)
		if err != nil || !addr.Is4() {
			return "", "", false
		}
	}
	return name, port, true
}

// endsInNumber is the URL Standard's test (3.5) for a host that some parser
// will read as IPv4.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if rest, hex := strings.CutPrefix(last, "0x"); hex {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isPort takes 1 to 65535 without leading zeros.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == s
}

func isControlOrSpace(r rune) bool { return r <= ' ' || r >= 0x7f && r <= 0xa0 }
