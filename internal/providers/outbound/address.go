package outbound

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// guard judges addresses.
type guard struct {
	allow   []netip.Prefix
	global6 netip.Prefix
	special []netip.Prefix
}

func newGuard(allow []netip.Prefix) guard {
	g := guard{global6: netip.MustParsePrefix("2000::/3"), special: special()}
	for _, p := range allow {
		g.allow = append(g.allow, unmapPrefix(p))
	}
	return g
}

// unmapPrefix turns ::ffff:10.0.0.0/104 into 10.0.0.0/8.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// control runs between the making of a socket and its connecting, with the
// address that DNS gave. There is no later change of mind.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address to connect to: %w", ErrForbiddenAddress)
	}
	if !g.allowed(ap.Addr()) && !g.public(ap.Addr()) {
		return fmt.Errorf("%s: %w", ap.Addr(), ErrForbiddenAddress)
	}
	return nil
}

// judged is a dialer that opens nothing to an address that is not allowed.
func (g guard) judged(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := g.control(network, address, nil); err != nil {
			return nil, err
		}
		return dial(ctx, network, address)
	}
}

// allowed reports whether the operator opted in to the address.
func (g guard) allowed(a netip.Addr) bool { return within(a, g.allow) }

// public reports whether an address belongs to the internet at large.
//
// Of IPv6 that is what IANA has given out, 2000::/3, and nothing else. Outside
// of it are loopback, unspecified, fc00::/7, fe80::/10, ff00::/8, the
// IPv4-compatible form, and NAT64 (64:ff9b::/96, 64:ff9b:1::/48), by which
// IPv4 could be reached unjudged. IPv4-mapped addresses are judged as IPv4.
func (g guard) public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsValid() && (a.Is4() || g.global6.Contains(a)) && !within(a, g.special)
}

func within(a netip.Addr, ranges []netip.Prefix) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// special are the ranges of the IANA registries of special-purpose addresses
// (RFC 6890) from which no provider serves.
func special() []netip.Prefix {
	ranges := []string{
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT; some clouds keep their metadata here
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local; most clouds keep their metadata here
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, and broadcast
		"2001::/23",       // protocol assignments, Teredo among them
		"2001:db8::/32",   // documentation
		"2002::/16",       // 6to4: IPv4 in disguise
		"3fff::/20",       // documentation
	}
	out := make([]netip.Prefix, len(ranges))
	for i, r := range ranges {
		out[i] = netip.MustParsePrefix(r)
	}
	return out
}
