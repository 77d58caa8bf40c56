package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// buildRcloneSuite makes the test program of rclone's own storj backend from the locked module; dir is where it
// looks for files of rclone's, the backend's directory in that module.
func buildRcloneSuite() (path, dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(cache, "acre-interop", "rclone-storj.test")
	out, err := command(context.Background(), nil, nil, "go", "test", "-C", "rclone", "-mod=readonly", "-trimpath", "-c",
		"-o", path, "github.com/rclone/rclone/backend/storj")
	if err != nil {
		return "", "", fmt.Errorf("build rclone's tests: %w\n%s", err, out)
	}
	dir, err = command(context.Background(), nil, nil, "go", "list", "-C", "rclone", "-mod=readonly", "-m", "-f", "{{.Dir}}",
		"github.com/rclone/rclone")
	if err != nil {
		return "", "", fmt.Errorf("find rclone's source: %w\n%s", err, dir)
	}
	return path, filepath.Join(strings.TrimSpace(dir), "backend", "storj"), nil
}

// TestRcloneBackend is rclone's integration suite for its native storj backend, against our network:
// every test of every backend, as their maintainers run it against Storj's satellites.
func TestRcloneBackend(t *testing.T) {
	if sharedErr != nil {
		missing(t, "no network: %v", sharedErr)
	}
	path, dir, err := buildRcloneSuite()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(t.Context(), nil, []string{
		"RCLONE_CONFIG=" + filepath.Join(t.TempDir(), "rclone.conf"),
		"RCLONE_CONFIG_TESTSTORJ_TYPE=storj",
		"RCLONE_CONFIG_TESTSTORJ_ACCESS_GRANT=" + shared.grant,
	}, "env", "--chdir="+dir, path, "-remote", "TestStorj:", "-test.v", "-test.timeout", "10m", "-test.skip", rcloneTestsElsewhere)
	results := map[string]int{}
	for line := range strings.Lines(out) {
		for _, word := range []string{"PASS", "FAIL", "SKIP"} {
			if strings.HasPrefix(strings.TrimSpace(line), "--- "+word+":") {
				results[word]++
			}
		}
	}
	if err != nil || results["FAIL"] > 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	// A suite that runs nothing passes, too.
	if results["PASS"] < rcloneTestsMin {
		t.Errorf("only %d tests ran: %v\n%s", results["PASS"], results, out)
	}
	t.Logf("rclone's tests: %v", results)
}

const (
	// 95 when this was written, and 27 that skip themselves: what S3 has and Storj has not.
	rcloneTestsMin = 90
	// Registers a link at auth.storjshare.io, whatever the satellite.
	rcloneTestsElsewhere = "TestIntegration/FsMkdir/FsPutFiles/PublicLink"
)
