package sandbox

import (
	"mime"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

// The endpoints of ClickTime.
const (
	ClickTimeMe          Endpoint = "me"           // GET /v2/Me
	ClickTimeResetToken  Endpoint = "reset_token"  // POST /v2/Me/ResetAuthToken
	ClickTimeJobs        Endpoint = "jobs"         // GET /v2/Jobs
	ClickTimeTimeEntries Endpoint = "time_entries" // GET /v2/TimeEntries
)

// ClickTimeSettings are ClickTime's switches.
type ClickTimeSettings struct {
	// TokenMember is the member of /Me's answer that carries the token,
	// "AuthToken" to begin with. "" leaves the token out.
	TokenMember string
	// TokenAtTop puts that member beside "data" and not into it.
	TokenAtTop bool
	// TokenOnlyForBasic leaves the token out of an answer to a caller who
	// already came with it.
	TokenOnlyForBasic bool
}

// ClickTime is the ClickTime service. Only /Me and /Me/ResetAuthToken take a
// password; everything else takes the token, which never expires by itself.
type ClickTime struct {
	*Service
	Switches[ClickTimeSettings]
}

// NewClickTime makes the service without serving it; it is an [http.Handler].
func NewClickTime(cfg Config) *ClickTime {
	cfg = cfg.withDefaults()
	c := &ClickTime{Service: newService(ClickTimeName, cfg, cfg.ClickTimeAccounts, uuid.NewString)}
	c.Set(func(s *ClickTimeSettings) { s.TokenMember = "AuthToken" })
	c.handle(ClickTimeMe, "GET /v2/me", jsonOnly(c.authenticated(c.me, c.byToken, c.byPassword)))
	c.handle(ClickTimeResetToken, "POST /v2/me/resetauthtoken", jsonOnly(c.authenticated(c.resetToken, c.byPassword)))
	c.handle(ClickTimeJobs, "GET /v2/jobs", jsonOnly(c.authenticated(c.jobs, c.byToken)))
	c.handle(ClickTimeTimeEntries, "GET /v2/timeentries", jsonOnly(c.authenticated(c.timeEntries, c.byToken)))
	c.handle(Unknown, "/", func(w http.ResponseWriter, _ *http.Request) {
		clickTimeError(w, http.StatusNotFound, "ResourceNotFound", "The resource was not found.")
	})
	return c
}

// APIURL is the base path that a provider file names: URL plus /v2.
func (c *ClickTime) APIURL() string { return c.URL() + "/v2" }

// ServeHTTP serves paths in any case: the documentation writes /Me and /me.
func (c *ClickTime) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u := *r.URL
	u.Path, u.RawPath = strings.ToLower(u.Path), ""
	r2 := *r
	r2.URL = &u
	c.Service.ServeHTTP(w, &r2)
}

// jsonOnly refuses a request without Content-Type: application/json, a GET too.
func jsonOnly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || mt != "application/json" {
			clickTimeError(w, http.StatusUnsupportedMediaType, "UnsupportedMediaType",
				"The request must have a Content-Type of application/json.")
			return
		}
		h(w, r)
	}
}

// authenticated lets through whom one of the ways recognises.
func (c *ClickTime) authenticated(h func(http.ResponseWriter, *http.Request, Account), ways ...func(*http.Request) (Account, bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, way := range ways {
			if acc, ok := way(r); ok {
				h(w, r, acc)
				return
			}
		}
		clickTimeError(w, http.StatusUnauthorized, "Unauthorized", "The supplied credentials are not valid.")
	}
}

func (c *ClickTime) byToken(r *http.Request) (Account, bool) {
	token, ok := schemeValue(r, "Token")
	if !ok {
		return Account{}, false
	}
	return c.accounts.byToken(token)
}

func (c *ClickTime) byPassword(r *http.Request) (Account, bool) {
	user, pass, ok := r.BasicAuth()
	if !ok {
		return Account{}, false
	}
	return c.accounts.byPassword(user, pass)
}

// me answers GET /Me. Where the token stands in the answer is on a switch.
func (c *ClickTime) me(w http.ResponseWriter, r *http.Request, acc Account) {
	data := map[string]any{
		"ID":             acc.ID,
		"Name":           acc.Name,
		"Email":          acc.Email,
		"IsActive":       true,
		"SecurityLevel":  "user",
		"EmployeeNumber": "",
		"DivisionID":     "2DIVISION1",
	}
	answer := map[string]any{"data": data}
	set := c.Settings()
	_, _, basic := r.BasicAuth()
	if set.TokenMember != "" && (basic || !set.TokenOnlyForBasic) {
		if set.TokenAtTop {
			answer[set.TokenMember] = acc.Token
		} else {
			data[set.TokenMember] = acc.Token
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

// resetToken answers POST /Me/ResetAuthToken: a new token, the old one dead.
func (c *ClickTime) resetToken(w http.ResponseWriter, _ *http.Request, acc Account) {
	token, err := c.accounts.ResetToken(acc.Email)
	if err != nil {
		clickTimeError(w, http.StatusUnauthorized, "Unauthorized", "The supplied credentials are not valid.")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"AuthToken": token}})
}

// jobs answers GET /Jobs.
func (c *ClickTime) jobs(w http.ResponseWriter, _ *http.Request, _ Account) {
	clickTimeList(w, map[string]any{"ID": "2JOB1843", "Name": "Sketch of the engine", "JobNumber": "1843", "IsActive": true})
}

// timeEntries answers GET /TimeEntries.
func (c *ClickTime) timeEntries(w http.ResponseWriter, _ *http.Request, acc Account) {
	clickTimeList(w, map[string]any{
		"ID": "2ENTRY1", "UserID": acc.ID, "JobID": "2JOB1843", "Hours": 1.5,
		"Date": c.now().UTC().Format("2006-01-02"), "Comment": "Note G",
	})
}

func clickTimeList(w http.ResponseWriter, items ...map[string]any) {
	writeJSON(w, http.StatusOK, map[string]any{
		"data": items,
		"page": map[string]any{"count": len(items), "limit": 100, "offset": 0},
	})
}

func clickTimeError(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, map[string]any{
		"errors": []map[string]string{{"type": kind, "message": message}},
	})
}
