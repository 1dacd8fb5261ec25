package main

import (
	"log/slog"
	"math"
	"strconv"
	"time"
)

// appendLine appends a record as [slog.JSONHandler] writes it, for a fraction of
// what that costs: it is written for every request. ok is false where the
// record holds anything but plain values, and line is not to be used then.
func appendLine(line []byte, r slog.Record) (_ []byte, ok bool) {
	line = append(line, `{"time":"`...)
	line = r.Time.AppendFormat(line, time.RFC3339Nano)
	line = append(line, `","level":"`...)
	line = append(line, r.Level.String()...)
	line = append(line, `","msg":`...)
	if line, ok = appendText(line, r.Message); !ok {
		return line, false
	}
	r.Attrs(func(a slog.Attr) bool {
		line = append(line, ',')
		if line, ok = appendText(line, a.Key); !ok {
			return false
		}
		line = append(line, ':')
		switch a.Value.Kind() {
		case slog.KindString:
			line, ok = appendText(line, a.Value.String())
		case slog.KindInt64:
			line = strconv.AppendInt(line, a.Value.Int64(), 10)
		case slog.KindFloat64:
			f := a.Value.Float64()
			ok = f == 0 || math.Abs(f) >= 1e-6 && math.Abs(f) < 1e21 // else with an exponent, as encoding/json has it
			line = strconv.AppendFloat(line, f, 'f', -1, 64)
		default:
			ok = false
		}
		return ok
	})
	return append(line, "}\n"...), ok
}

// appendText quotes text that needs no escaping.
func appendText(line []byte, s string) (_ []byte, ok bool) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return line, false
		}
	}
	line = append(line, '"')
	line = append(line, s...)
	return append(line, '"'), true
}
