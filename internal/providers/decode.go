package providers

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile is the largest provider file taken, in bytes.
const maxFile = 64 << 10

// maxDepth is how deep a provider file nests; the types below need six.
const maxDepth = 12

// FileFault is one thing wrong with a provider file.
type FileFault struct {
	File string
	Line int // from 1; 0 where it is about the whole file
	// Path is the place in the document: "methods[0].fields[1].type".
	Path    string
	Problem string
}

// String is "file:line: path: problem".
func (f FileFault) String() string {
	s := f.File
	if f.Line > 0 {
		s += ":" + strconv.Itoa(f.Line)
	}
	if f.Path != "" {
		s += ": " + f.Path
	}
	return s + ": " + f.Problem
}

// file is one provider file while it is read: faults gather, with the lines
// to point at.
type file struct {
	name   string
	lines  map[string]int
	faults []FileFault
}

func (f *file) fault(path, format string, args ...any) {
	line, at := 0, path
	// The nearest enclosing place that was written down.
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
	f.faults = append(f.faults, FileFault{File: f.name, Line: line, Path: path, Problem: fmt.Sprintf(format, args...)})
}

// decodeFile reads a provider file strictly: one document; no unknown and no
// repeated key; every value of the type that the field has, without YAML's
// conversions; no anchors, aliases, tags or merge keys, which a file of this
// size has no use for and which can grow without bound. It reports all
// that is wrong. The provider is not checked for sense yet, see check.
//
// The YAML library parses; turning its tree into our types is done here because
// its own decoder takes 5 for "5" and stops at the first fault.
func decodeFile(name string, data []byte) (*Provider, *file) {
	f := &file{name: name, lines: map[string]int{}}
	if len(data) > maxFile {
		f.fault("", "is larger than %d KiB", maxFile>>10)
		return nil, f
	}
	if i := bytes.IndexFunc(data, isControl); i >= 0 {
		f.faults = append(f.faults, FileFault{File: name, Line: 1 + bytes.Count(data[:i], []byte("\n")), Problem: "has a control character or is not UTF-8"})
		return nil, f
	}
	tree, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		f.faults = append(f.faults, syntaxFault(name, err))
		return nil, f
	}
	var bodies []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) != 1 {
		f.fault("", "must hold one document, has %d", len(bodies))
		return nil, f
	}
	p := new(Provider)
	f.decode(bodies[0], reflect.ValueOf(p).Elem(), "", 0)
	return p, f
}

// isControl takes tabs and line ends for text.
func isControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == '\uFFFD'
}

func syntaxFault(name string, err error) FileFault {
	fault := FileFault{File: name, Problem: "is not YAML"}
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
func (f *file) decode(node ast.Node, v reflect.Value, path string, depth int) {
	f.note(path, node)
	if depth > maxDepth {
		f.fault(path, "is nested too deep")
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
			f.fault(path, "is empty; leave it out")
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
			f.fault(path, "is empty; leave it out")
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
		panic("providers: a provider file cannot hold a " + v.Type().String())
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

func (f *file) decodeStruct(node ast.Node, v reflect.Value, path string, depth int) {
	fields := map[string]int{}
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = i
	}
	f.eachEntry(node, path, func(key string, value ast.Node) {
		at := join(path, key)
		i, ok := fields[key]
		if !ok {
			f.note(at, value)
			f.fault(at, "is not known here%s", didYouMean(key, fields))
			return
		}
		f.decode(value, v.Field(i), at, depth+1)
	})
}

func (f *file) decodeMap(node ast.Node, v reflect.Value, path string, depth int) {
	v.Set(reflect.MakeMap(v.Type()))
	f.eachEntry(node, path, func(key string, value ast.Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		f.decode(value, item, join(path, key), depth+1)
		v.SetMapIndex(reflect.ValueOf(key), item)
	})
}

// eachEntry walks over a mapping whose keys are text, each there once.
func (f *file) eachEntry(node ast.Node, path string, entry func(key string, value ast.Node)) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		f.wrongType(path, node, "a mapping of keys to values")
		return
	}
	seen := map[string]bool{}
	for _, mv := range values {
		k, ok := mv.Key.(*ast.StringNode)
		if !ok {
			f.faults = append(f.faults, FileFault{File: f.name, Line: line(mv.Key), Path: path, Problem: "has a key that is not plain text"})
			continue
		}
		if seen[k.Value] {
			f.faults = append(f.faults, FileFault{File: f.name, Line: line(mv.Key), Path: join(path, k.Value), Problem: "is there twice"})
			continue
		}
		seen[k.Value] = true
		entry(k.Value, mv.Value)
	}
}

func (f *file) wrongType(path string, node ast.Node, want string) {
	what := "must be " + want
	switch node.(type) {
	case *ast.NullNode:
		what += ", is empty"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		what += "; anchors, aliases and tags are not taken"
	}
	if path == "" {
		f.fault("", "the file %s", what)
		return
	}
	f.fault(path, "%s", what)
}

func (f *file) note(path string, node ast.Node) {
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

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func didYouMean(key string, known map[string]int) string {
	best, distance := "", 3 // two slips of the finger
	for name := range known {
		if d := levenshtein.ComputeDistance(key, name); d < distance || d == distance && best != "" && name < best {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; is %q meant?", best)
}

// sortFaults puts faults in the order of the lines.
func sortFaults(faults []FileFault) {
	slices.SortStableFunc(faults, func(a, b FileFault) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
}
