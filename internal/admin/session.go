package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

const (
	// idleLimit ends a session that nobody uses, absoluteLimit any.
	idleLimit     = 30 * time.Minute
	absoluteLimit = 8 * time.Hour
	// touchEvery is how stale a cookie's time of last use may get.
	touchEvery = time.Minute
)

// session is what the cookie says.
type session struct {
	vault.AdminSession
	// Token is in every form of the session, see [visit.checkToken].
	Token string
	// Seen is when the session was last used, to touchEvery.
	Seen time.Time
}

// owns reports whether a form's token is the session's.
func (s *session) owns(token string) bool {
	return s.Token != "" && subtle.ConstantTimeCompare([]byte(s.Token), []byte(token)) == 1
}

// keeper keeps sessions in browsers, sealed.
type keeper struct {
	cookie httpd.Cookie
	codecs []securecookie.Codec // the first one seals
	now    func() time.Time
}

// sealedAs is the purpose that a sealed value is bound to.
const sealedAs = "admin session"

func newKeeper(publicURL *url.URL, keys [][]byte, now func() time.Time) *keeper {
	k := &keeper{
		// Strict: nobody is led into an action, nor past a page, from elsewhere.
		// The browser forgets it when it ends.
		cookie: httpd.NewCookie(publicURL, "clv_admin", http.SameSiteStrictMode, 0),
		now:    now,
	}
	for _, key := range keys {
		codec := securecookie.New(subkey(key, "mac"), subkey(key, "encryption"))
		// The limits are inside, by our clock and for each session.
		k.codecs = append(k.codecs, codec.SetSerializer(securecookie.JSONEncoder{}).MaxAge(0))
	}
	return k
}

// subkey makes two keys of one: a key for a MAC is for nothing else. It is one
// round of HKDF-Expand (RFC 5869 section 2.3), which is all that 32 bytes take.
func subkey(key []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(purpose + "\x01"))
	return mac.Sum(nil)
}

// begin gives the browser a fresh session, whatever it had before.
func (k *keeper) begin(c echo.Context, a vault.AdminSession) error {
	return k.set(c, session{AdminSession: a, Token: rand.Text(), Seen: k.now()})
}

func (k *keeper) set(c echo.Context, s session) error {
	value, err := securecookie.EncodeMulti(sealedAs, s, k.codecs...)
	if err != nil {
		return err
	}
	k.cookie.Set(c, value)
	return nil
}

// open reads the browser's session; ok is false where it has none, or one that
// has lasted too long.
func (k *keeper) open(c echo.Context) (s session, ok bool) {
	value := k.cookie.Get(c)
	if value == "" || securecookie.DecodeMulti(sealedAs, value, &s, k.codecs...) != nil {
		return session{}, false
	}
	now := k.now()
	if now.Sub(s.Since) >= absoluteLimit || now.Sub(s.Seen) >= idleLimit {
		return session{}, false
	}
	return s, true
}

// touch notes that the session is in use.
func (k *keeper) touch(c echo.Context, s session) error {
	now := k.now()
	if now.Sub(s.Seen) < touchEvery {
		return nil
	}
	s.Seen = now
	return k.set(c, s)
}

// forget makes the browser forget its session.
func (k *keeper) forget(c echo.Context) { k.cookie.Clear(c) }
