package connect

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/httpd"
	"github.com/claviger/claviger/internal/vault"
)

// usePage is when the application used an account. connect/manage-use.html
type usePage struct {
	accountRow
	Days  []dayOfUse
	Since time.Time
	Back  string
}

// dayOfUse is a day, in UTC, on which headers were fetched.
type dayOfUse struct {
	Day   time.Time
	Count int64
}

// Words is the day for people.
func (d dayOfUse) Words() string { return d.Day.Format("Monday, 2 January 2006") }

// Date is the day for machines.
func (d dayOfUse) Date() string { return d.Day.Format(time.DateOnly) }

// Times is how often.
func (d dayOfUse) Times() string {
	if d.Count == 1 {
		return "once"
	}
	return strconv.FormatInt(d.Count, 10) + " times"
}

// showUse handles GET /connect/m/{session}/{connection}/use.
func (h *Handler) showUse(c echo.Context, v visit) error {
	a, err := h.ours(c, &v)
	if err != nil {
		return err
	}
	activity, err := h.vault.ManagedActivity(c.Request().Context(), v.caller, a.conn.ID)
	if err != nil {
		return h.overtaken(c, &v, err)
	}
	return httpd.Render(c, http.StatusOK, "connect/manage-use", usePage{
		accountRow: a, Days: daysOfUse(activity.Hours), Since: activity.Since, Back: v.path(),
	})
}

// daysOfUse adds hours up, the newest day first.
func daysOfUse(hours []vault.ActivityHour) []dayOfUse {
	var days []dayOfUse
	for _, x := range slices.Backward(hours) {
		at := x.Hour.UTC().Truncate(24 * time.Hour)
		switch n := len(days); {
		case x.Reads == 0:
		case n > 0 && days[n-1].Day.Equal(at):
			days[n-1].Count += x.Reads
		default:
			days = append(days, dayOfUse{at, x.Reads})
		}
	}
	return days
}
