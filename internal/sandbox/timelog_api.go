package sandbox

import (
	"encoding/json"
	"net/http"
)

// bearer lets through a live access token or a personal access token.
func (t *TimeLog) bearer(h func(http.ResponseWriter, *http.Request, Account)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := schemeValue(r, "Bearer")
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		acc, ok := t.accounts.byToken(token)
		if !ok {
			acc, ok = t.byAccessToken(token)
		}
		if !ok { // RFC 6750 section 3.1
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h(w, r, acc)
	}
}

func (t *TimeLog) byAccessToken(token string) (Account, bool) {
	t.mu.Lock()
	a, ok := t.access[token]
	dead := !ok || !t.now().Before(a.end())
	t.mu.Unlock()
	if dead {
		return Account{}, false
	}
	acc, ok := t.accounts.Get(a.grant.email)
	return acc, ok && !acc.Disabled
}

// resolveURI answers GET /api/ResolveUri: where the tenant's API is.
func (t *TimeLog) resolveURI(w http.ResponseWriter, r *http.Request, _ Account) {
	writeJSON(w, http.StatusOK, map[string]string{"url": t.tenantRoot(r)})
}

// user answers GET {tenant root}/api/v1/user: the resource that shows that
// headers work.
func (t *TimeLog) user(w http.ResponseWriter, r *http.Request, acc Account) {
	writeJSON(w, http.StatusOK, map[string]any{
		"Properties": map[string]any{
			"UserID":   json.Number(acc.ID),
			"FullName": acc.Name,
			"Email":    acc.Email,
			"Tenant":   r.PathValue("tenant"),
		},
	})
}

// userInfo answers GET /connect/userinfo (OpenID Connect Core 5.3).
func (t *TimeLog) userInfo(w http.ResponseWriter, _ *http.Request, acc Account) {
	writeJSON(w, http.StatusOK, map[string]string{"sub": acc.ID, "name": acc.Name, "email": acc.Email})
}
