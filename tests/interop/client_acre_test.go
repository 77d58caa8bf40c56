package interop

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// acreCLI is our command line. Every call is a process of its own.
type acreCLI struct {
	grant   string
	scratch string
}

var configDir string // the command line's, so that nothing of the user's is read or changed

func newAcreCLI(t *testing.T, grant string) *acreCLI {
	t.Helper()
	return &acreCLI{grant: grant, scratch: t.TempDir()}
}

func (c *acreCLI) Name() string { return "acre" }

// A target that ends in a slash means a directory.
func (c *acreCLI) CanWrite(key string) bool { return !strings.HasSuffix(key, "/") }
func (c *acreCLI) CanRead(key string) bool  { return !strings.HasSuffix(key, "/") }

func (c *acreCLI) CanStore(_ putOptions) bool { return true }

func (c *acreCLI) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	// Options come last: the name of a command can be two words.
	return command(ctx, stdin, []string{"ACRE_ACCESS=", "UPLINK_ACCESS="}, acrePath,
		append(append([]string{}, args...), "--config-dir", configDir, "--access", c.grant)...)
}

func sj(bucket, key string) string { return "sj://" + bucket + "/" + key }

func (c *acreCLI) MakeBucket(ctx context.Context, bucket string) error {
	_, err := c.run(ctx, nil, "mb", "sj://"+bucket)
	return err
}

func (c *acreCLI) RemoveBucket(ctx context.Context, bucket string, force bool) error {
	args := []string{"rb", "sj://" + bucket}
	if force {
		args = append(args, "--force")
	}
	_, err := c.run(ctx, nil, args...)
	return err
}

func (c *acreCLI) Buckets(ctx context.Context) (names []string, err error) {
	out, err := c.run(ctx, nil, "ls", "--output", "json")
	if err != nil {
		return nil, err
	}
	err = jsonValues(out, func(v map[string]any) error {
		name := text(v, "Name", "name", "key")
		if name == "" {
			return fmt.Errorf("no bucket name in %v", v)
		}
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(name, "sj://"), "/"))
		return nil
	})
	return names, err
}

func (c *acreCLI) Put(ctx context.Context, bucket, key string, data []byte, opts putOptions) error {
	args := []string{"cp", "--progress=false"}
	if opts.Metadata != nil {
		object, err := json.Marshal(opts.Metadata)
		if err != nil {
			return err
		}
		args = append(args, "--metadata", string(object))
	}
	if !opts.Expires.IsZero() {
		args = append(args, "--expires", opts.Expires.UTC().Format(time.RFC3339))
	}
	file, err := os.CreateTemp(c.scratch, "put")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	_, err = c.run(ctx, nil, append(args, file.Name(), sj(bucket, key))...)
	return err
}

func (c *acreCLI) Get(ctx context.Context, bucket, key string, offset, length int64) ([]byte, error) {
	args := []string{"cp", "--progress=false"}
	if offset != 0 || length >= 0 {
		if length < 0 {
			args = append(args, "--range", fmt.Sprintf("bytes=%d-", offset))
		} else if length == 0 {
			return nil, errUnsupported // a range header cannot say so
		} else {
			args = append(args, "--range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
		}
	}
	out, err := c.run(ctx, nil, append(args, sj(bucket, key), "-")...)
	return []byte(out), err
}

func (c *acreCLI) List(ctx context.Context, bucket, prefix string, recursive bool) (list []entry, err error) {
	args := []string{"ls", "--output", "json"}
	if recursive {
		args = append(args, "--recursive")
	}
	out, err := c.run(ctx, nil, append(args, sj(bucket, prefix))...)
	if err != nil {
		return nil, err
	}
	err = jsonValues(out, func(v map[string]any) error {
		e, err := acreEntry(v)
		if err != nil {
			return err
		}
		// As the uplink command does: whole keys when recursive, else what is below the prefix.
		if !recursive {
			e.Key = prefix + e.Key
		}
		list = append(list, e)
		return nil
	})
	return list, err
}

func (c *acreCLI) Stat(ctx context.Context, bucket, key string) (entry, error) {
	out, err := c.run(ctx, nil, "stat", "--output", "json", sj(bucket, key))
	if err != nil {
		return entry{}, err
	}
	var e entry
	n := 0
	err = jsonValues(out, func(v map[string]any) (err error) {
		n++
		e, err = acreEntry(v)
		return err
	})
	if err == nil && n != 1 {
		err = fmt.Errorf("acre stat printed %d values: %q", n, out)
	}
	return e, err
}

func (c *acreCLI) Copy(ctx context.Context, bucket, key, newBucket, newKey string) error {
	_, err := c.run(ctx, nil, "cp", "--progress=false", sj(bucket, key), sj(newBucket, newKey))
	return err
}

func (c *acreCLI) Move(ctx context.Context, bucket, key, newBucket, newKey string) error {
	_, err := c.run(ctx, nil, "mv", sj(bucket, key), sj(newBucket, newKey))
	return err
}

func (c *acreCLI) Delete(ctx context.Context, bucket, key string) error {
	_, err := c.run(ctx, nil, "rm", sj(bucket, key))
	return err
}

// jsonValues calls f for every value of a stream of JSON objects, or of one array of them.
func jsonValues(out string, f func(map[string]any) error) error {
	if strings.HasPrefix(strings.TrimSpace(out), "[") {
		var list []map[string]any
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return fmt.Errorf("not JSON: %w: %.200q", err, out)
		}
		for _, v := range list {
			if err := f(v); err != nil {
				return err
			}
		}
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(out)))
	for decoder.More() {
		var v map[string]any
		if err := decoder.Decode(&v); err != nil {
			return fmt.Errorf("not JSON: %w: %.200q", err, out)
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

// acreEntry reads {"kind":"OBJ"|"PRE","key":..,"size":..,"expires":..,"metadata":{..}}.
func acreEntry(v map[string]any) (e entry, err error) {
	e.Key = text(v, "key")
	if exact, ok := v["key_base64"].(string); ok { // bytes that JSON cannot carry
		key, err := base64.StdEncoding.DecodeString(exact)
		if err != nil {
			return e, fmt.Errorf("key_base64 of %v: %w", v, err)
		}
		e.Key = string(key)
	}
	e.IsPrefix = text(v, "kind") == "PRE"
	if size, ok := v["size"].(float64); ok {
		e.Size = int64(size)
	} else if !e.IsPrefix {
		return e, fmt.Errorf("no size in %v", v)
	}
	if when := text(v, "expires"); when != "" {
		if e.Expires, err = parseTime(when); err != nil {
			return e, err
		}
	}
	if metadata, ok := v["metadata"].(map[string]any); ok {
		e.Metadata = map[string]string{}
		for name, value := range metadata {
			e.Metadata[name], _ = value.(string)
		}
	}
	return e, nil
}

func text(v map[string]any, names ...string) string {
	for _, name := range names {
		if s, ok := v[name].(string); ok {
			return s
		}
	}
	return ""
}

func parseTime(s string) (time.Time, error) {
	if when, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return when, nil
	}
	return time.ParseInLocation("2006-01-02 15:04:05", s, time.Local)
}

// writeTree lays files out below a new directory.
func writeTree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, data, 0o644))
	}
	return dir
}
