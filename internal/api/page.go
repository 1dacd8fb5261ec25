package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

const (
	defaultLimit = 50
	maxLimit     = 200
	maxParam     = 256
)

// list is one page of a list, newest first.
type list[T any] struct {
	Data []T `json:"data"`
	// NextCursor asks for what comes after; null where nothing does.
	NextCursor *string `json:"next_cursor"`
}

// pageOf reads cursor and limit. It asks for one item more than the limit,
// to know whether there is a next page.
func pageOf(q *httpd.Params) vault.Page {
	return vault.Page{Cursor: q.String("cursor", maxParam), Limit: q.Int("limit", defaultLimit, 1, maxLimit)}
}

// answerList answers a page of items; id names an item in cursors.
func answerList[T, J any](c echo.Context, items []T, limit int, id func(T) string, show func(T) J) error {
	page := list[J]{Data: make([]J, 0, len(items))}
	for _, item := range items {
		page.Data = append(page.Data, show(item))
	}
	if len(items) == limit && limit > 0 {
		cursor := id(items[len(items)-1])
		page.NextCursor = &cursor
	}
	return c.JSON(http.StatusOK, page)
}

// orNull is a time as JSON has it: null where there is none.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// emptyNotNull keeps lists lists.
func emptyNotNull[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
