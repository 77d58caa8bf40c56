package interop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Packages of the library whose calls reach a peer of ours, or shape what does. The others (coding,
// hashing, buffers, stalls) run inside every upload and download here.
var coveredPackages = []string{
	"", "edge", "private/access", "private/bucket", "private/edge", "private/license", "private/metaclient",
	"private/multipart", "private/object", "private/piecestore", "private/project", "private/testuplink",
	"private/transport", "private/version",
}

// Exported, but nobody's call: parts of others that they call themselves, or code of servers.
var notCalls = map[string]string{
	"BatchItem":               "what Client.Batch asks its items",
	"IsRetriable":             "what Client.Batch asks its items",
	"RetainRequestFromStream": "of nodes",
	"Empty":                   "of piecestore.ReadBuffer, which Download fills and reads",
	"Fill":                    "of piecestore.ReadBuffer",
	"Errored":                 "of piecestore.ReadBuffer",
	"IncludeError":            "of piecestore.ReadBuffer",
	"Error":                   "of piecestore.ReadBuffer",
	"Unwrap":                  "of an error",
	"String":                  "of a value",
}

// Every exported function and method of the library is called by a test here; a newer version of it
// that has more makes this fail.
func TestEveryCall(t *testing.T) {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "storj.io/uplink").Output()
	must(t, err)
	root := strings.TrimSpace(string(module))
	functions, methods := usedNames(t)
	count := 0
	for _, pkg := range coveredPackages {
		for name, isMethod := range exported(t, filepath.Join(root, pkg)) {
			if notCalls[name] != "" {
				continue
			}
			count++
			if used := functions[path.Join("storj.io/uplink", pkg)+"."+name]; !used && (!isMethod || !methods[name]) {
				t.Errorf("no test calls %s of storj.io/uplink/%s", name, pkg)
			}
		}
	}
	t.Logf("%d exported calls", count)
	if count < 200 {
		t.Errorf("only %d exported calls found", count)
	}
}

// exported names the functions (false) and methods (true) of exported types of a package.
func exported(t *testing.T, dir string) map[string]bool {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), dir, func(f fs.FileInfo) bool {
		return !strings.HasSuffix(f.Name(), "_test.go")
	}, 0)
	must(t, err)
	names := map[string]bool{}
	for _, pkg := range packages {
		for _, file := range pkg.Files {
			for _, decl := range file.Decls {
				f, ok := decl.(*ast.FuncDecl)
				if !ok || !f.Name.IsExported() {
					continue
				}
				if f.Recv == nil {
					names[f.Name.Name] = false
				} else if ast.IsExported(receiver(f.Recv.List[0].Type)) {
					names[f.Name.Name] = true
				}
			}
		}
	}
	return names
}

func receiver(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if name, ok := e.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// usedNames finds what the tests of this package name: "import/path.Function", and methods.
func usedNames(t *testing.T) (functions, methods map[string]bool) {
	t.Helper()
	functions, methods = map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	must(t, err)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		imports := map[string]string{}
		for _, i := range file.Imports {
			where := strings.Trim(i.Path.Value, `"`)
			as := path.Base(where)
			if i.Name != nil {
				as = i.Name.Name
			}
			imports[as] = where
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && imports[x.Name] != "" {
					functions[imports[x.Name]+"."+s.Sel.Name] = true
				} else {
					methods[s.Sel.Name] = true
				}
			}
			return true
		})
	}
	return functions, methods
}
