package interop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"storj.io/common/pb"
	"storj.io/uplink"
	"storj.io/uplink/private/piecestore"
)

const mebi = 1 << 20

// Sizes around every border: empty, encryption block (1008 for the 4-of-10 code, 7408 for 29-of-80),
// stripe, the greatest inline segment, and what its encryption adds.
var sizes = []int{
	0, 1, 2, 15, 16, 17,
	1007, 1008, 1009, 1023, 1024, 1025, 2015, 2016, 2017,
	4031, 4032, 4033, 4095, 4096, 4097,
	7403, 7404, 7405, 7407, 7408, 7409, 7423, 7424, 7425,
	65535, 65536, 65537, 262144, mebi - 1, mebi, 3*mebi + 7,
}

// What one client wrote, all read, byte for byte.
func TestSizes(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	each(t, clients, func(t *testing.T, writer client) {
		for _, size := range sizes {
			key := fmt.Sprintf("%s/%d", writer.Name(), size)
			data := content(key, size)
			if err := writer.Put(t.Context(), bucket, key, data, putOptions{}); err != nil {
				t.Errorf("put %d bytes: %v", size, err)
				continue
			}
			for _, reader := range clients {
				// rclone is the Go library again: one process start per size is enough there.
				if reader.Name() == "rclone" && writer.Name() != "acre" {
					continue
				}
				check(t, reader, bucket, key, data, putOptions{})
			}
		}
	})
}

// Objects of one segment exactly, one byte more, and several segments.
func TestSegments(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	for _, test := range []struct {
		size    int
		writers []int
		reader  []int
	}{
		{64*mebi - 1, []int{1}, []int{0}},
		{64 * mebi, []int{0, 1}, []int{1, 0}},
		{64*mebi + 1, []int{1}, []int{0}},
		{130*mebi + 5, []int{0, 1}, []int{1, 2}},
	} {
		for i, w := range test.writers {
			writer, reader := clients[w], clients[test.reader[i]]
			t.Run(fmt.Sprintf("%d/%s-%s", test.size, writer.Name(), reader.Name()), func(t *testing.T) {
				key := fmt.Sprintf("big-%d-%s", test.size, writer.Name())
				data := content(key, test.size)
				must(t, writer.Put(t.Context(), bucket, key, data, putOptions{}))
				check(t, reader, bucket, key, data, putOptions{})
				// The border between segments, and around it.
				for _, r := range [][2]int64{{64*mebi - 10, 20}, {64*mebi - 1, 1}, {64 * mebi, 5}} {
					if r[0]+r[1] > int64(test.size) {
						continue
					}
					for _, c := range clients[:2] {
						got, err := c.Get(t.Context(), bucket, key, r[0], r[1])
						must(t, err)
						sameBytes(t, fmt.Sprintf("%s: range %v", c.Name(), r), got, data[r[0]:r[0]+r[1]])
					}
				}
				must(t, reader.Delete(t.Context(), bucket, key))
			})
		}
	}
}

func TestRanges(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	for _, size := range []int{3000, 300000} { // inline and remote
		for _, writer := range clients[:2] {
			key := fmt.Sprintf("%s-%d", writer.Name(), size)
			data := content(key, size)
			must(t, writer.Put(t.Context(), bucket, key, data, putOptions{}))
			n := int64(size)
			each(t, clients, func(t *testing.T, reader client) {
				for _, r := range [][2]int64{
					{0, 1}, {0, 10}, {1, 1}, {1, -1}, {n - 1, 1}, {n - 1, -1}, {n / 2, 100}, {0, n},
					{1007, 1}, {1008, 1}, {1007, 2}, {1000, 1100}, {1008, 1008}, {2016, 50},
				} {
					end := n
					if r[1] >= 0 {
						end = r[0] + r[1]
					}
					got, err := reader.Get(t.Context(), bucket, key, r[0], r[1])
					if err != nil {
						t.Errorf("range %v: %v", r, err)
						continue
					}
					sameBytes(t, fmt.Sprintf("range %v of %d", r, n), got, data[r[0]:end])
				}
			})
			// What only the library can ask for.
			for _, r := range [][3]int64{{-10, -1, 10}, {-n, -1, n}, {n, -1, 0}, {5, 0, 0}, {n - 3, 100, 3}} {
				got, err := clients[0].Get(t.Context(), bucket, key, r[0], r[1])
				must(t, err)
				from := r[0]
				if from < 0 {
					from += n
				}
				sameBytes(t, fmt.Sprintf("go range %v", r), got, data[from:from+r[2]])
			}
			// And what only a range header can.
			acre := clients[1].(*acreCLI)
			out, err := acre.run(t.Context(), nil, "cp", "--progress=false", "--range", "bytes=-7", sj(bucket, key), "-")
			must(t, err)
			sameBytes(t, "the last seven", []byte(out), data[n-7:])
		}
	}
}

