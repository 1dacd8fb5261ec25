package vault_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReadsStayInReach: what a caller names is read in reach.go, where the limit
// of the caller is looked at, and nowhere past it.
func TestReadsStayInReach(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	guarded := []string{"Connection", "LockConnection", "Integration", "IntegrationByKey", "Session"}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 3 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(guarded, method.Sel.Name) || !isCallers(call.Args[1], "EnvironmentID") {
				return true
			}
			found++
			if name != "reach.go" && !isCallers(call.Args[2], "ID") { // an end user's own session
				t.Errorf("%s reads past the caller's limit; see reach.go", set.Position(call.Pos()))
			}
			return true
		})
	}
	if found < len(guarded) {
		t.Errorf("only %d reads were found: is the test still looking at the right thing?", found)
	}
}

// isCallers reports whether an expression is caller.member.
func isCallers(e ast.Expr, member string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != member {
		return false
	}
	of, ok := s.X.(*ast.Ident)
	return ok && of.Name == "caller"
}
