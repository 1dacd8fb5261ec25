package outbound

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// guard judges addresses.
type guard struct{ allow []netip.Prefix }

func newGuard(allow []netip.Prefix) guard {
	g := guard{allow: make([]netip.Prefix, 0, len(allow))}
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
	if !g.reachable(ap.Addr()) {
		return fmt.Errorf("%s: %w", ap.Addr(), ErrForbiddenAddress)
	}
	return nil
}

func (g guard) reachable(a netip.Addr) bool {
	return g.allowed(a) || public(a)
}

// allowed reports whether the operator opted in to the address.
func (g guard) allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// public reports whether an address belongs to the internet at large. The
// ranges that do not are those of the IANA registries of special-purpose
// addresses (RFC 6890).
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	ranges := special4
	if a.Is6() {
		if !globalUnicast6.Contains(a) {
			return false
		}
		ranges = special6
	}
	return a.IsValid() && !slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

// The tables are read only.
var (
	special4 = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),       // this network
		netip.MustParsePrefix("10.0.0.0/8"),      // private
		netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT; some clouds keep their metadata here
		netip.MustParsePrefix("127.0.0.0/8"),     // loopback
		netip.MustParsePrefix("169.254.0.0/16"),  // link-local; most clouds keep their metadata here
		netip.MustParsePrefix("172.16.0.0/12"),   // private
		netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation
		netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
		netip.MustParsePrefix("192.168.0.0/16"),  // private
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("224.0.0.0/4"),     // multicast
		netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	}

	// globalUnicast6 is all that IANA has given out. Outside of it are
	// loopback, unspecified, fc00::/7, fe80::/10, ff00::/8, the mapped and
	// compatible forms of IPv4 and both NAT64 ranges (64:ff9b::/96,
	// 64:ff9b:1::/48), through which IPv4 could be reached unjudged.
	globalUnicast6 = netip.MustParsePrefix("2000::/3")
	special6       = []netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo among them
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4: IPv4 in disguise
		netip.MustParsePrefix("3fff::/20"),     // documentation
	}
)