func TestMetadata(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	many := map[string]string{}
	for i := range 40 {
		many[fmt.Sprintf("key-%d", i)] = fmt.Sprintf("value %d", i*i)
	}
	cases := map[string]map[string]string{
		"one":     {"k": "v"},
		"unicode": {"größe": "日本語 ✓", "emoji 🐘": "\x01\t\n"},
		"empty":   {"no value": ""},
		"types":   {"content-type": "text/plain; charset=utf-8", "s3:etag": "\"abc\""},
		"many":    many,
		"long":    {"l": string(slices.Repeat([]byte("x"), 1500))},
		"none":    {},
	}
	for _, writer := range clients[:2] {
		for _, name := range slices.Sorted(maps.Keys(cases)) {
			opts := putOptions{Metadata: cases[name]}
			for _, size := range []int{0, 100, 9000} {
				key := fmt.Sprintf("%s-%s-%d", writer.Name(), name, size)
				data := content(key, size)
				if err := writer.Put(t.Context(), bucket, key, data, opts); err != nil {
					t.Errorf("%s: %v", key, err)
					continue
				}
				for _, reader := range clients[:2] {
					check(t, reader, bucket, key, data, opts)
				}
			}
		}
	}
	// Both refuse what is not text, or holds a zero byte.
	for _, metadata := range []map[string]string{{"k": "a\x00b"}, {"k": "\xff"}, {"": "v"}, {"\x00": "v"}} {
		err := clients[0].Put(t.Context(), bucket, "refused", nil, putOptions{Metadata: metadata})
		refused(t, fmt.Sprintf("go: metadata %q", metadata), err)
	}
	for _, json := range []string{`{"k":"a\u0000b"}`, `{"":"v"}`, `{"k":1}`, `{`, `[]`} {
		_, err := clients[1].(*acreCLI).run(t.Context(), nil, "cp", "--metadata", json, "-", sj(bucket, "refused"))
		refused(t, "acre: metadata "+json, err)
	}
	// A listing shows the same metadata, decrypted.
	list, err := clients[0].List(t.Context(), bucket, "", true)
	must(t, err)
	found := 0
	for _, e := range list {
		if e.Key == "acre-many-9000" {
			found++
			sameMetadata(t, "listing", e.Metadata, many)
		}
	}
	if found != 1 {
		t.Errorf("listed %d times", found)
	}
}

// Metadata replaced later, and what rclone keeps there.
func TestMetadataUpdate(t *testing.T) {
	clients := allClients(t, shared.grant)
	project := openProject(t)
	bucket := newBucket(t)
	ctx := t.Context()
	for _, writer := range clients[:2] {
		key := "by " + writer.Name()
		must(t, writer.Put(ctx, bucket, key, []byte("data"), putOptions{Metadata: map[string]string{"a": "1", "b": "2"}}))
		must(t, project.UpdateObjectMetadata(ctx, bucket, key, uplink.CustomMetadata{"c": "3"}, nil))
		for _, reader := range clients[:2] {
			e, err := reader.Stat(ctx, bucket, key)
			must(t, err)
			if len(e.Metadata) != 1 || e.Metadata["c"] != "3" {
				t.Errorf("%s: metadata %v, want c=3 alone", reader.Name(), e.Metadata)
			}
			check(t, reader, bucket, key, []byte("data"), putOptions{})
		}
	}
	must(t, clients[2].Put(ctx, bucket, "file", []byte("data"), putOptions{}))
	for _, reader := range clients[:2] {
		e, err := reader.Stat(ctx, bucket, "file")
		must(t, err)
		if _, err := time.Parse(time.RFC3339Nano, e.Metadata["rclone:mtime"]); err != nil {
			t.Errorf("%s: rclone's time of change: %v", reader.Name(), err)
		}
	}
}

func TestOverwrite(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	for _, size := range []int{100, 50000} {
		for i := range clients {
			for j := range clients {
				first, second := clients[i], clients[j]
				key := fmt.Sprintf("%d-%s-%s", size, first.Name(), second.Name())
				must(t, first.Put(t.Context(), bucket, key, content("old", size+5), putOptions{}))
				data := content("new"+key, size)
				must(t, second.Put(t.Context(), bucket, key, data, putOptions{}))
				for _, reader := range clients[:2] {
					check(t, reader, bucket, key, data, putOptions{})
				}
			}
		}
	}
	list, err := clients[0].List(t.Context(), bucket, "", true)
	must(t, err)
	if want := 2 * len(clients) * len(clients); len(list) != want {
		t.Errorf("%d objects listed, want %d", len(list), want)
	}
}

