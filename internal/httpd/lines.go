package httpd

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// lineTime is how long the other side may take for one part of an answer in
// lines. It moves on with each of them: a long answer is no reason to cut it off.
const lineTime = time.Minute

// Lines answers with JSON lines, application/jsonl, as produce sends them, a part
// at a time. Nothing is out before the first part, so that an error until then is
// answered as any other; one after that cuts the connection, since half an answer
// looks like a whole one otherwise. A file name makes it a download.
func Lines[T any](c echo.Context, file string, produce func(send func(part []T) error) error) error {
	res := c.Response()
	deadline := http.NewResponseController(res)
	out := bufio.NewWriterSize(res, 64<<10)
	enc := json.NewEncoder(out)
	begin := func() {
		if res.Committed {
			return
		}
		res.Header().Set(echo.HeaderContentType, "application/jsonl; charset=utf-8")
		if file != "" {
			res.Header().Set(echo.HeaderContentDisposition, `attachment; filename="`+file+`"`)
		}
		res.WriteHeader(http.StatusOK)
	}
	err := produce(func(part []T) error {
		begin()
		err := deadline.SetWriteDeadline(time.Now().Add(lineTime))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		for _, item := range part {
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		return deadline.Flush()
	})
	if err == nil {
		begin()
		return nil
	}
	if res.Committed {
		return errors.Join(err, http.ErrAbortHandler)
	}
	return err
}
