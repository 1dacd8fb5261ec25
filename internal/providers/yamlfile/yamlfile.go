package yamlfile

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxDepth is how deep a file nests; what is read with it needs six.
const maxDepth = 12

// Fault is one thing wrong with a file.
type Fault struct {
	File string
	Line int // from 1; 0 where it is about the whole file
	// Path is the place in the document: "methods[0].fields[1].type".
	Path    string
	Problem string
}

// String is "file:line: path: problem".
func (f Fault) String() string {
	s := f.File
	if f.Line > 0 {
		s += ":" + strconv.Itoa(f.Line)
	}
	if f.Path != "" {
		s += ": " + f.Path
	}
	return s + ": " + f.Problem
}

// File is one file while it is read: faults gather, with the lines to point at.
type File struct {
	name   string
	lines  map[string]int
	faults []Fault
}

// Faults are those gathered so far, in the order of their lines.
func (f *File) Faults() []Fault {
	Sort(f.faults)
	return f.faults
}

// Fault adds one about the place with that path, or about the nearest one
// around it that was written down.
func (f *File) Fault(path, format string, args ...any) {
	line, at := 0, path
	for {
		if l, ok := f.lines[at]; ok {
			line = l
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	f.faults = append(f.faults, Fault{File: f.name, Line: line, Path: path, Problem: fmt.Sprintf(format, args...)})
}

// Wanter is a type that says itself what has to stand in its place, for the
// fault where something else does. Nothing of what stands there instead is
// quoted: it may be a secret.
type Wanter interface{ Wanted() string }

// Decode reads a file of at most limit bytes strictly into a pointer to a struct whose members have
// yaml tags: one document; no unknown and no repeated key; every value of the
// type that the member has, without YAML's conversions; no anchors, aliases, tags
// or merge keys, which a file of this size has no use for and which can grow
// without bound. Whatever is wrong is in [File.Faults], all of it.
//
// The YAML library parses; turning its tree into our types is done here because
// its own decoder takes 5 for "5" and stops at the first fault.
func Decode(name string, data []byte, limit int, into any) *File {
	f := &File{name: name, lines: map[string]int{}}
	if len(data) > limit {
		f.Fault("", "is larger than %d KiB", limit>>10)
		return f
	}
	if i := bytes.IndexFunc(data, isControl); i >= 0 {
		f.faults = append(f.faults, Fault{File: name, Line: 1 + bytes.Count(data[:i], []byte("\n")), Problem: "has a control character or is not UTF-8"})
		return f
	}
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f.faults = append(f.faults, syntaxFault(name, err))
		return f
	}
	var bodies []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) != 1 {
		f.Fault("", "must hold one document, has %d", len(bodies))
		return f
	}
	f.decode(bodies[0], reflect.ValueOf(into).Elem(), "", 0)
	return f
}

// isControl takes tabs and line ends for text.
func isControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == '\uFFFD'
}

func syntaxFault(name string, err error) Fault {
	fault := Fault{File: name, Problem: "is not YAML"}
	if e, ok := err.(interface{ GetMessage() string }); ok {
		fault.Problem = "is not YAML: " + e.GetMessage()
	}
	// The library writes "[line:column] message".
	if s := err.Error(); strings.HasPrefix(s, "[") {
		if line, _, ok := strings.Cut(s[1:], ":"); ok {
			fault.Line, _ = strconv.Atoi(line)
		}
	}
	return fault
}

// decode puts one node into one value of ours.
func (f *File) decode(node ast.Node, v reflect.Value, path string, depth int) {
	f.note(path, node)
	if depth > maxDepth {
		f.Fault(path, "is nested too deep")
		return
	}
	if w, ok := reflect.TypeAssert[Wanter](v); ok && v.Kind() == reflect.Struct && !hasOnly(node, members(v.Type())) {
		f.wrongType(path, node, w.Wanted())
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.decode(node, v.Elem(), path, depth)
	case reflect.Struct:
		f.decodeStruct(node, v, path, depth)
	case reflect.Map:
		f.decodeMap(node, v, path, depth)
	case reflect.Slice:
		seq, ok := node.(*ast.SequenceNode)
		if !ok {
			f.wrongType(path, node, "a list")
			return
		}
		if len(seq.Values) == 0 {
			f.Fault(path, "is empty; leave it out")
		}
		for i, n := range seq.Values {
			item := reflect.New(v.Type().Elem()).Elem()
			f.decode(n, item, fmt.Sprintf("%s[%d]", path, i), depth+1)
			v.Set(reflect.Append(v, item))
		}
	case reflect.String:
		text, ok := textOf(node)
		if !ok {
			f.wrongType(path, node, "text (put it in quotes)")
			return
		}
		if text == "" {
			f.Fault(path, "is empty; leave it out")
		}
		v.SetString(text)
	case reflect.Bool:
		n, ok := node.(*ast.BoolNode)
		if !ok {
			f.wrongType(path, node, "true or false")
			return
		}
		v.SetBool(n.Value)
	case reflect.Int:
		n, ok := node.(*ast.IntegerNode)
		i, err := strconv.Atoi(node.String())
		if !ok || err != nil || n.Value == nil {
			f.wrongType(path, node, "a whole number")
			return
		}
		v.SetInt(int64(i))
	default:
		panic("yamlfile: a file cannot hold a " + v.Type().String())
	}
}

func textOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func (f *File) decodeStruct(node ast.Node, v reflect.Value, path string, depth int) {
	fields := members(v.Type())
	f.eachEntry(node, path, func(key string, value ast.Node) {
		at := Join(path, key)
		i, ok := fields[key]
		if !ok {
			f.Fault(at, "is not known here%s", Nearest(key, slices.Collect(maps.Keys(fields))))
			return
		}
		f.decode(value, v.Field(i), at, depth+1)
	})
}

// members are the struct's, by their keys.
func members(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			fields[key] = i
		}
	}
	return fields
}

// hasOnly reports whether node is a mapping with no keys but these.
func hasOnly(node ast.Node, fields map[string]int) bool {
	for _, mv := range entriesOf(node) {
		k, ok := mv.Key.(*ast.StringNode)
		if !ok {
			return false
		}
		if _, ok := fields[k.Value]; !ok {
			return false
		}
	}
	return len(entriesOf(node)) > 0
}

// entriesOf is empty for what is no mapping.
func entriesOf(node ast.Node) []*ast.MappingValueNode {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

func (f *File) decodeMap(node ast.Node, v reflect.Value, path string, depth int) {
	v.Set(reflect.MakeMap(v.Type()))
	f.eachEntry(node, path, func(key string, value ast.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		f.decode(value, item, Join(path, key), depth+1)
		v.SetMapIndex(reflect.ValueOf(key), item)
	})
}

// eachEntry walks over a mapping whose keys are text, each there once.
func (f *File) eachEntry(node ast.Node, path string, entry func(key string, value ast.Node)) {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		f.wrongType(path, node, "a mapping of keys to values")
		return
	}
	seen := map[string]bool{}
	for _, mv := range entriesOf(node) {
		k, ok := mv.Key.(*ast.StringNode)
		if !ok {
			f.faults = append(f.faults, Fault{File: f.name, Line: line(mv.Key), Path: path, Problem: "has a key that is not plain text"})
			continue
		}
		if seen[k.Value] {
			f.faults = append(f.faults, Fault{File: f.name, Line: line(mv.Key), Path: Join(path, k.Value), Problem: "is there twice"})
			continue
		}
		seen[k.Value] = true
		f.note(Join(path, k.Value), k)
		entry(k.Value, mv.Value)
	}
}

func (f *File) wrongType(path string, node ast.Node, want string) {
	what := "must be " + want
	switch node.(type) {
	case *ast.NullNode:
		what += ", is empty"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		what += "; anchors, aliases and tags are not taken"
	}
	if path == "" {
		f.Fault("", "the file %s", what)
		return
	}
	f.Fault(path, "%s", what)
}

func (f *File) note(path string, node ast.Node) {
	if l := line(node); l > 0 {
		f.lines[path] = l
	}
}

func line(node ast.Node) int {
	if node == nil || node.GetToken() == nil || node.GetToken().Position == nil {
		return 0
	}
	return node.GetToken().Position.Line
}

// Join is the path of the member with that key.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Nearest is `; is "x" meant?` for the one of the known names that is two slips
// of the finger away at most, or nothing.
func Nearest(name string, known []string) string {
	best, distance := "", 3
	for _, candidate := range known {
		if d := levenshtein.ComputeDistance(name, candidate); d < distance || d == distance && best != "" && candidate < best {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; is %q meant?", best)
}

// Sort puts faults in the order of the lines.
func Sort(faults []Fault) {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
}
