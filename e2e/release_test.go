package e2e

import (
	"debug/buildinfo"
	"debug/elf"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestReleaseBuild looks at what make build makes: one static binary that
// knows its version and has no test code in it.
func TestReleaseBuild(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "claviger")
	build := exec.Command("make", "-C", "..", "--no-print-directory", "build",
		"BINARY="+binary, "VERSION=v1.2.3-test", "COMMIT=0123abcd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}

	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range info.Deps {
		for _, tests := range []string{"chromedp", "compose-go", "go-cmp", "logrus", "testify"} {
			if strings.Contains(dep.Path, tests) {
				t.Errorf("%s is linked into the binary", dep.Path)
			}
		}
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" {
		t.Errorf("built with CGO_ENABLED=%s, -trimpath=%s", settings["CGO_ENABLED"], settings["-trimpath"])
	}
	if runtime.GOOS == "linux" {
		file, err := elf.Open(binary)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		if libs, err := file.ImportedLibraries(); err != nil || len(libs) > 0 {
			t.Errorf("the binary wants the libraries %q (%v)", libs, err)
		}
	}

	out, err := exec.Command(binary, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "v1.2.3-test") || !strings.Contains(string(out), "0123abcd") {
		t.Errorf("claviger version says %q (%v)", out, err)
	}
}