func TestCopyMoveDelete(t *testing.T) {
	clients := allClients(t, shared.grant)
	from, to := newBucket(t), newBucket(t)
	each(t, clients, func(t *testing.T, c client) {
		ctx := t.Context()
		for _, size := range []int{0, 50, 70000} {
			for _, writer := range clients[:2] {
				base := fmt.Sprintf("%s/%s/%d", c.Name(), writer.Name(), size)
				opts := putOptions{Metadata: map[string]string{"kept": "yes", "von": writer.Name()}}
				data := content(base, size)
				must(t, writer.Put(ctx, from, base, data, opts))

				must(t, c.Copy(ctx, from, base, from, base+" copy"))
				must(t, c.Copy(ctx, from, base, to, "over there/"+base))
				must(t, c.Move(ctx, from, base, to, "moved/"+base))
				for _, reader := range clients {
					_, err := reader.Stat(ctx, from, base)
					refused(t, reader.Name()+" sees the moved object at its old place", err)
					check(t, reader, from, base+" copy", data, opts)
					check(t, reader, to, "over there/"+base, data, opts)
					check(t, reader, to, "moved/"+base, data, opts)
				}
				// A copy lives on without the original.
				must(t, c.Delete(ctx, to, "moved/"+base))
				for _, reader := range clients[:2] {
					_, err := reader.Get(ctx, to, "moved/"+base, 0, -1)
					refused(t, reader.Name()+" reads the deleted object", err)
					check(t, reader, from, base+" copy", data, opts)
					check(t, reader, to, "over there/"+base, data, opts)
				}
			}
		}
	})
}

func TestObjectErrors(t *testing.T) {
	project := openProject(t)
	acre := acreClient(t, shared.grant)
	bucket := newBucket(t)
	ctx := t.Context()
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := project.StatObject(ctx, bucket, "absent")
	is("stat an absent object", err, uplink.ErrObjectNotFound)
	_, err = project.DownloadObject(ctx, bucket, "absent", nil)
	is("download an absent object", err, uplink.ErrObjectNotFound)
	_, err = project.CopyObject(ctx, bucket, "absent", bucket, "b", nil)
	is("copy an absent object", err, uplink.ErrObjectNotFound)
	is("move an absent object", project.MoveObject(ctx, bucket, "absent", bucket, "b", nil), uplink.ErrObjectNotFound)
	object, err := project.DeleteObject(ctx, bucket, "absent")
	if err != nil || object != nil {
		t.Errorf("delete an absent object: %v, %v; want neither", object, err)
	}
	_, err = project.UploadObject(ctx, bucket, "", nil)
	is("upload to the empty key", err, uplink.ErrObjectKeyInvalid)
	upload, err := project.UploadObject(ctx, "absent-bucket-of-acre", "k", nil)
	if err == nil {
		_, _ = upload.Write([]byte("x"))
		err = upload.Commit()
	}
	is("upload to an absent bucket", err, uplink.ErrBucketNotFound)
	objects := project.ListObjects(ctx, "absent-bucket-of-acre", nil)
	for objects.Next() {
	}
	is("list an absent bucket", objects.Err(), uplink.ErrBucketNotFound)

	_, err = acre.Stat(ctx, bucket, "absent")
	refused(t, "acre stat of an absent object", err)
	_, err = acre.Get(ctx, bucket, "absent", 0, -1)
	refused(t, "acre cp of an absent object", err)
	refused(t, "acre mv of an absent object", acre.Move(ctx, bucket, "absent", bucket, "b"))

	// An upload that is not committed leaves nothing.
	upload, err = project.UploadObject(ctx, bucket, "aborted", nil)
	must(t, err)
	_, err = upload.Write(content("aborted", 100000))
	must(t, err)
	must(t, upload.Abort())
	_, err = project.StatObject(ctx, bucket, "aborted")
	is("stat of an aborted upload", err, uplink.ErrObjectNotFound)
	is("commit of an aborted upload", upload.Commit(), uplink.ErrUploadDone)

	// The deleted object is told about, as far as the caller may read it.
	must(t, acre.Put(ctx, bucket, "there", []byte("1234"), putOptions{}))
	object, err = project.DeleteObject(ctx, bucket, "there")
	must(t, err)
	if object == nil || object.Key != "there" {
		t.Errorf("deleted object: %+v", object)
	}
}

