package api

import (
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// event is one thing that happened to a connection.
type event struct {
	ID         string          `json:"id"`
	Position   int64           `json:"position"`
	At         time.Time       `json:"at"`
	Type       vault.EventType `json:"type"`
	Connection eventConnection `json:"connection"`
}

// eventConnection is the connection as it was right after.
type eventConnection struct {
	ID           string       `json:"id"`
	Integration  string       `json:"integration"`
	Provider     string       `json:"provider"`
	EndUserID    string       `json:"end_user_id"`
	Status       vault.Status `json:"status"`
	StatusReason *string      `json:"status_reason"`
	Generation   int64        `json:"generation"`
}

func showEvent(e vault.Event) event {
	return event{
		ID: e.ID, Position: e.Position, At: e.At, Type: e.Type,
		Connection: eventConnection{
			ID: e.ConnectionID, Integration: e.Integration, Provider: e.Provider, EndUserID: e.EndUserID,
			Status: e.Status, StatusReason: wordOrNull(e.Reason), Generation: e.Generation,
		},
	}
}

// GET /v1/events
//
// Other lists end; this one is followed. So there is a next_cursor wherever
// there is an event, and it is a position.
func (h *Handler) listEvents(c echo.Context, caller vault.Caller) error {
	q := httpd.Query(c)
	limit := q.Int("limit", defaultLimit, 1, maxLimit)
	text := q.String("after", maxParam)
	if err := q.Err(); err != nil {
		return err
	}
	after, err := position(text)
	if err != nil {
		return err
	}
	found, err := h.vault.Events(c.Request().Context(), caller, after, limit)
	if err != nil {
		return err
	}
	var next *string
	if len(found) > 0 {
		last := strconv.FormatInt(found[len(found)-1].Position, 10)
		next = &last
	}
	return answerList(c, found, next, showEvent)
}

// position reads one, 0 where there is none: before the oldest event.
func position(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, &fault.Error{
			Kind: fault.Malformed, Message: "The query is not valid.",
			Fields: []fault.Field{{Pointer: "after", Detail: "must be the position of an event, or a next_cursor of this list"}},
		}
	}
	return int64(n), nil
}
