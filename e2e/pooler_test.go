package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/claviger/claviger/internal/sandbox"
)

// pooled starts a PgBouncer in transaction mode before a database, with fewer
// connections than its clients have, and gives the URL that goes through it.
func pooled(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	password, _ := u.User.Password()
	users := filepath.Join(dir, "users")
	config := filepath.Join(dir, "pgbouncer.ini")
	for file, text := range map[string]string{
		users: fmt.Sprintf("%q %q\n", u.User.Username(), password),
		config: fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
			"unix_socket_dir =\nauth_type = trust\nauth_file = %s\npool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 500\n",
			u.Hostname(), u.Port(), port, users),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Both are read by another user than root.
	for path := dir; strings.HasPrefix(path, os.TempDir()) && path != os.TempDir(); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := findProgram("PgBouncer", "/usr/sbin/pgbouncer", "pgbouncer")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{config}
	if os.Geteuid() == 0 {
		args = append([]string{"--user=postgres"}, args...)
	}
	p, err := launch("PgBouncer", artifact(t, "pgbouncer.log"), exec.Command(program, args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill) // SIGTERM is a failure to it, and SIGINT waits for its clients

	u.Host = "127.0.0.1:" + strconv.Itoa(port)
	q := u.Query()
	q.Set("default_query_exec_mode", "exec") // it knows no prepared statements
	u.RawQuery = q.Encode()
	deadline := time.After(30 * time.Second)
	for {
		db, err := pgx.Connect(t.Context(), u.String())
		if err == nil {
			_ = db.Close(t.Context())
			return u.String()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("PgBouncer does not answer: %v", err)
		}
	}
}

// TestBehindAPooler runs two processes behind a pooler that gives every
// transaction another connection: leases hold, a token is spent once, and
// a revocation is seen at once.
func TestBehindAPooler(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "postgres")
	hybridWorld(w)
	timeLog := w.sandbox.TimeLog()
	w.brokers = nil
	w.settings = append(w.settings, "CLAVIGER_DATABASE_URL="+pooled(t, w.database))
	w.start()
	w.start()
	c := linkExpired(w, "crowd")
	calls := timeLog.TokenCalls()
	timeLog.Faults().Always(sandbox.TimeLogRefresh, sandbox.Slow(300*time.Millisecond))
	for _, a := range crowd(w, 60, func(b backend) (answer, error) {
		return b.try(http.MethodGet, "/v1/connections/"+c.ID+"/headers", nil, "application/json")
	}) {
		a.want(http.StatusOK).headers().accepted("/api/v1/user", sandbox.AdaEmail)
	}
	if got := timeLog.TokenCalls() - calls; got != 1 {
		t.Errorf("%d calls to the token endpoint", got)
	}
	w.at(w.brokers[0]).post("/v1/connections/"+c.ID+"/revoke", nil).want(http.StatusOK)
	w.at(w.brokers[1]).get("/v1/connections/"+c.ID+"/headers").problem(http.StatusGone, "revoked")
	if got := timeLog.Reuses(); got != 0 {
		t.Errorf("%d spent tokens came back", got)
	}
}
