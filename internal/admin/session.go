package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/securecookie"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// ticket is what the cookie says: which session, and that the browser is the one
// that began it. All else about it is in the database.
type ticket struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

// formToken is in every form of the session while it looks at an environment:
// the environment's id, and a MAC that only the session's own browser and we
// can make. A form from before a switch names the other environment.
func (t ticket) formToken(environmentID string) string {
	mac := hmac.New(sha256.New, []byte(t.Token))
	mac.Write([]byte("claviger form\x00" + t.ID + "\x00" + environmentID))
	return environmentID + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// formOf is the environment that a form's token was made in; ok is false for a
// token that was not made for this session.
func (t ticket) formOf(token string) (environmentID string, ok bool) {
	environmentID, _, _ = strings.Cut(token, ".")
	return environmentID, t.Token != "" && hmac.Equal([]byte(t.formToken(environmentID)), []byte(token))
}

// sealer seals the values of cookies, each kind for itself.
type sealer struct {
	codecs []securecookie.Codec // the first one seals
}

// newSealer takes 32 random bytes for each key. The limits of what is sealed
// are inside, by our clock: securecookie's own is switched off.
func newSealer(keys [][]byte) *sealer {
	s := &sealer{}
	for _, key := range keys {
		codec := securecookie.New(subkey(key, "mac"), subkey(key, "encryption"))
		s.codecs = append(s.codecs, codec.SetSerializer(securecookie.JSONEncoder{}).MaxAge(0))
	}
	return s
}

// subkey makes two keys of one: a key for a MAC is for nothing else. It is one
// round of HKDF-Expand (RFC 5869 section 2.3), which is all that 32 bytes take.
func subkey(key []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(purpose + "\x01"))
	return mac.Sum(nil)
}

func (s *sealer) seal(purpose string, value any) (string, error) {
	return securecookie.EncodeMulti(purpose, value, s.codecs[0])
}

// open reads what was sealed for the same purpose; old says that it was with
// another key than the one in use.
func (s *sealer) open(purpose, sealed string, into any) (old, ok bool) {
	for i, codec := range s.codecs {
		if sealed != "" && codec.Decode(purpose, sealed, into) == nil {
			return i > 0, true
		}
	}
	return false, false
}

// keeper keeps sessions in browsers.
type keeper struct {
	cookie httpd.Cookie
	sealer *sealer
}

// The purposes that sealed values are bound to.
const (
	sealedSession = "admin session"
	sealedTrip    = "admin trip"
)

func newKeeper(publicURL *url.URL, s *sealer) *keeper {
	// Strict: nobody is led into an action, nor past a page, from elsewhere. The
	// browser forgets it when it ends.
	return &keeper{cookie: httpd.NewCookie(publicURL, "clv_admin", http.SameSiteStrictMode, 0), sealer: s}
}

// begin gives the browser a session, whatever it had before.
func (k *keeper) begin(c echo.Context, in vault.SignedIn) error {
	return k.set(c, ticket{ID: in.Session.ID, Token: in.Token.Reveal()})
}

func (k *keeper) set(c echo.Context, t ticket) error {
	sealed, err := k.sealer.seal(sealedSession, t)
	if err != nil {
		return err
	}
	k.cookie.Set(c, sealed)
	return nil
}

// open reads the browser's ticket. One that an older key sealed is sealed anew,
// so that the key can go.
func (k *keeper) open(c echo.Context) (t ticket, ok bool, err error) {
	old, ok := k.sealer.open(sealedSession, k.cookie.Get(c), &t)
	if ok && old {
		err = k.set(c, t)
	}
	return t, ok, err
}

// forget makes the browser forget its session.
func (k *keeper) forget(c echo.Context) { k.cookie.Clear(c) }
