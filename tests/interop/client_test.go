package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"
)

// entry is an object or, in a listing that is not recursive, a prefix.
type entry struct {
	Key      string // whole key; a prefix ends in "/"
	IsPrefix bool
	Size     int64
	Metadata map[string]string
	Expires  time.Time
}

type putOptions struct {
	Metadata map[string]string
	Expires  time.Time
}

// client is one program or library that speaks the protocol. All tests are written against it, so
// what one wrote can be read with every other.
type client interface {
	Name() string
	// Can tells whether the client has a way to name the key, to write it and to read it.
	CanWrite(key string) bool
	CanRead(key string) bool
	// CanStore tells whether the client can set these when it writes.
	CanStore(opts putOptions) bool

	MakeBucket(ctx context.Context, bucket string) error
	RemoveBucket(ctx context.Context, bucket string, force bool) error
	Buckets(ctx context.Context) ([]string, error)

	Put(ctx context.Context, bucket, key string, data []byte, opts putOptions) error
	// Get reads length bytes from offset; a negative length means up to the end.
	Get(ctx context.Context, bucket, key string, offset, length int64) ([]byte, error)
	List(ctx context.Context, bucket, prefix string, recursive bool) ([]entry, error)
	Stat(ctx context.Context, bucket, key string) (entry, error)
	Copy(ctx context.Context, bucket, key, newBucket, newKey string) error
	Move(ctx context.Context, bucket, key, newBucket, newKey string) error
	Delete(ctx context.Context, bucket, key string) error
}

// errUnsupported is what a client returns that has no such operation at all.
var errUnsupported = errors.New("this client has no such operation")

// with opens a client of each kind for one access grant.
func goClient(t *testing.T, grant string) client {
	t.Helper()
	if sharedErr != nil {
		missing(t, "no network: %v", sharedErr)
	}
	return newGoUplink(t, grant)
}

func acreClient(t *testing.T, grant string) client {
	t.Helper()
	if sharedErr != nil {
		missing(t, "no network: %v", sharedErr)
	}
	if acreErr != nil {
		missing(t, "%v", acreErr)
	}
	return newAcreCLI(t, grant)
}

func rcloneClient(t *testing.T, grant string) client {
	t.Helper()
	if sharedErr != nil {
		missing(t, "no network: %v", sharedErr)
	}
	if rcloneErr != nil {
		missing(t, "%v", rcloneErr)
	}
	return newRclone(t, grant)
}

func allClients(t *testing.T, grant string) []client {
	t.Helper()
	return []client{goClient(t, grant), acreClient(t, grant), rcloneClient(t, grant)}
}

// each runs the test once per client as a subtest of its own.
func each(t *testing.T, clients []client, test func(t *testing.T, c client)) {
	t.Helper()
	for _, c := range clients {
		t.Run(c.Name(), func(t *testing.T) { test(t, c) })
	}
}

// newBucket makes a bucket with the Go library and removes it with everything in it afterwards.
func newBucket(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(t.Name())
	name = strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}, name)
	if len(name) > 45 {
		name = name[len(name)-45:]
	}
	name = fmt.Sprintf("i%s-%08x", strings.Trim(name, "-"), rand.Uint32())
	c := goClient(t, shared.grant)
	must(t, c.MakeBucket(t.Context(), name))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.RemoveBucket(ctx, name, true); err != nil {
			t.Errorf("remove bucket %s: %v", name, err)
		}
	})
	return name
}

// content makes bytes that depend on the label alone and cannot be compressed.
func content(label string, size int) []byte {
	var seed [32]byte
	copy(seed[:], label)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(data)
	return data
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test when an operation that must not be allowed went through.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: allowed, must be refused", what)
	}
}

func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: byte %d of %d differs", what, i, len(want))
			return
		}
	}
}

func sameKeys(t *testing.T, what string, got []entry, want []string) {
	t.Helper()
	keys := map[string]int{}
	for _, e := range got {
		keys[e.Key]++
	}
	for _, key := range want {
		switch keys[key] {
		case 1:
		case 0:
			t.Errorf("%s: %q is not listed", what, key)
		default:
			t.Errorf("%s: %q is listed %d times", what, key, keys[key])
		}
		delete(keys, key)
	}
	rest := make([]string, 0, len(keys))
	for key := range keys {
		rest = append(rest, key)
	}
	sort.Strings(rest)
	for i, key := range rest {
		if i == 5 {
			t.Errorf("%s: and %d more", what, len(rest)-i)
			break
		}
		t.Errorf("%s: %q is listed, should not be", what, key)
	}
}

// sameMetadata wants every pair of want; pairs that some client adds by itself are allowed.
func sameMetadata(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if v, ok := got[name]; !ok {
			t.Errorf("%s: metadata %q is lost", what, name)
		} else if v != value {
			t.Errorf("%s: metadata %q is %q, want %q", what, name, v, value)
		}
	}
}

// check reads the object whole with c and compares all there is to compare.
func check(t *testing.T, c client, bucket, key string, want []byte, opts putOptions) {
	t.Helper()
	what := fmt.Sprintf("%s reads %q", c.Name(), key)
	if !c.CanRead(key) {
		return
	}
	data, err := c.Get(t.Context(), bucket, key, 0, -1)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	sameBytes(t, what, data, want)
	e, err := c.Stat(t.Context(), bucket, key)
	if err != nil {
		t.Errorf("%s: stat: %v", what, err)
		return
	}
	if e.Size != int64(len(want)) {
		t.Errorf("%s: stat says size %d, want %d", what, e.Size, len(want))
	}
	if !c.CanStore(putOptions{Metadata: map[string]string{"a": "b"}}) {
		return // a client without metadata does not show it either
	}
	sameMetadata(t, what, e.Metadata, opts.Metadata)
	if !opts.Expires.IsZero() && e.Expires.Sub(opts.Expires).Abs() > time.Second {
		t.Errorf("%s: expires %v, want %v", what, e.Expires, opts.Expires)
	}
}
