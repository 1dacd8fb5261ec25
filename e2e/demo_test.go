package e2e

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/claviger/claviger/internal/sandbox"
)

// TestDemo is the README's promise: one command, three links that a person
// opens and follows to the end with what is printed beside them, and lines of
// shell that work as they stand.
func TestDemo(t *testing.T) {
	t.Parallel()
	b := startBrokerCommand(t, []string{"demo"})
	links := regexp.MustCompile(`http://\S+/connect/clv_cs_\S+`).FindAllString(string(b.log(t)), -1)
	if len(links) != 3 {
		t.Fatalf("%d links:\n%s", len(links), b.log(t))
	}
	for _, printed := range []string{
		sandbox.TogglAdaToken, sandbox.AdaEmail + " / " + sandbox.ClickTimeAdaPassword, sandbox.AdaEmail + " / " + sandbox.TimeLogAdaPassword,
	} {
		if !bytes.Contains(b.log(t), []byte(printed)) {
			t.Errorf("nobody is told of %q", printed)
		}
	}
	p := visit(t, look{})
	begin := func(link, service, method string) {
		t.Helper()
		p.open(link)
		p.arrive("The demo asks for access to your " + service + " account")
		p.press("Continue")
		p.arrive("How do you want to link " + service + "?")
		p.press(method)
		p.arrive("Link " + service)
	}
	begin(links[0], "Toggl Track", "API token")
	p.enter("API token", sandbox.TogglAdaToken)
	p.press("Link account")
	p.arrive("Toggl Track is linked")
	begin(links[1], "ClickTime", "E-mail and password")
	p.enter("E-mail", sandbox.AdaEmail)
	p.enter("Password", sandbox.ClickTimeAdaPassword)
	p.press("Link account")
	p.arrive("ClickTime is linked")
	begin(links[2], "TimeLog", "Sign in at TimeLog")
	p.press("Continue to TimeLog")
	signIn(p)
	p.arrive("TimeLog is linked")

	lines := regexp.MustCompile(`(?m)^ *(curl .*)$`)
	b.waitFor(t, "done with printing", func() bool { return len(lines.FindAll(b.log(t), -1)) == 6 })
	for _, line := range lines.FindAll(b.log(t), -1) {
		line = bytes.TrimSpace(line)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", string(line)+" --fail").CombinedOutput()
		if err != nil {
			t.Errorf("the printed command: %v\n%s", err, out)
		}
		want := []string{"Authorization: "}
		if bytes.Contains(line, []byte("|")) {
			want = []string{sandbox.AdaEmail, "/soxdemo"}
		}
		if !strings.Contains(string(out), want[0]) && !strings.Contains(string(out), want[len(want)-1]) {
			t.Errorf("the printed command says %s", out)
		}
	}
	if err := b.terminate(); err != nil {
		t.Errorf("ended with %v", err)
	}
}
