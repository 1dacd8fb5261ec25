package httpd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
)

// shell is the one middleware around every handler. It is one and not six
// because each would cost a closure a request, and because the order of these
// steps is the point.
type shell struct {
	log         *slog.Logger
	now         func() time.Time
	apiHeaders  []fixedHeader
	pageHeaders []fixedHeader
	unrouted    unrouted
}

func (s *shell) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx := &recordContext{Context: r.Context(), rec: Record{id: rand.Text(), start: s.now()}}
		rec := &ctx.rec
		c.SetRequest(r.WithContext(ctx))
		s.setHeaders(c, rec.id)

		err := limitBody(c, MaxBody)
		if err == nil {
			err = s.call(c, rec, next)
		}
		cut := errors.Is(err, http.ErrAbortHandler) || rec.stack != nil && c.Response().Committed
		if err != nil && !cut {
			s.exit(err, c)
		}
		rec.err = err
		s.write(c, rec)
		if cut {
			// Half an answer is out. Cutting the connection is the one way
			// left to say that it is not a whole one.
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// call runs the handler; a panic becomes an error.
func (s *shell) call(c echo.Context, rec *Record, next echo.HandlerFunc) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			rec.stack = debug.Stack()
			err = panicError(v)
		}
	}()
	err = next(c)
	if errors.Is(err, echo.ErrNotFound) || errors.Is(err, echo.ErrMethodNotAllowed) {
		return s.unrouted.resolve(c, err)
	}
	return err
}

// panicError names a panic without quoting it: what was thrown may hold what
// the caller sent. The runtime's own errors hold types and numbers only.
func panicError(v any) error {
	var re runtime.Error
	if err, ok := v.(error); ok && errors.As(err, &re) {
		return fmt.Errorf("panic: %w", re)
	}
	return fmt.Errorf("panic with a %T", v)
}
