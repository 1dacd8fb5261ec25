package httpd

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// Check is one thing that has to work before traffic makes sense.
type Check struct {
	// Name is shown to anybody who asks /readyz: "database".
	Name string
	// Func returns nil where it works. The error goes to the log. It is given
	// a few seconds and must heed its context.
	Func func(ctx context.Context) error
}

const (
	// checkTime is what all checks together may take.
	checkTime = 5 * time.Second
	// checkEvery is how long an answer holds: /readyz is open to anybody, and
	// a storm of probes must not become a storm of queries.
	checkEvery = time.Second
)

type health struct {
	log    *slog.Logger
	now    func() time.Time
	checks []Check

	mu   sync.Mutex
	at   time.Time
	last readiness
}

type readiness struct {
	Status string        `json:"status"`
	Checks []checkResult `json:"checks"`
}

type checkResult struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// live answers "GET /healthz": the process is up.
func (h *health) live(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// ready answers "GET /readyz": everything that the process needs is up too.
func (h *health) ready(c echo.Context) error {
	state := h.state(c.Request().Context())
	status := http.StatusOK
	if state.Status != "ok" {
		status = http.StatusServiceUnavailable
	}
	return c.JSON(status, state)
}

func (h *health) state(ctx context.Context) readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	if age := h.now().Sub(h.at); h.last.Status != "" && age >= 0 && age < checkEvery {
		return h.last
	}
	// The answer is for the next asker as well, so this one hanging up must
	// not fail it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
	defer cancel()
	state := readiness{Status: "ok", Checks: make([]checkResult, 0, len(h.checks))}
	for _, k := range h.checks {
		r := checkResult{Name: k.Name, Status: "ok"}
		if err := k.Func(ctx); err != nil {
			r.Status, state.Status = "failing", "unavailable"
			h.log.LogAttrs(ctx, slog.LevelWarn, "not ready",
				slog.String("check", k.Name), slog.String("error", logText(err)))
		}
		state.Checks = append(state.Checks, r)
	}
	h.at, h.last = h.now(), state
	return state
}
