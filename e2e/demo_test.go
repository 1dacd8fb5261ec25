package e2e

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestDemo is the README's promise: one command, three links, and the lines of
// shell that it prints work as they stand.
func TestDemo(t *testing.T) {
	t.Parallel()
	b := startBrokerCommand(t, []string{"demo"})
	links := regexp.MustCompile(`http://\S+/connect/clv_cs_\S+`).FindAllString(string(b.log(t)), -1)
	if len(links) != 3 {
		t.Fatalf("%d links:\n%s", len(links), b.log(t))
	}
	v := newVisitor(t)
	first := func(link string) *sheet { return v.follow(v.submit(v.open(link), nil)) }
	form := v.link(first(links[0]), "API token")
	v.follow(v.submit(form, map[string]string{"api_token": sandbox.TogglAdaToken})).want(200, "Toggl Track is linked")
	form = v.link(first(links[1]), "E-mail and password")
	v.follow(v.submit(form, map[string]string{"email": sandbox.AdaEmail, "password": sandbox.ClickTimeAdaPassword})).want(200, "ClickTime is linked")
	form = v.link(first(links[2]), "Personal access token")
	v.follow(v.submit(form, map[string]string{"token": sandbox.TimeLogAdaToken})).want(200, "TimeLog is linked")

	lines := regexp.MustCompile(`(?m)^ *(curl .* \| curl .*)$`)
	b.waitFor(t, "the commands to be printed", func() bool { return len(lines.FindAll(b.log(t), -1)) == 3 })
	for _, line := range lines.FindAllSubmatch(b.log(t), -1) {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", string(bytes.TrimSpace(line[1]))+" --fail").CombinedOutput()
		if err != nil {
			t.Errorf("the printed command: %v\n%s", err, out)
		}
		if !strings.Contains(string(out), sandbox.AdaEmail) && !strings.Contains(string(out), "soxdemo") {
			t.Errorf("the service answered %s", out)
		}
	}
}
