// Command limit is how fast the hot path could be: net/http without a shell,
// the broker's own statement, prepared, one query a request, AES-256-GCM of the
// standard library over the answer, and write. It asks nobody for a key, counts
// nothing and logs nothing. bench/compare runs it beside the broker.
package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the driver

	"github.com/claviger/claviger/internal/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "limit:", err)
		stop()
		os.Exit(1)
	}
}

// answers reads the sealed answer of a connection.
type answers func(ctx context.Context, connectionID string) (sealed []byte, err error)

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("limit", flag.ContinueOnError)
	url := fs.String("database", "", "postgres://… or the path of an SQLite file")
	keyHash := fs.String("key-hash", "", "SHA-256 of the API key, in hex: what the statement asks for")
	sealKey := fs.String("seal-key", "", "the AES-256 key of the answers, in hex")
	if err := fs.Parse(args); err != nil {
		return err
	}
	hash, err := hex.DecodeString(*keyHash)
	if err != nil {
		return fmt.Errorf("-key-hash: %w", err)
	}
	gcm, err := open(*sealKey)
	if err != nil {
		return fmt.Errorf("-seal-key: %w", err)
	}
	read, closeDB, err := prepare(ctx, *url, hash)
	if err != nil {
		return err
	}
	defer closeDB()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "the limit is at http://%s\n", ln.Addr())
	srv := &http.Server{Handler: handler(read, gcm), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func open(key string) (cipher.AEAD, error) {
	raw, err := hex.DecodeString(key)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func handler(read answers, gcm cipher.AEAD) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1/connections/"), "/headers")
		sealed, err := read(r.Context(), id)
		if err != nil || len(sealed) < gcm.NonceSize() {
			http.Error(w, "no answer", http.StatusInternalServerError)
			return
		}
		n := gcm.NonceSize()
		body, err := gcm.Open(nil, sealed[:n], sealed[n:], nil)
		if err != nil {
			http.Error(w, "does not open", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h["Content-Type"] = []string{"application/json"}
		h["Content-Length"] = []string{strconv.Itoa(len(body))} // chunks would cost more
		_, _ = w.Write(body)
	}
}

// prepare readies the broker's statement and its answer's columns, all of them.
func prepare(ctx context.Context, url string, hash []byte) (answers, func(), error) {
	statement := store.HotStatement()
	if strings.HasPrefix(url, "postgres") {
		pool, err := pgxpool.New(ctx, url)
		if err != nil {
			return nil, nil, fmt.Errorf("opening the database: %w", err)
		}
		return func(ctx context.Context, id string) ([]byte, error) {
			var r store.HotRow
			err := pool.QueryRow(ctx, statement, hash, id).Scan(r.Columns()...)
			return r.Answer, err
		}, pool.Close, nil
	}
	db, err := sql.Open("sqlite", "file:"+url+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=query_only(1)")
	if err != nil {
		return nil, nil, fmt.Errorf("opening the database: %w", err)
	}
	db.SetMaxIdleConns(4)
	db.SetMaxOpenConns(4)
	stmt, err := db.PrepareContext(ctx, statement)
	if err != nil {
		return nil, nil, fmt.Errorf("preparing: %w", errors.Join(err, db.Close()))
	}
	return func(ctx context.Context, id string) ([]byte, error) {
		var r store.HotRow
		err := stmt.QueryRowContext(ctx, hash, id).Scan(r.Columns()...)
		return r.Answer, err
	}, func() { _ = stmt.Close(); _ = db.Close() }, nil
}
