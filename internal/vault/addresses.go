package vault

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ParseAddress reads an address or a CIDR (RFC 4632 section 3.1; RFC 4291
// section 2.3), of IPv4 or IPv6. A bare address is all of its bits. The error is
// for people: the rest of a sentence about it.
func ParseAddress(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			return netip.Prefix{}, errors.New("must be an address or a CIDR such as 192.0.2.0/24 or 2001:db8::/32")
		case a.Zone() != "":
			return netip.Prefix{}, errors.New("must not have a zone")
		}
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("must be an address or a CIDR such as 192.0.2.0/24 or 2001:db8::/32")
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("is IPv4 written as IPv6; write it as IPv4")
	case p != p.Masked(): // it may be a typing error in either half
		return netip.Prefix{}, fmt.Errorf("has bits set beyond its length, unlike %s", p.Masked())
	}
	return p, nil
}

// permits reports whether a key with these limits is taken from an address. The
// zero address, which is not known, is outside of every limit.
func permits(limits []netip.Prefix, from netip.Addr) bool {
	if len(limits) == 0 {
		return true
	}
	from = from.Unmap().WithZone("")
	for _, p := range limits {
		if p.Contains(from) {
			return true
		}
	}
	return false
}
