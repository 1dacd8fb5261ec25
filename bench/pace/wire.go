package pace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// answerTimeout ends a run whose server has stopped answering.
const answerTimeout = time.Minute

// wire is HTTP/1.1 with nothing around it: a request is written as it was
// rendered, and of the answer only status and length are looked at.
type wire struct {
	conn    net.Conn
	in      *bufio.Reader
	request func(n int64) []byte
}

// Dial connects to host:port. request answers the bytes of request n; the
// servers it is made for keep the connection open and announce the length.
func Dial(ctx context.Context, address string, request func(n int64) []byte) (Asker, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{conn: c, in: bufio.NewReaderSize(c, 16<<10), request: request}, nil
}

func (w *wire) Close() error { return w.conn.Close() }

func (w *wire) Ask(_ context.Context, n int64) (bool, error) {
	if err := w.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return false, err
	}
	if _, err := w.conn.Write(w.request(n)); err != nil {
		return false, fmt.Errorf("sending a request: %w", err)
	}
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return false, fmt.Errorf("reading an answer: %w", err)
	}
	ok := bytes.HasPrefix(line, []byte("HTTP/1.1 200 "))
	length := -1
	for {
		line, err = w.in.ReadSlice('\n')
		if err != nil {
			return false, fmt.Errorf("reading the headers of an answer: %w", err)
		}
		if len(line) <= 2 {
			break
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, errors.New("an answer announces a length that is no number")
			}
		}
	}
	if length < 0 {
		return false, errors.New("an answer does not announce its length")
	}
	_, err = w.in.Discard(length)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return ok, err
}
