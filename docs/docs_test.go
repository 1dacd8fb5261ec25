// Package docs_test holds the documentation to the code: what can be looked up
// on a page is looked up here.
package docs_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/internal/api"
	"github.com/claviger/claviger/internal/fault"
	"github.com/claviger/claviger/internal/providers"
	"github.com/claviger/claviger/internal/vault"
)

const root = ".."

func TestSettings(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "run", "../cmd/server", "help").CombinedOutput()
	if err != nil {
		t.Fatalf("claviger help: %v\n%s", err, out)
	}
	line := regexp.MustCompile(`(?m)^ +(CLAVIGER_[A-Z_]+) +(\*?) *-\S+ +.*?(?:\(default ([^()]+)\))?$`)
	var want []string
	secrets := []string{}
	for _, m := range line.FindAllStringSubmatch(string(out), -1) {
		row := "| `" + m[1] + "`"
		if m[2] != "" {
			row += ` \*`
			secrets = append(secrets, m[1]+"_FILE")
		}
		row += " | "
		if m[3] == "" {
			row += "– |"
		} else {
			row += "`" + m[3] + "` |"
		}
		want = append(want, row)
	}
	if len(want) < 10 {
		t.Fatalf("claviger help lists %d settings:\n%s", len(want), out)
	}
	page := read(t, "configuration.md")
	// Name, whether it is secret, and default, in the order of the program.
	got := regexp.MustCompile("(?m)^\\| `CLAVIGER_[A-Z_]+`(?: \\\\\\*)? \\| (?:–|`[^`]+`) \\|").FindAllString(page, -1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of configuration.md (-program +page):\n%s", diff)
	}
	for _, name := range secrets {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("configuration.md does not say that there is %s", name)
		}
	}
	known := slices.Concat(secrets, regexp.MustCompile(`CLAVIGER_[A-Z_]+`).FindAllString(string(out), -1))
	for name, text := range pages(t) {
		for _, setting := range regexp.MustCompile(`CLAVIGER_[A-Z]+[A-Z_]*[A-Z]`).FindAllString(text, -1) {
			if !slices.Contains(known, setting) && setting != "CLAVIGER_LISTN" { // the example of a typo
				t.Errorf("%s: there is no setting %s", name, setting)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) `).FindAllStringSubmatch(string(out), -1) {
		if !strings.Contains(page, "| `"+m[1]) {
			t.Errorf("configuration.md does not have the command %s", m[1])
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	e := echo.New()
	api.New(api.Config{PublicURL: &url.URL{Scheme: "http", Host: "localhost"}}).Mount(e)
	var want []string
	for _, r := range e.Routes() {
		if r.Method == echo.RouteNotFound {
			continue
		}
		want = append(want, r.Method+" "+regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.Path, "{$1}"))
	}
	page := read(t, "rest.md")
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /\\S+)` \\|").FindAllStringSubmatch(page, -1) {
		got = append(got, m[1])
	}
	same(t, "the routes of rest.md", want, got)

	for _, s := range vault.AllScopes() {
		if !strings.Contains(page, "`"+string(s)+"`") {
			t.Errorf("rest.md does not name the scope %s", s)
		}
	}
	for k := fault.Internal; k <= fault.Unavailable; k++ {
		if !strings.Contains(page, "| `"+k.Code()+"` |") {
			t.Errorf("rest.md does not have the code %s", k.Code())
		}
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	page := read(t, "audit.md")
	_, actions, _ := strings.Cut(page, "\n## Actions\n")
	actions, reasons, found := strings.Cut(actions, "\n## Status reasons\n")
	if !found {
		t.Fatal("audit.md lacks a section")
	}
	same(t, "the actions of audit.md", constants(t, "internal/vault/audit.go", "Action"), firstColumn(actions))
	same(t, "the reasons of audit.md", constants(t, "internal/vault/connection.go", "Reason"), firstColumn(reasons))
}

func TestEvents(t *testing.T) {
	t.Parallel()
	same(t, "the types of events.md", constants(t, "internal/vault/event.go", "Event"), firstColumn(read(t, "events.md")))
}

func TestChecksOfIDTokens(t *testing.T) {
	t.Parallel()
	page := read(t, "oidc.md")
	page, _, _ = strings.Cut(page, "\n## Around the tokens\n")
	same(t, "the checks of oidc.md", constants(t, "internal/providers/oidc/rejection.go", "Check"), firstColumn(page))
}

func TestProviders(t *testing.T) {
	t.Parallel()
	page := read(t, "providers.md")
	catalog, err := providers.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	revocation := read(t, "revocation.md")
	for _, p := range catalog.Providers() {
		var methods []string
		for i := range p.Methods {
			methods = append(methods, "`"+p.Methods[i].Name+"`")
		}
		if row := "| `" + p.Name + "` | " + strings.Join(methods, ", ") + " |"; !strings.Contains(page, row) {
			t.Errorf("providers.md lacks %q", row)
		}
		if !strings.Contains(revocation, "| "+p.Title) && !strings.Contains(revocation, "`"+p.Name+"`") {
			t.Errorf("revocation.md does not speak of %s", p.Title)
		}
	}
	_, example, _ := strings.Cut(page, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	_, err = providers.Load(fstest.MapFS{"acme.yaml": {Data: []byte(example)}})
	if err != nil {
		t.Errorf("the example of providers.md: %v", err)
	}
	// The example of a fault is a slip in that file.
	slip := strings.Replace(example, "scheme: token", "shceme: token", 1)
	_, err = providers.Load(fstest.MapFS{"acme.yaml": {Data: []byte(slip)}})
	broken, ok := errors.AsType[*providers.CatalogError](err)
	if !ok || !strings.Contains(page, "\n"+broken.Faults[0].String()+"\n") {
		t.Errorf("providers.md shows another fault than %v", err)
	}
}

// TestDependencies holds the page to what the code imports, whatever go.mod
// says of direct and indirect.
func TestDependencies(t *testing.T) {
	t.Parallel()
	var required []string
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+`).FindAllStringSubmatch(read(t, "../go.mod"), -1) {
		required = append(required, m[1])
	}
	modules := map[string]bool{}
	for path := range imports(t) {
		best := ""
		for _, m := range required {
			if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
				best = m
			}
		}
		if best == "" {
			t.Errorf("%s is imported and in no module of go.mod", path)
			continue
		}
		modules[best] = true
	}
	for _, dir := range []string{"op", "axe"} {
		m := regexp.MustCompile(`"dependencies": \{\s*"([^"]+)"`).FindStringSubmatch(read(t, "../e2e/"+dir+"/package.json"))
		if m == nil {
			t.Fatalf("e2e/%s/package.json names no dependency", dir)
		}
		modules[m[1]] = true
	}
	same(t, "the modules of dependencies.md", slices.Collect(maps.Keys(modules)), firstColumn(read(t, "dependencies.md")))
}

