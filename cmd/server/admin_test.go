package main

import (
	"net/http"
	"net/http/cookiejar"
	"regexp"
	"strings"
	"testing"
)

var adminLink = regexp.MustCompile(`http\S+/admin/link/clv_adm_\S+`)

// runCommand runs a command to its end on the settings of env.
func runCommand(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	out, errs := &output{}, &output{}
	err = (&process{env: env, stdout: out, stderr: errs}).run(t.Context(), args)
	return out.String(), errs.String(), err
}

// opens signs in by a link and answers where that leads.
func opens(t *testing.T, link string) int {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// TestFirstAdmin: the first start prints a way in, the next one does not.
func TestFirstAdmin(t *testing.T) {
	t.Parallel()
	env := map[string]string{"CLAVIGER_LISTEN": "127.0.0.1:0", "CLAVIGER_DATA_DIR": t.TempDir()}
	p := start(t, env)
	link := adminLink.FindString(p.stdout.String())
	if link == "" || !strings.HasPrefix(link, p.url) {
		t.Fatalf("no link for the first admin:\n%s", p.stdout)
	}
	if got := opens(t, link); got != http.StatusSeeOther {
		t.Errorf("the link: %d", got)
	}
	if got := opens(t, link); got != http.StatusGone {
		t.Errorf("the link, again: %d", got)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, env)
	if got := adminLink.FindString(again.stdout.String()); got != "" {
		t.Errorf("the second start prints %s", got)
	}
	if strings.Contains(p.stderr.String()+again.stderr.String(), "clv_adm_") {
		t.Error("the log has the link")
	}
}

func TestAdminCommand(t *testing.T) {
	t.Parallel()
	env := map[string]string{"CLAVIGER_LISTEN": "127.0.0.1:0", "CLAVIGER_DATA_DIR": t.TempDir()}
	p := start(t, env)
	env["CLAVIGER_PUBLIC_URL"] = p.url
	run := func(args ...string) (string, string) {
		t.Helper()
		stdout, stderr, err := runCommand(t, env, append([]string{"admin"}, args...)...)
		if err != nil {
			t.Fatalf("admin %s: %v", strings.Join(args, " "), err)
		}
		return stdout, stderr
	}
	stdout, stderr := run("invite", "-name", "Ada", "-role", "viewer")
	if !adminLink.MatchString(stdout) || strings.Count(stdout, "\n") != 1 || !strings.Contains(stderr, "Ada (viewer)") || strings.Contains(stderr, "clv_adm_") {
		t.Fatalf("invite prints %q and %q", stdout, stderr)
	}
	first, id := strings.TrimSpace(stdout), regexp.MustCompile(`adm_\w+`).FindString(stderr)
	second, _ := run("invite", "-admin", id)
	if got := opens(t, first); got != http.StatusGone {
		t.Errorf("the link that was replaced: %d", got)
	}
	if got := opens(t, strings.TrimSpace(second)); got != http.StatusSeeOther {
		t.Errorf("the newest link: %d", got)
	}
	if list, _ := run("list"); !regexp.MustCompile(id+"\tAda\tviewer\tby link\tsigned in ").MatchString(list) || !strings.Contains(list, "never signed in") {
		t.Errorf("list prints %q", list)
	}
	run("remove", id)
	if list, _ := run("list"); !regexp.MustCompile(id + "\tAda\tviewer\tby link\tremoved ").MatchString(list) {
		t.Errorf("list prints %q", list)
	}
	for _, args := range [][]string{
		{"admin", "invite", "-admin", id},
		{"admin", "invite", "-role", "root"},
		{"admin", "invite", "-ttl", "1s"},
		{"admin", "remove"},
		{"admin", "remove", "adm_none"},
		{"admin"},
		{"admin", "promote"},
	} {
		if stdout, _, err := runCommand(t, env, args...); err == nil {
			t.Errorf("%v: no error, prints %q", args, stdout)
		}
	}
	run("restore", id)
	run("invite", "-admin", id)
}

func TestAdminSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string // in the error; none where there is none
	}{
		"none": {nil, nil},
		"all": {map[string]string{
			"ADMIN_OIDC_ISSUER": "https://login.example", "ADMIN_OIDC_CLIENT_ID": "claviger", "ADMIN_OIDC_CLIENT_SECRET": "s", "ADMIN_ROLES": "groups=a:owner",
		}, nil},
		"public client": {map[string]string{"ADMIN_OIDC_ISSUER": "https://login.example", "ADMIN_OIDC_CLIENT_ID": "claviger", "ADMIN_ROLES": "groups=a:owner"}, nil},
		"issuer alone": {map[string]string{"ADMIN_OIDC_ISSUER": "https://login.example"}, []string{
			"CLAVIGER_ADMIN_OIDC_CLIENT_ID: required", "CLAVIGER_ADMIN_ROLES: required",
		}},
		"without an issuer": {map[string]string{"ADMIN_ROLES": "groups=a:owner"}, []string{"CLAVIGER_ADMIN_OIDC_ISSUER: required with CLAVIGER_ADMIN_ROLES"}},
		"all wrong at once": {map[string]string{
			"ADMIN_OIDC_ISSUER": "login.example", "ADMIN_OIDC_CLIENT_ID": "x", "ADMIN_OIDC_SCOPES": "profile", "ADMIN_ROLES": "groups=a:root,x",
		}, []string{"CLAVIGER_ADMIN_OIDC_ISSUER: must be", "CLAVIGER_ADMIN_OIDC_SCOPES: must have openid", "groups=a:root", `"x" is not of the form`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{"CLAVIGER_DATA_DIR": t.TempDir()}
			for k, v := range tt.env {
				env["CLAVIGER_"+k] = v
			}
			_, _, err := runCommand(t, env, "admin", "list")
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
		})
	}
}
