package oidc

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// maxIssuers bounds what a directory remembers. Issuers come from
	// provider files and integrations, so this is a backstop and no tuning knob.
	maxIssuers = 512
	// maxKeyAge is how long keys are trusted through an outage. Longer, and
	// whoever can cut us off from the provider keeps a withdrawn key alive.
	maxKeyAge = 24 * time.Hour
)

// Config is what a [Directory] needs.
type Config struct {
	// HTTP makes the calls: the outbound client, with its deadlines and
	// address rules. Redirects are not followed here, whatever it says.
	HTTP *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log takes outages; nil means nobody listens.
	Log *slog.Logger
	// TTL is how long a document or a key set is used without asking again;
	// 0 means one hour.
	TTL time.Duration
	// Skew is how far a provider's clock may be off ours, either way; 0 means
	// one minute.
	Skew time.Duration
}

// Directory remembers issuers: their metadata and their keys. It is made once
// and shared; all methods may be called at the same time.
type Directory struct {
	cfg     Config
	mu      sync.Mutex
	issuers map[string]*issuer
	keys    map[string]*KeySet
}

// issuer is what a directory remembers of one.
type issuer struct {
	document remote[Metadata]
	used     time.Time
	// fellBack is when the log hears of static endpoints: once, since a
	// document that was read is kept and ends their use for good.
	fellBack sync.Once
}

// NewDirectory makes an empty directory. It makes no call.
func NewDirectory(cfg Config) *Directory {
	// A copy: the given client belongs to others. A redirected document would
	// be some other host's word on who signs; keys are no place for cookies.
	client := *cfg.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	cfg.HTTP = &client
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.TTL == 0 {
		cfg.TTL = time.Hour
	}
	if cfg.Skew == 0 {
		cfg.Skew = time.Minute
	}
	return &Directory{cfg: cfg, issuers: make(map[string]*issuer), keys: make(map[string]*KeySet)}
}

// Metadata answers what the issuer says of itself, from its discovery
// document: a recent copy, or the last good one while there is no other.
//
// Where there never was one and the document is absent or unreachable,
// fallback stands in, marked [Metadata.Static]; its Issuer is taken to be the
// one asked for. A document that is there and wrong is a [*MetadataError],
// fallback or not. Without fallback an outage is [*Unavailable].
func (d *Directory) Metadata(ctx context.Context, name string, fallback *Metadata) (Metadata, error) {
	if _, err := parseIssuer(name); err != nil {
		return Metadata{}, err
	}
	known := d.issuer(name)
	copied, err := known.document.current(ctx)
	if err == nil {
		return copied.value, nil
	}
	if wrong := new(MetadataError); errors.As(err, &wrong) {
		return Metadata{}, wrong
	}
	if fallback == nil || ctx.Err() != nil {
		return Metadata{}, err
	}
	static := *fallback
	static.Issuer, static.Static = name, true
	if err := static.check(); err != nil {
		return Metadata{}, err
	}
	known.fellBack.Do(func() {
		d.cfg.Log.Warn("no discovery document; using the endpoints of the provider file", "issuer", name)
	})
	return static, nil
}

func (d *Directory) issuer(name string) *issuer {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.issuers[name]
	if !ok {
		makeRoom(d.issuers, func(i *issuer) time.Time { return i.used })
		known = &issuer{document: remote[Metadata]{
			url:    documentURL(name),
			what:   "discovery document",
			ttl:    d.cfg.TTL,
			parse:  func(body []byte) (Metadata, error) { return parseMetadata(name, body) },
			client: d.cfg.HTTP,
			now:    d.cfg.Now,
			log:    d.cfg.Log.With("issuer", name),
		}}
		d.issuers[name] = known
	}
	known.used = d.cfg.Now()
	return known
}

// Keys answers the key set at a jwks_uri: the same one for the same address,
// so that its manners hold for all who use it.
func (d *Directory) Keys(uri string) *KeySet {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, ok := d.keys[uri]
	if !ok {
		makeRoom(d.keys, func(k *KeySet) time.Time { return k.used })
		known = &KeySet{document: remote[[]key]{
			url:    uri,
			what:   "signing keys",
			ttl:    d.cfg.TTL,
			maxAge: maxKeyAge,
			parse:  parseKeys,
			client: d.cfg.HTTP,
			now:    d.cfg.Now,
			log:    d.cfg.Log,
		}}
		d.keys[uri] = known
	}
	known.used = d.cfg.Now()
	return known
}

// Verifier makes the judge of id_tokens from this issuer for this client. The
// signing algorithms are the pinned ones, else those the issuer lists, else
// RS256; an HMAC or "none" among the pinned ones is a [*MetadataError].
func (d *Directory) Verifier(m Metadata, clientID string, pinned ...string) (*Verifier, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if clientID == "" {
		return nil, &MetadataError{m.Issuer, "there is no client id for it"}
	}
	algs, err := m.algorithms(pinned)
	if err != nil {
		return nil, err
	}
	return &Verifier{
		issuer:   m.Issuer,
		clientID: clientID,
		algs:     algs,
		keys:     d.Keys(m.JWKSURI),
		now:      d.cfg.Now,
		skew:     d.cfg.Skew,
	}, nil
}

// makeRoom drops the entry that went unused longest from a full map.
func makeRoom[T any](m map[string]T, used func(T) time.Time) {
	if len(m) < maxIssuers {
		return
	}
	var oldest string
	var since time.Time
	for name, entry := range m {
		if at := used(entry); oldest == "" || at.Before(since) {
			oldest, since = name, at
		}
	}
	delete(m, oldest)
}
