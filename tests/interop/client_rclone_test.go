package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// rclone is its native storj backend; the S3 backend is tested with the gateway.
type rclone struct {
	grant   string
	scratch string
}

var (
	rclonePath string
	rcloneErr  error
)

// buildRclone makes the program from the module in rclone/, whose go.sum locks its version, and
// keeps it in the user's cache. ACRE_RCLONE names a program to use instead.
func buildRclone() (string, error) {
	if path := os.Getenv("ACRE_RCLONE"); path != "" {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "acre-interop", "rclone")
	out, err := command(context.Background(), nil, nil, "go", "build", "-C", "rclone", "-mod=readonly",
		"-trimpath", "-o", path, ".")
	if err != nil {
		return "", fmt.Errorf("build rclone: %w\n%s", err, out)
	}
	return path, nil
}

func newRclone(t *testing.T, grant string) *rclone {
	t.Helper()
	return &rclone{grant: grant, scratch: t.TempDir()}
}

func (c *rclone) Name() string { return "rclone" }

// rclone thinks in paths: it cleans them, normalizes Unicode, and its file names are text.
func (c *rclone) CanWrite(key string) bool {
	if key == "" || !utf8.ValidString(key) || strings.HasPrefix(key, "/") || strings.HasSuffix(key, "/") {
		return false
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\x00\x01\x02\n") {
			return false
		}
	}
	return key == nfc(key)
}

func (c *rclone) CanRead(key string) bool { return c.CanWrite(key) }

func (c *rclone) CanStore(opts putOptions) bool {
	return opts.Metadata == nil && opts.Expires.IsZero()
}

func (c *rclone) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	return command(ctx, stdin, []string{
		"RCLONE_CONFIG=" + filepath.Join(c.scratch, "rclone.conf"),
		"RCLONE_CONFIG_ACRE_TYPE=storj",
		"RCLONE_CONFIG_ACRE_ACCESS_GRANT=" + c.grant,
		"RCLONE_RETRIES=1",
		"RCLONE_LOW_LEVEL_RETRIES=1",
	}, rclonePath, args...)
}

func remote(bucket, key string) string {
	if key == "" {
		return "acre:" + bucket
	}
	return "acre:" + bucket + "/" + key
}

func (c *rclone) MakeBucket(ctx context.Context, bucket string) error {
	_, err := c.run(ctx, nil, "mkdir", remote(bucket, ""))
	return err
}

func (c *rclone) RemoveBucket(ctx context.Context, bucket string, force bool) error {
	verb := "rmdir"
	if force {
		verb = "purge"
	}
	_, err := c.run(ctx, nil, verb, remote(bucket, ""))
	return err
}

func (c *rclone) Buckets(ctx context.Context) (names []string, err error) {
	list, err := c.lsjson(ctx, "acre:")
	for _, e := range list {
		names = append(names, e.Path)
	}
	return names, err
}

func (c *rclone) Put(ctx context.Context, bucket, key string, data []byte, opts putOptions) error {
	if !c.CanStore(opts) {
		return errUnsupported
	}
	file := filepath.Join(c.scratch, "put")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return err
	}
	_, err := c.run(ctx, nil, "copyto", "--ignore-times", file, remote(bucket, key))
	return err
}

func (c *rclone) Get(ctx context.Context, bucket, key string, offset, length int64) ([]byte, error) {
	// Of a name that is not there, cat makes an empty directory; copyto knows better.
	if offset == 0 && length < 0 {
		file := filepath.Join(c.scratch, "get")
		_ = os.RemoveAll(file)
		if _, err := c.run(ctx, nil, "copyto", remote(bucket, key), file); err != nil {
			return nil, err
		}
		return os.ReadFile(file)
	}
	args := []string{"cat"}
	if offset != 0 {
		args = append(args, "--offset", strconv.FormatInt(offset, 10))
	}
	if length >= 0 {
		args = append(args, "--count", strconv.FormatInt(length, 10))
	}
	out, err := c.run(ctx, nil, append(args, remote(bucket, key))...)
	return []byte(out), err
}

type rcloneEntry struct {
	Path  string
	Size  int64
	IsDir bool
}

func (c *rclone) lsjson(ctx context.Context, args ...string) (list []rcloneEntry, err error) {
	out, err := c.run(ctx, nil, append([]string{"lsjson"}, args...)...)
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal([]byte(out), &list)
}

// List shows directories only when not recursive, as the other clients do.
func (c *rclone) List(ctx context.Context, bucket, prefix string, recursive bool) (result []entry, err error) {
	args := []string{remote(bucket, strings.TrimSuffix(prefix, "/"))}
	if recursive {
		args = append(args, "--recursive", "--files-only")
	}
	list, err := c.lsjson(ctx, args...)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		key := prefix + e.Path
		if e.IsDir {
			key += "/"
		}
		result = append(result, entry{Key: key, IsPrefix: e.IsDir, Size: e.Size})
	}
	return result, nil
}

func (c *rclone) Stat(ctx context.Context, bucket, key string) (entry, error) {
	out, err := c.run(ctx, nil, "lsjson", "--stat", remote(bucket, key))
	if err != nil {
		return entry{}, err
	}
	var e rcloneEntry
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		return entry{}, err
	}
	if e.IsDir {
		return entry{}, fmt.Errorf("rclone: %s is a directory or not there", remote(bucket, key))
	}
	return entry{Key: key, Size: e.Size}, nil
}

func (c *rclone) Copy(ctx context.Context, bucket, key, newBucket, newKey string) error {
	_, err := c.run(ctx, nil, "copyto", remote(bucket, key), remote(newBucket, newKey))
	return err
}

func (c *rclone) Move(ctx context.Context, bucket, key, newBucket, newKey string) error {
	_, err := c.run(ctx, nil, "moveto", remote(bucket, key), remote(newBucket, newKey))
	return err
}

func (c *rclone) Delete(ctx context.Context, bucket, key string) error {
	_, err := c.run(ctx, nil, "deletefile", remote(bucket, key))
	return err
}
