package outbound

import (
	"errors"
	"net/netip"
	"testing"
)

func TestGuardRefusesAddressesThatAreNotPublic(t *testing.T) {
	t.Parallel()
	tests := []struct {
		address string
		public  bool
	}{
		{"93.184.215.14:443", true},
		{"1.1.1.1:443", true},
		{"172.15.255.255:443", true},
		{"172.32.0.0:443", true},
		{"100.63.255.255:443", true},
		{"100.128.0.0:443", true},
		{"223.255.255.255:443", true},
		{"[2606:4700:4700::1111]:443", true},
		{"[2a00:1450:4001:800::200e]:443", true},

		{"0.0.0.0:443", false},
		{"0.1.2.3:443", false},
		{"10.0.0.1:443", false},
		{"100.64.0.1:443", false},
		{"100.100.100.200:80", false}, // a cloud's metadata
		{"100.127.255.255:443", false},
		{"127.0.0.1:443", false},
		{"127.255.255.254:443", false},
		{"169.254.169.254:80", false}, // most clouds' metadata
		{"172.16.0.1:443", false},
		{"172.31.255.255:443", false},
		{"192.0.0.192:443", false},
		{"192.0.2.1:443", false},
		{"192.88.99.1:443", false},
		{"192.168.1.1:443", false},
		{"198.18.0.1:443", false},
		{"198.19.255.255:443", false},
		{"198.51.100.1:443", false},
		{"203.0.113.1:443", false},
		{"224.0.0.1:443", false},
		{"239.255.255.255:443", false},
		{"240.0.0.1:443", false},
		{"255.255.255.255:443", false},

		{"[::]:443", false},
		{"[::1]:443", false},
		{"[::127.0.0.1]:443", false},        // IPv4-compatible
		{"[::ffff:127.0.0.1]:443", false},   // IPv4-mapped
		{"[::ffff:10.0.0.1]:443", false},    //
		{"[::ffff:a9fe:a9fe]:80", false},    // 169.254.169.254, in hex
		{"[::ffff:0:127.0.0.1]:443", false}, // IPv4-translated
		{"[64:ff9b::7f00:1]:443", false},    // NAT64
		{"[64:ff9b::808:808]:443", false},   // NAT64 of a public one: opt in
		{"[64:ff9b:1::a00:1]:443", false},   // local NAT64
		{"[100::1]:443", false},             // discard
		{"[2001::1]:443", false},            // Teredo
		{"[2001:0:7f00:1::]:443", false},    //
		{"[2001:20::1]:443", false},         // ORCHID
		{"[2001:db8::1]:443", false},        // documentation
		{"[3fff::1]:443", false},            //
		{"[2002:7f00:1::]:443", false},      // 6to4
		{"[2002:808:808::]:443", false},     //
		{"[5f00::1]:443", false},            // segment routing
		{"[fc00::1]:443", false},            // unique local
		{"[fd00:ec2::254]:80", false},       // a cloud's metadata
		{"[fe80::1]:443", false},            // link-local
		{"[fe80::1%eth0]:443", false},       //
		{"[fec0::1]:443", false},            // site-local
		{"[ff02::1]:443", false},            // multicast
		{"not an address", false},
	}
	g := newGuard(nil)
	for _, tt := range tests {
		err := g.control("tcp", tt.address, nil)
		if tt.public && err != nil {
			t.Errorf("%s: %v, want it reachable", tt.address, err)
		}
		if !tt.public && !errors.Is(err, ErrForbiddenAddress) {
			t.Errorf("%s: error %v, want ErrForbiddenAddress", tt.address, err)
		}
	}
}

func TestGuardAllowsWhatTheOperatorOptedInTo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		allow, address string
		want           bool
	}{
		{"127.0.0.0/8", "127.0.0.1:1", true},
		{"127.0.0.0/8", "[::ffff:127.0.0.1]:1", true},
		{"127.0.0.0/8", "[::1]:1", false},
		{"127.0.0.0/8", "10.0.0.1:1", false},
		{"127.0.0.1/32", "127.0.0.2:1", false},
		{"127.0.0.1/8", "127.9.9.9:1", true}, // host bits set
		{"::ffff:10.0.0.0/104", "10.1.2.3:1", true},
		{"::ffff:10.0.0.0/104", "11.0.0.0:1", true}, // public anyway
		{"::1/128", "[::1]:1", true},
		{"fe80::/10", "[fe80::1%lo]:1", true},
		{"64:ff9b::/96", "[64:ff9b::808:808]:1", true},
		{"::/0", "127.0.0.1:1", false},
	}
	for _, tt := range tests {
		g := newGuard([]netip.Prefix{netip.MustParsePrefix(tt.allow)})
		if err := g.control("tcp", tt.address, nil); (err == nil) != tt.want {
			t.Errorf("allow %s, address %s: error %v, want reachable %v", tt.allow, tt.address, err, tt.want)
		}
	}
}