func TestExpiry(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	ctx := t.Context()
	later := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, writer := range clients[:2] {
		for _, size := range []int{10, 20000} {
			key := fmt.Sprintf("later-%s-%d", writer.Name(), size)
			data := content(key, size)
			opts := putOptions{Expires: later}
			must(t, writer.Put(ctx, bucket, key, data, opts))
			for _, reader := range clients[:2] {
				check(t, reader, bucket, key, data, opts)
			}
			refused(t, writer.Name()+" puts what expired already",
				writer.Put(ctx, bucket, "past", data, putOptions{Expires: time.Now().Add(-time.Hour)}))
		}
	}
	soon := time.Now().Add(4 * time.Second)
	var keys []string
	for _, writer := range clients[:2] {
		for _, size := range []int{10, 20000} {
			key := fmt.Sprintf("soon-%s-%d", writer.Name(), size)
			keys = append(keys, key)
			must(t, writer.Put(ctx, bucket, key, content(key, size), putOptions{Expires: soon}))
		}
	}
	time.Sleep(time.Until(soon.Add(1500 * time.Millisecond)))
	for _, reader := range clients {
		for _, key := range keys {
			_, err := reader.Get(ctx, bucket, key, 0, -1)
			refused(t, reader.Name()+" reads the expired "+key, err)
			_, err = reader.Stat(ctx, bucket, key)
			refused(t, reader.Name()+" sees the expired "+key, err)
		}
		list, err := reader.List(ctx, bucket, "", true)
		must(t, err)
		for _, e := range list {
			if slices.Contains(keys, e.Key) {
				t.Errorf("%s lists the expired %s", reader.Name(), e.Key)
			}
		}
	}
}

// The ways a library may talk to nodes and satellite: with and without Noise, both piece hashes, with
// and without compressed batches.
func TestTransports(t *testing.T) {
	bucket := newBucket(t)
	acre := acreClient(t, shared.grant)
	for _, noise := range []bool{true, false} {
		for _, hash := range []pb.PieceHashAlgorithm{pb.PieceHashAlgorithm_SHA256, pb.PieceHashAlgorithm_BLAKE3} {
			for _, compressed := range []string{"true", "false"} {
				name := fmt.Sprintf("noise=%v,hash=%v,compressed=%v", noise, hash, compressed)
				t.Run(name, func(t *testing.T) {
					t.Setenv("STORJ_COMPRESSED_BATCH", compressed)
					before := piecestore.NoiseEnabled
					piecestore.NoiseEnabled = noise
					defer func() { piecestore.NoiseEnabled = before }()
					ctx := piecestore.WithPieceHashAlgo(t.Context(), hash)
					c := newGoUplink(t, shared.grant) // its connections are its own
					data := content(name, 200000)
					must(t, c.Put(ctx, bucket, name, data, putOptions{}))
					got, err := c.Get(ctx, bucket, name, 0, -1)
					must(t, err)
					sameBytes(t, "go", got, data)
					check(t, acre, bucket, name, data, putOptions{})
					must(t, acre.Put(ctx, bucket, name, data[1:], putOptions{}))
					got, err = c.Get(ctx, bucket, name, 0, -1)
					must(t, err)
					sameBytes(t, "go reads acre's", got, data[1:])
				})
			}
		}
	}
}

// Many at once on one project handle, and several processes beside them.
func TestConcurrent(t *testing.T) {
	project := goClient(t, shared.grant)
	acre := acreClient(t, shared.grant)
	bucket := newBucket(t)
	const workers, rounds = 12, 6
	done := make(chan error, workers+2)
	work := func(c client, name string, rounds int) {
		done <- func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			for i := range rounds {
				key := fmt.Sprintf("%s/%d", name, i)
				data := content(key, 3000+17000*(i%4))
				if err := c.Put(ctx, bucket, key, data, putOptions{}); err != nil {
					return fmt.Errorf("put %s: %w", key, err)
				}
				got, err := c.Get(ctx, bucket, key, 0, -1)
				if err != nil {
					return fmt.Errorf("get %s: %w", key, err)
				}
				if !slices.Equal(got, data) {
					return fmt.Errorf("get %s: other bytes", key)
				}
			}
			return nil
		}()
	}
	for i := range workers {
		go work(project, fmt.Sprintf("go%d", i), rounds)
	}
	go work(acre, "acre1", rounds)
	go work(acre, "acre2", rounds)
	for range workers + 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	list, err := acre.List(t.Context(), bucket, "", true)
	must(t, err)
	if want := (workers + 2) * rounds; len(list) != want {
		t.Errorf("%d objects listed, want %d", len(list), want)
	}
}
