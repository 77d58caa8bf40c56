package interop

import (
	"bytes"
	"path/filepath"
	"testing"
)

// TestOldUplink: versions of the library that are in use in programs, and the first one, with today's satellite; what
// they write is read by today's library, and the other way round. The module files in old/ lock them.
func TestOldUplink(t *testing.T) {
	ctx := t.Context()
	today := goClient(t, shared.grant)
	objects := map[string]int{"inline": 100, "dir/remote": 50000, "dir/empty": 0}
	must(t, today.MakeBucket(ctx, "for-old"))
	for key, n := range objects {
		must(t, today.Put(ctx, "for-old", key, bytes.Repeat([]byte("0123456789"), n/10),
			putOptions{Metadata: map[string]string{"key": key}}))
	}
	for version, modfile := range map[string]string{"v1.0": "first.mod", "v1.7": "go.mod"} {
		t.Run(version, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "old")
			out, err := command(ctx, nil, nil, "go", "build", "-C", "old", "-mod=readonly", "-modfile="+modfile, "-trimpath",
				"-o", program, ".")
			if err != nil {
				t.Fatalf("build uplink %s: %v\n%s", version, err, out)
			}
			bucket := "of-old-" + version
			for _, args := range [][]string{{"write", bucket}, {"read", bucket}, {"read", "for-old"}} {
				out, err := command(ctx, nil, nil, program, args[0], shared.grant, args[1])
				if err != nil {
					t.Errorf("%s %s: %v: %s", args[0], args[1], err, out)
				}
			}
			for key, n := range objects {
				got, err := today.Get(ctx, bucket, key, 0, -1)
				must(t, err)
				if !bytes.Equal(got, bytes.Repeat([]byte("0123456789"), n/10)) {
					t.Errorf("%s: %d other bytes", key, len(got))
				}
				stat, err := today.Stat(ctx, bucket, key)
				must(t, err)
				if stat.Metadata["key"] != key || stat.Expires.IsZero() {
					t.Errorf("%s: %+v", key, stat)
				}
			}
		})
	}
}