func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for name, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := filepath.Join(filepath.Dir(name), target)
			if target == "" {
				file = name
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(read(t, filepath.Join(root, file))), anchor) {
				t.Errorf("%s: %s has no heading #%s", name, file, anchor)
			}
		}
	}
}

// TestNames looks for every file, test and make target that a page names.
func TestNames(t *testing.T) {
	t.Parallel()
	code := strings.Builder{}
	for _, path := range goFiles(t) {
		if strings.HasSuffix(path, "_test.go") {
			code.WriteString(read(t, path))
		}
	}
	tests := code.String()
	targets := read(t, "../Makefile")
	file := regexp.MustCompile("`((?:internal|cmd|e2e|migrations|web|scripts|docs|bench|tools)/[A-Za-z0-9_./-]*|[.]ci/run|[A-Za-z0-9_-]+\\.(?:yml|json))`")
	test := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w+)`")
	target := regexp.MustCompile("(?m)(?:`|^)make ([a-z0-9-]+)")
	for name, text := range pages(t) {
		for _, m := range file.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(m[1], "e2e/artifacts") || m[1] == "keyset.json" || m[1] == "provider.schema.json" {
				continue // made by a run, or named without its folder
			}
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
		for _, m := range test.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(tests, "\nfunc "+m[1]+"(") {
				t.Errorf("%s: there is no test %s", name, m[1])
			}
		}
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(targets, "\n"+m[1]+":") {
				t.Errorf("%s: there is no make %s", name, m[1])
			}
		}
	}
}

// TestPictures keeps the picture of the README readable without seeing it.
func TestPictures(t *testing.T) {
	t.Parallel()
	svg := read(t, "flow.svg")
	for _, want := range []string{"<title ", "<desc ", `role="img"`, "prefers-color-scheme: dark"} {
		if !strings.Contains(svg, want) {
			t.Errorf("flow.svg has no %s", want)
		}
	}
	for _, m := range regexp.MustCompile(`!\[([^\]]*)\]`).FindAllStringSubmatch(read(t, "../README.md"), -1) {
		if len(m[1]) < 40 {
			t.Errorf("README.md: %q does not say what is in the picture", m[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pages are all Markdown files of the repository, by path from its root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "bench/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			found[rel] = read(t, path)
		}
	}
	if len(found) < 10 {
		t.Fatalf("found %d pages", len(found))
	}
	return found
}

func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "claviger-data"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// imports are the packages of others that any Go file imports.
func imports(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, path := range goFiles(t) {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if host, _, _ := strings.Cut(p, "/"); strings.Contains(host, ".") && !strings.HasPrefix(p, "github.com/claviger/claviger") {
				found[p] = true
			}
		}
	}
	return found
}

// constants are the texts of the constants whose names begin with prefix.
func constants(t *testing.T, path, prefix string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		for _, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, s)
			}
		}
		return true
	})
	if values == nil {
		t.Fatalf("%s has no constant %s…", path, prefix)
	}
	return values
}

// firstColumn is every name in code in the first cells of a page's tables.
func firstColumn(page string) []string {
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(page, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// same compares two lists without their order.
func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	want, got = slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-code +page):\n%s", what, diff)
	}
}

// anchors are the fragments that GitHub gives the headings of a page.
func anchors(page string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		slug = strings.ReplaceAll(slug, " ", "-")
		for n, base := 1, slug; slices.Contains(found, slug); n++ {
			slug = fmt.Sprintf("%s-%d", base, n)
		}
		found = append(found, slug)
	}
	return found
}
