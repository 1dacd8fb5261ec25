package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// openIDProvider is a running op/server.mjs: npm's oidc-provider, dressed as
// TimeLog's login and as a company's. Clients need PKCE; TimeLog's authenticates
// by form parameters, the one for admins by HTTP Basic.
type openIDProvider struct {
	*process
	issuer            string
	clientID          string
	clientSecret      string
	adminClientID     string
	adminClientSecret string
}

// opSettings are what the provider lets a test change, before and while it runs.
type opSettings struct {
	// RedirectURIs replaces the registered ones. Hosts must be loopback.
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	// AccessTokenTTL is the life of access tokens from now on, in seconds.
	AccessTokenTTL int `json:"access_token_ttl,omitempty"`
	// AutoLogin signs this account in without showing a page.
	AutoLogin string `json:"auto_login,omitempty"`
	// TenantURL is what ResolveUri answers.
	TenantURL string `json:"tenant_url,omitempty"`
	// AdminRedirectURIs and AdminLogoutURI are those of the client for admins.
	AdminRedirectURIs []string `json:"admin_redirect_uris,omitempty"`
	AdminLogoutURI    string   `json:"admin_logout_uri,omitempty"`
	// Groups are the groups that each account is in.
	Groups map[string][]string `json:"groups,omitempty"`
}

// opEvent is something that happened in the provider, by oidc-provider's name
// for it.
type opEvent struct {
	Event        string `json:"event"`
	GrantType    string `json:"grant_type"`
	ResponseMode string `json:"response_mode"`
	Error        string `json:"error"`
	Detail       string `json:"detail"`
}

// startOpenIDProvider runs the provider on a free port until the test ends.
func startOpenIDProvider(t *testing.T, settings opSettings) *openIDProvider {
	t.Helper()
	node, err := findProgram("Node.js", "node")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("op/node_modules"); err != nil {
		t.Fatalf("the provider's npm packages are not installed; scripts/npm-ci installs them: %v", err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	op := &openIDProvider{
		clientID: "claviger-e2e", clientSecret: "op-secret-Vb7kQw2ZrT9xLm4N",
		adminClientID: "claviger-admin", adminClientSecret: "op-admin-Hq3nXz8CvJ5tWd2P",
	}
	cmd := exec.Command(node, "server.mjs")
	cmd.Dir = "op"
	cmd.Env = append(os.Environ(),
		"OP_CLIENT_ID="+op.clientID, "OP_CLIENT_SECRET="+op.clientSecret,
		"OP_ADMIN_CLIENT_ID="+op.adminClientID, "OP_ADMIN_CLIENT_SECRET="+op.adminClientSecret,
		"OP_PORT="+strconv.Itoa(port))
	// It ends when this pipe does, also if the test run is killed.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	op.process = startProcess(t, "the OpenID provider", artifact(t, "op-"+strconv.Itoa(port)+".log"), cmd)
	op.waitFor(t, "ready", func() bool {
		for line := range bytes.Lines(op.log(t)) {
			var said struct {
				Issuer string `json:"issuer"`
			}
			if json.Unmarshal(line, &said) == nil && said.Issuer != "" {
				op.issuer = said.Issuer
			}
		}
		return op.issuer != ""
	})
	op.change(t, settings)
	return op
}

// change sets what is not zero in settings.
func (op *openIDProvider) change(t *testing.T, settings opSettings) {
	t.Helper()
	body, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, op.issuer+"/_op/settings", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("changing the provider's settings: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("changing the provider's settings: %s", res.Status)
	}
}

// events is what has happened so far, in order.
func (op *openIDProvider) events(t *testing.T) []opEvent {
	t.Helper()
	var events []opEvent
	getJSON(t, op.issuer+"/_op/events", "", http.StatusOK, &events)
	return events
}

// tokenCalls counts the answered calls of the token endpoint for a grant type,
// refusals included.
func (op *openIDProvider) tokenCalls(t *testing.T, grantType string) int {
	t.Helper()
	return len(slices.DeleteFunc(op.events(t), func(e opEvent) bool {
		return !strings.HasPrefix(e.Event, "grant.s") && e.Event != "grant.error" || e.GrantType != grantType
	}))
}

// getJSON decodes the answer to a GET that must have this status.
func getJSON(t *testing.T, url, bearer string, status int, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != status {
		t.Fatalf("GET %s: %s, want %d", url, res.Status, status)
	}
	if into == nil {
		return
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}
