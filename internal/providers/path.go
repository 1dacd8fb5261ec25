package providers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Paths are places in a JSON document where a value may be; the first that
// holds one counts. A path is member names with dots between them, each
// perhaps with a choice among the items of an array: "data.AuthToken",
// "accounts[0].id", "accounts[product=harvest].id". Where it takes several
// values to tell one thing from all others, plus signs join their paths,
// "team_id+user_id", and a colon joins the values.
type Paths []string

var pathStep = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_-]*)(?:\[(?:([0-9]{1,4})|([A-Za-z_][A-Za-z0-9_-]*)=([A-Za-z0-9_.-]+))\])?$`)

func checkPath(path string) error {
	for part := range strings.SplitSeq(path, "+") {
		for step := range strings.SplitSeq(part, ".") {
			if !pathStep.MatchString(step) {
				return fmt.Errorf("%q is no path: member names with dots between them, such as data.id", path)
			}
		}
	}
	return nil
}

// find answers the first text or number at the paths.
func (p Paths) find(doc any, ignoreCase bool) (string, bool) {
	for _, path := range p {
		if s, ok := findAll(doc, strings.Split(path, "+"), ignoreCase); ok {
			return s, true
		}
	}
	return "", false
}

func findAll(doc any, parts []string, ignoreCase bool) (string, bool) {
	values := make([]string, 0, len(parts))
	for _, part := range parts {
		s, ok := scalar(lookup(doc, part, ignoreCase))
		if !ok || s == "" {
			return "", false
		}
		values = append(values, s)
	}
	return strings.Join(values, ":"), true
}

// lookup walks one path; nil where it leads nowhere.
func lookup(doc any, path string, ignoreCase bool) any {
	for step := range strings.SplitSeq(path, ".") {
		m := pathStep.FindStringSubmatch(step)
		if m == nil {
			return nil
		}
		doc = member(doc, m[1], ignoreCase)
		switch {
		case m[2] != "":
			doc = item(doc, m[2])
		case m[3] != "":
			doc = itemWith(doc, m[3], m[4], ignoreCase)
		}
	}
	return doc
}

// member prefers the exact name to one that differs in case only.
func member(doc any, name string, ignoreCase bool) any {
	object, ok := doc.(map[string]any)
	if !ok {
		return nil
	}
	if v, ok := object[name]; ok || !ignoreCase {
		return v
	}
	var found any
	best := ""
	for k, v := range object {
		// Of several, the first in order, so that the answer does not depend on
		// the map's.
		if strings.EqualFold(k, name) && (best == "" || k < best) {
			best, found = k, v
		}
	}
	return found
}

func item(doc any, index string) any {
	array, _ := doc.([]any)
	i, err := strconv.Atoi(index)
	if err != nil || i >= len(array) {
		return nil
	}
	return array[i]
}

func itemWith(doc any, name, value string, ignoreCase bool) any {
	array, _ := doc.([]any)
	for _, it := range array {
		if s, ok := scalar(member(it, name, ignoreCase)); ok && s == value {
			return it
		}
	}
	return nil
}

// scalar is the text of a string or number.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	default:
		return "", false
	}
}

var errNotJSON = errors.New("the answer is not one JSON document")

// decodeJSON reads a whole answer. Numbers keep their digits: account ids are
// longer than a float64 is exact. The error quotes nothing of the answer.
func decodeJSON(body []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, errNotJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return doc, nil
}
