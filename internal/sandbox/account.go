package sandbox

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// The names of the three services, as they stand in a provider catalog.
const (
	TogglName     = "toggl"
	ClickTimeName = "clicktime"
	TimeLogName   = "timelog"
)

// The two people with an account at each service. Ada is the one that demos
// and tests use; Grace is for "another account than before".
const (
	AdaEmail   = "ada@example.com"
	GraceEmail = "grace@example.com"

	TogglAdaPassword   = "toggl-sandbox-difference"
	TogglAdaToken      = "ada0ada0ada0ada0ada0ada0ada0ada0" // 32 hex digits, like the real ones
	TogglGracePassword = "toggl-sandbox-nanosecond"
	TogglGraceToken    = "decade01decade01decade01decade01"

	ClickTimeAdaPassword   = "clicktime-sandbox-engine"
	ClickTimeAdaToken      = "c11c71de-0ada-4da0-8ada-0ada0ada0ada"
	ClickTimeGracePassword = "clicktime-sandbox-compiler"
	ClickTimeGraceToken    = "c11c71de-dec0-4dec-8dec-decade01dec1"

	TimeLogAdaPassword   = "timelog-sandbox-bernoulli"
	TimeLogAdaToken      = "tlpat-sandbox-0ada0ada0ada0ada0ada0ada0ada0ada0ada0ada" // a personal access token
	TimeLogGracePassword = "timelog-sandbox-relay70"
	TimeLogGraceToken    = "tlpat-sandbox-decade01decade01decade01decade01decade01"
)

// Account is one person's account at one service.
type Account struct {
	// ID is the service's own id: digits at Toggl, a word at ClickTime, the
	// subject at TimeLog.
	ID string
	// Email is the login name; case does not matter.
	Email    string
	Password string
	// Token is the API token, at TimeLog the personal access token.
	Token string
	Name  string
	// Disabled accounts fail to authenticate exactly like unknown ones.
	Disabled bool
}

// DemoAccounts gives Ada's and Grace's account at the named service, Ada's
// first; nil for a name it does not know.
func DemoAccounts(service string) []Account {
	const ada, grace = "Ada Lovelace", "Grace Hopper"
	switch service {
	case TogglName:
		return []Account{
			{ID: "9001815", Email: AdaEmail, Name: ada, Password: TogglAdaPassword, Token: TogglAdaToken},
			{ID: "9001906", Email: GraceEmail, Name: grace, Password: TogglGracePassword, Token: TogglGraceToken},
		}
	case ClickTimeName:
		return []Account{
			{ID: "2ADA1815CT", Email: AdaEmail, Name: ada, Password: ClickTimeAdaPassword, Token: ClickTimeAdaToken},
			{ID: "2GRC1906CT", Email: GraceEmail, Name: grace, Password: ClickTimeGracePassword, Token: ClickTimeGraceToken},
		}
	case TimeLogName:
		return []Account{
			{ID: "1815", Email: AdaEmail, Name: ada, Password: TimeLogAdaPassword, Token: TimeLogAdaToken},
			{ID: "1906", Email: GraceEmail, Name: grace, Password: TimeLogGracePassword, Token: TimeLogGraceToken},
		}
	}
	return nil
}

// Accounts is the directory of one service. It is safe for concurrent use.
type Accounts struct {
	newToken func() string
	secrets  *secretBook

	mu   sync.Mutex
	list []Account
}

func newAccounts(list []Account, secrets *secretBook, newToken func() string) *Accounts {
	a := &Accounts{newToken: newToken, secrets: secrets}
	for _, acc := range list {
		a.Put(acc)
	}
	return a
}

// Put adds an account or replaces the one with the same e-mail address.
func (a *Accounts) Put(acc Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learn(acc)
	if i := a.index(acc.Email); i >= 0 {
		a.list[i] = acc
		return
	}
	a.list = append(a.list, acc)
}

// Remove deletes an account; its token and password are worth nothing then.
func (a *Accounts) Remove(email string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.index(email); i >= 0 {
		a.list = slices.Delete(a.list, i, i+1)
	}
}

// Get finds an account by e-mail address.
func (a *Accounts) Get(email string) (acc Account, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := a.index(email); i >= 0 {
		return a.list[i], true
	}
	return Account{}, false
}

// ResetToken gives the account a new token and returns it; the old one is
// refused from here on, as after a click on the service's own page.
func (a *Accounts) ResetToken(email string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.index(email)
	if i < 0 {
		return "", fmt.Errorf("sandbox: no account %q", email)
	}
	a.list[i].Token = a.newToken()
	a.learn(a.list[i])
	return a.list[i].Token, nil
}

// learn notes what of the account must never turn up anywhere, also in the
// forms in which it travels.
func (a *Accounts) learn(acc Account) {
	basic := base64.StdEncoding.EncodeToString
	a.secrets.add(acc.Password, acc.Token)
	if acc.Password != "" {
		a.secrets.add(basic([]byte(acc.Email + ":" + acc.Password)))
	}
	if acc.Token != "" {
		a.secrets.add(basic([]byte(acc.Token + ":api_token")))
	}
}

func (a *Accounts) index(email string) int {
	return slices.IndexFunc(a.list, func(acc Account) bool {
		return strings.EqualFold(acc.Email, email)
	})
}

// byPassword finds the enabled account of these credentials.
func (a *Accounts) byPassword(email, password string) (Account, bool) {
	acc, ok := a.Get(email)
	if !ok || acc.Disabled || password == "" || acc.Password != password {
		return Account{}, false
	}
	return acc, true
}

// byToken finds the enabled account of this token.
func (a *Accounts) byToken(token string) (Account, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, acc := range a.list {
		if token != "" && acc.Token == token && !acc.Disabled {
			return acc, true
		}
	}
	return Account{}, false
}
