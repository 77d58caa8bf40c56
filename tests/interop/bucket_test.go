package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"storj.io/uplink"
)

// Every client makes, sees, empties and removes a bucket; the others see the same.
func TestBucketLife(t *testing.T) {
	clients := allClients(t, shared.grant)
	each(t, clients, func(t *testing.T, c client) {
		ctx := t.Context()
		bucket := fmt.Sprintf("life-%s-%08x", c.Name(), rand.Uint32())
		must(t, c.MakeBucket(ctx, bucket))
		for _, other := range clients {
			names, err := other.Buckets(ctx)
			must(t, err)
			if !slices.Contains(names, bucket) {
				t.Errorf("%s does not list the bucket", other.Name())
			}
		}
		must(t, c.Put(ctx, bucket, "a/b", []byte("x"), putOptions{}))
		refused(t, "remove a bucket that is not empty", c.RemoveBucket(ctx, bucket, false))
		must(t, c.RemoveBucket(ctx, bucket, true))
		for _, other := range clients {
			names, err := other.Buckets(ctx)
			must(t, err)
			if slices.Contains(names, bucket) {
				t.Errorf("%s still lists the removed bucket", other.Name())
			}
		}

		must(t, c.MakeBucket(ctx, bucket))
		must(t, c.RemoveBucket(ctx, bucket, false))
		refused(t, "put into a removed bucket", c.Put(ctx, bucket, "k", []byte("x"), putOptions{}))
	})
}

// Programs act on the kind of error, so the library must be able to tell them apart.
func TestBucketErrors(t *testing.T) {
	project := openProject(t)
	bucket := newBucket(t)
	ctx := t.Context()

	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := project.CreateBucket(ctx, bucket)
	is("create an existing bucket", err, uplink.ErrBucketAlreadyExists)
	_, err = project.EnsureBucket(ctx, bucket)
	is("ensure an existing bucket", err, nil)
	_, err = project.StatBucket(ctx, "absent-"+bucket[:20])
	is("stat an absent bucket", err, uplink.ErrBucketNotFound)
	_, err = project.DeleteBucket(ctx, "absent-"+bucket[:20])
	is("delete an absent bucket", err, uplink.ErrBucketNotFound)
	must(t, goClient(t, shared.grant).Put(ctx, bucket, "k", nil, putOptions{}))
	_, err = project.DeleteBucket(ctx, bucket)
	is("delete a full bucket", err, uplink.ErrBucketNotEmpty)
	must(t, goClient(t, shared.grant).Delete(ctx, bucket, "k"))

	info, err := project.StatBucket(ctx, bucket)
	must(t, err)
	if info.Name != bucket || info.Created.IsZero() {
		t.Errorf("stat: %+v", info)
	}

	for _, name := range []string{"", "A", "ab", "-ab", "ab-", "a_b", "a..b", "Upper", "192.168.1.1",
		"toolongtoolongtoolongtoolongtoolongtoolongtoolongtoolongtoolongg"} {
		_, err := project.CreateBucket(ctx, name)
		if err == nil {
			t.Errorf("bucket name %q was accepted", name)
			_, _ = project.DeleteBucket(ctx, name)
		} else if !errors.Is(err, uplink.ErrBucketNameInvalid) {
			t.Errorf("bucket name %q: %v, want %v", name, err, uplink.ErrBucketNameInvalid)
		}
	}
	for _, name := range []string{"a.b.c", "1ab", "a1b-2", "192.168.1"} {
		_, err := project.EnsureBucket(ctx, name)
		if err != nil {
			t.Errorf("bucket name %q: %v", name, err)
			continue
		}
		_, err = project.DeleteBucket(ctx, name)
		is("delete "+name, err, nil)
	}
}

func TestBucketCursor(t *testing.T) {
	project := openProject(t)
	prefix := fmt.Sprintf("cursor-%08x-", rand.Uint32())
	for i := range 5 {
		name := fmt.Sprintf("%s%d", prefix, i)
		_, err := project.CreateBucket(t.Context(), name)
		must(t, err)
		defer func() { _, _ = project.DeleteBucket(t.Context(), name) }()
	}
	var names []string
	buckets := project.ListBuckets(t.Context(), &uplink.ListBucketsOptions{Cursor: prefix + "2"})
	for buckets.Next() {
		names = append(names, buckets.Item().Name)
	}
	must(t, buckets.Err())
	if len(names) < 2 || names[0] != prefix+"3" || names[1] != prefix+"4" {
		t.Errorf("after %s2: %q", prefix, names)
	}
	if !slices.IsSorted(names) {
		t.Errorf("not sorted: %q", names)
	}
}
