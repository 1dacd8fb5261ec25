package vault

import (
	"strings"
	"testing"
	"time"
)

// The hashes were made by another program, from the description in docs/audit.md:
//
//	def form(*parts):
//	    out = b''
//	    for p in parts:
//	        p = p if isinstance(p, bytes) else str(p).encode()
//	        out += struct.pack('>I', len(p)) + p
//	    return out
//	hashlib.sha256(form('claviger audit entry 1', prev, writer, seq, id, …)).digest()
//	hmac.new(bytes(range(32)), hash, hashlib.sha256).digest()[:16]
func TestDigestOfAnEntry(t *testing.T) {
	t.Parallel()
	first := AuditEntry{
		ID: "aud_1", EnvironmentID: "env_1", At: time.UnixMicro(1772625600123456), ActorKind: CallerAPIKey, ActorID: "key_1",
		Action: ActionHeadersRead, Allowed: true, ConnectionID: "con_1", Count: 3, Writer: "wri_1", Seq: 1,
	}
	second := AuditEntry{
		ID: "aud_2", EnvironmentID: "env_1", At: time.UnixMicro(1772625601000000), ActorKind: CallerEndUser, ActorID: "cs_1",
		Action: ActionLinkFailed, IntegrationID: "int_1", SessionID: "cs_1", Reason: "c_hash", Generation: 7, Count: 1, Writer: "wri_1", Seq: 2,
	}
	first.Hash = first.digest(Digest{})
	second.Hash = second.digest(first.Hash)
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	for what, hex := range map[string][2]string{
		"first":  {first.Hash.String(), "722180a7ab963d2f665952d5cae9690785c0a948d77d7cde866bf6b2a9cab969"},
		"second": {second.Hash.String(), "bb4af4773e5f3166a8032ae5248c8df638383c672d60b129d03d82c49619cfa6"},
		"proof":  {proofWith(key, second.Hash).String(), "8b0fc970480ab71d2e1996f2e7c15d61"},
	} {
		if hex[0] != hex[1] {
			t.Errorf("%s: %s, want %s", what, hex[0], hex[1])
		}
	}
}

// Ids of a chain rise with its entries, even when many are written at once and
// the clock goes back; and they tell the time.
func TestIDsOfAChain(t *testing.T) {
	t.Parallel()
	chain := NewChain(nil)
	now := time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC)
	last := firstID(entryPrefix, now)
	for _, step := range []time.Duration{0, 0, time.Microsecond, -time.Hour, time.Millisecond, time.Hour} {
		now = now.Add(step)
		entries := make([]AuditEntry, 100)
		var err error
		if chain, err = chain.Link(entries, now); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.ID <= last {
				t.Fatalf("%s comes after %s", e.ID, last)
			}
			last = e.ID
		}
	}
	fresh, err := NewChain(nil).Link(make([]AuditEntry, 1), now)
	if err != nil {
		t.Fatal(err)
	}
	if id := fresh.EntryID; id < firstID(entryPrefix, now) || id >= firstID(entryPrefix, now.Add(time.Microsecond)) {
		t.Errorf("%s was written at %s", id, now)
	}
	if got, ordinary := len(fresh.EntryID), len(newID("aud")); got != ordinary {
		t.Errorf("%s has %d characters, others %d", fresh.EntryID, got, ordinary)
	}
}

// A chain that has rested for long is not gone on with.
func TestChainThatRested(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	chain, err := NewChain(nil).Link(make([]AuditEntry, 2), now)
	if err != nil {
		t.Fatal(err)
	}
	first := chain.Writer
	for _, step := range []struct {
		rest time.Duration
		seq  int64
	}{{chainRest - time.Minute, 3}, {chainRest, 4}, {chainRest + time.Second, 1}, {time.Hour, 2}} {
		now = now.Add(step.rest)
		if chain, err = chain.Link(make([]AuditEntry, 1), now); err != nil || chain.Seq != step.seq || (chain.Writer == first) != (step.seq > 2) {
			t.Errorf("after %v: %+v, %v", step.rest, chain.ChainHead, err)
		}
	}
}

// What is in an entry is a word or an id.
func TestWords(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"":                                     true,
		"invalid_grant":                        true,
		"credentials:read_raw":                 true,
		"headers.read":                         true,
		newID("con"):                           true,
		"env_none":                             true,
		"key_01939b2e-7c1b-7000":               true,
		"An error occurred":                    false,
		"https://provider.example/?code=x":     false,
		"ada@example.com":                      false,
		"a\nb":                                 false,
		"1971800d4d82861d8f2c1651fea4d212":     false, // an API token of Toggl's
		"eyjhbgci.eyjzdwii.sig1":               false,
		"Secret":                               false,
		mint(prefixAPIKey).Reveal():            false,
		strings.ToLower(mint("clv_").Reveal()): false,
		strings.Repeat("a", maxWord):           true,
		strings.Repeat("a", maxWord+1):         false,
	} {
		if got := isWord(s); got != want {
			t.Errorf("%q: %t, want %t", s, got, want)
		}
	}
}
