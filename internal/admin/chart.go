package admin

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/claviger/claviger/internal/vault"
)

// chart is bars over time as an image, and as a table for whoever does not see
// it. The image is stretched to the width that there is; all its text is beside
// it. partials/charts.html
type chart struct {
	// Name makes the element ids; unique on the page.
	Name string
	// Title says what it is, Summary what it shows, in a sentence.
	Title, Summary string
	Bars           []bar
	// Marks are in a lane below the bars; nil has none.
	Marks []bar
	// Top is the largest value, From and To are the ends of the time.
	Top, From, To string
	Columns       []string
	Rows          [][]string
}

// bar is a rectangle in a plot of plotWidth by plotHeight.
type bar struct {
	X, Y, Width, Height int
	// Class is its kind.
	Class string
	Text  string
}

const (
	plotWidth  = 1000
	plotHeight = 100
)

// slot is one step of a chart's time.
type slot struct {
	label  string
	values []int64
}

// bars draws the first value of each slot as a bar of the class.
func bars(slots []slot, class, one, many string) (drawn []bar, top int64) {
	for _, s := range slots {
		top = max(top, s.values[0])
	}
	for i, s := range slots {
		if s.values[0] == 0 {
			continue
		}
		height := max(2, int(s.values[0]*plotHeight/top))
		drawn = append(drawn, bar{
			X: i*plotWidth/len(slots) + 2, Width: plotWidth/len(slots) - 4, Y: plotHeight - height, Height: height,
			Class: class, Text: s.label + ": " + grouped(s.values[0], one, many),
		})
	}
	return drawn, top
}

// rows are the slots that have anything, the newest first where backward.
func rows(slots []slot, backward bool) [][]string {
	var all [][]string
	for i := range slots {
		s := slots[i]
		if backward {
			s = slots[len(slots)-1-i]
		}
		row, some := []string{s.label}, false
		for _, n := range s.values {
			row, some = append(row, number(n)), some || n > 0
		}
		if some {
			all = append(all, row)
		}
	}
	return all
}

// activityCharts draws what was done with a connection in the last 24 hours and
// in the last 30 days.
func activityCharts(a vault.Activity, now time.Time) []chart {
	byHour := make(map[time.Time]vault.ActivityHour, len(a.Hours))
	byDay := map[time.Time]vault.ActivityHour{}
	for _, h := range a.Hours {
		byHour[h.Hour] = h
		day := h.Hour.Truncate(24 * time.Hour)
		sum := byDay[day]
		byDay[day] = vault.ActivityHour{Reads: sum.Reads + h.Reads, Refreshes: sum.Refreshes + h.Refreshes, Failed: sum.Failed + h.Failed}
	}
	return []chart{
		activityChart("hours", "The last 24 hours", byHour, now.UTC().Truncate(time.Hour), time.Hour, 24, "2 Jan, 15:04"),
		activityChart("days", "The last 30 days", byDay, now.UTC().Truncate(24*time.Hour), 24*time.Hour, vault.ActivityDays, "2 January"),
	}
}

func activityChart(name, title string, sums map[time.Time]vault.ActivityHour, last time.Time, step time.Duration, n int, layout string) chart {
	c := chart{Name: name, Title: title, Columns: []string{"From (UTC)", "Reads", "Refreshes", "Failed refreshes"}}
	slots := make([]slot, n)
	var total vault.ActivityHour
	for i := range n {
		at := last.Add(-time.Duration(n-1-i) * step)
		sum := sums[at]
		slots[i] = slot{at.Format(layout), []int64{sum.Reads, sum.Refreshes, sum.Failed}}
		total.Reads, total.Refreshes, total.Failed = total.Reads+sum.Reads, total.Refreshes+sum.Refreshes, total.Failed+sum.Failed
		mark := bar{X: i*plotWidth/n + 2, Width: plotWidth/n - 4, Height: plotHeight}
		switch {
		case sum.Failed > 0:
			mark.Class, mark.Text = "chart-failed", slots[i].label+": "+grouped(sum.Failed, "failed refresh", "failed refreshes")
			c.Marks = append(c.Marks, mark)
		case sum.Refreshes > 0:
			mark.Class, mark.Text = "chart-refreshed", slots[i].label+": "+grouped(sum.Refreshes, "refresh", "refreshes")
			c.Marks = append(c.Marks, mark)
		}
	}
	drawn, top := bars(slots, "chart-bar", "read", "reads")
	c.Bars, c.Top = drawn, number(top)
	c.From, c.To = slots[0].label+" UTC", "now"
	c.Rows = rows(slots, true)
	parts := []string{grouped(total.Reads, "read", "reads"), grouped(total.Refreshes, "refresh", "refreshes")}
	if total.Failed > 0 {
		parts = append(parts, grouped(total.Failed, "failed refresh", "failed refreshes"))
	}
	c.Summary = strings.Join(parts, ", ")
	return c
}

// number is a number as people read it.
func number(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	return message.NewPrinter(language.English).Sprintf("%d", n)
}

// grouped is a number and what is counted.
func grouped(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}
