package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

const (
	defaultLimit = 50
	maxLimit     = 200
	maxParam     = 256 // bytes
)

// list is one page of a list, newest first where it does not say otherwise; of
// events, oldest first.
type list[T any] struct {
	Data []T `json:"data"`
	// NextCursor asks for what comes after; null where nothing does, or where
	// there are no events yet.
	NextCursor *string `json:"next_cursor"`
}

// pager is the part of a list that is asked for.
type pager struct {
	limit  int
	cursor string
}

// pageOf reads cursor and limit.
func pageOf(q *httpd.Params) pager {
	return pager{limit: q.Int("limit", defaultLimit, 1, maxLimit), cursor: q.String("cursor", maxParam)}
}

// err is q's, or says that the cursor is none of ours. An id of something that
// is gone, or of another environment, is as good a place to go on from as any.
func (p pager) err(q *httpd.Params) error {
	if err := q.Err(); err != nil {
		return err
	}
	if p.cursor != "" && !idForm(p.cursor) {
		return &fault.Error{
			Kind: fault.Malformed, Message: "The query is not valid.",
			Fields: []fault.Field{{Pointer: "cursor", Detail: "must be a next_cursor of this list"}},
		}
	}
	return nil
}

// page asks the vault for one item more than will be shown: it tells whether
// there is a next page.
func (p pager) page() vault.Page { return vault.Page{Cursor: p.cursor, Limit: p.limit + 1} }

// answerPage answers what page brought; id names an item in cursors.
func answerPage[T, J any](c echo.Context, p pager, found []T, id func(T) string, show func(T) J) error {
	var next *string
	if len(found) > p.limit {
		found = found[:p.limit]
		cursor := id(found[p.limit-1])
		next = &cursor
	}
	return answerList(c, found, next, show)
}

func answerList[T, J any](c echo.Context, items []T, next *string, show func(T) J) error {
	out := list[J]{Data: make([]J, 0, len(items)), NextCursor: next}
	for _, item := range items {
		out.Data = append(out.Data, show(item))
	}
	return c.JSON(http.StatusOK, out)
}

// orNull is a time as JSON has it: null where there is none.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// wordOrNull is null for an empty word.
func wordOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// emptyNotNull keeps lists lists.
func emptyNotNull[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
