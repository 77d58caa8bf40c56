package interop

import (
	"os"
	"path/filepath"
	"testing"
)

// A directory goes up with one tool and comes down with another.
func TestTree(t *testing.T) {
	clients := allClients(t, shared.grant)
	acre, rc := clients[1].(*acreCLI), clients[2].(*rclone)
	ctx := t.Context()
	files := map[string][]byte{
		"a":                     content("a", 10),
		"empty":                 {},
		"dir/b with space":      content("b", 5000),
		"dir/deeper/ünï/c":      content("c", 200000),
		"dir/deeper/ünï/.dot":   content("d", 1),
		"other/100%/x+y=z&q?.#": content("e", 4097),
	}
	src := writeTree(t, files)
	same := func(t *testing.T, dir string) {
		t.Helper()
		for name, data := range files {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Error(err)
				continue
			}
			sameBytes(t, name, got, data)
		}
	}
	t.Run("acre-rclone", func(t *testing.T) {
		bucket := newBucket(t)
		_, err := acre.run(ctx, nil, "cp", "--progress=false", "--recursive", src+"/", sj(bucket, "up/"))
		must(t, err)
		for name, data := range files {
			check(t, clients[0], bucket, "up/"+name, data, putOptions{})
		}
		dst := t.TempDir()
		_, err = rc.run(ctx, nil, "copy", remote(bucket, "up"), dst)
		must(t, err)
		same(t, dst)
		_, err = rc.run(ctx, nil, "check", "--download", src, remote(bucket, "up"))
		must(t, err)
		_, err = acre.run(ctx, nil, "rm", "--recursive", sj(bucket, "up/dir/"))
		must(t, err)
		list, err := clients[0].List(ctx, bucket, "", true)
		must(t, err)
		sameKeys(t, "after rm -r", list, []string{"up/a", "up/empty", "up/other/100%/x+y=z&q?.#"})
	})
	t.Run("rclone-acre", func(t *testing.T) {
		bucket := newBucket(t)
		_, err := rc.run(ctx, nil, "copy", src, remote(bucket, "up"))
		must(t, err)
		dst := t.TempDir()
		_, err = acre.run(ctx, nil, "cp", "--progress=false", "--recursive", sj(bucket, "up/"), dst+"/")
		must(t, err)
		same(t, dst)
		// Again: nothing to do. And changed: done, and what is not there is deleted.
		must(t, acre.Put(ctx, bucket, "up/extra", []byte("x"), putOptions{}))
		_, err = rc.run(ctx, nil, "sync", src, remote(bucket, "up"))
		must(t, err)
		list, err := acre.List(ctx, bucket, "up/", true)
		must(t, err)
		if len(list) != len(files) {
			t.Errorf("after sync: %v", list)
		}
		_, err = acre.run(ctx, nil, "mv", "--recursive", sj(bucket, "up/"), sj(bucket, "moved/"))
		must(t, err)
		_, err = rc.run(ctx, nil, "check", "--download", src, remote(bucket, "moved"))
		must(t, err)
	})
}

// Through pipes, where the size is not known before.
func TestPipes(t *testing.T) {
	clients := allClients(t, shared.grant)
	acre, rc := clients[1].(*acreCLI), clients[2].(*rclone)
	bucket := newBucket(t)
	ctx := t.Context()
	for _, size := range []int{0, 1, 4096, 4097, 2*mebi + 1} {
		data := content("pipe", size)
		_, err := acre.run(ctx, data, "cp", "--progress=false", "-", sj(bucket, "acre"))
		must(t, err)
		check(t, clients[0], bucket, "acre", data, putOptions{})
		_, err = rc.run(ctx, data, "rcat", remote(bucket, "rclone"))
		must(t, err)
		out, err := acre.run(ctx, nil, "cat", sj(bucket, "rclone"))
		must(t, err)
		sameBytes(t, "cat", []byte(out), data)
	}
}

// Into files: a name is taken over into a directory, and into a given name.
func TestFiles(t *testing.T) {
	acre := acreClient(t, shared.grant).(*acreCLI)
	bucket := newBucket(t)
	data := content("file", 5000)
	src := writeTree(t, map[string][]byte{"name": data})
	ctx := t.Context()
	_, err := acre.run(ctx, nil, "cp", "--progress=false", src+"/name", sj(bucket, "dir/"))
	must(t, err)
	check(t, goClient(t, shared.grant), bucket, "dir/name", data, putOptions{})
	dst := t.TempDir()
	_, err = acre.run(ctx, nil, "cp", "--progress=false", sj(bucket, "dir/name"), dst)
	must(t, err)
	_, err = acre.run(ctx, nil, "cp", "--progress=false", sj(bucket, "dir/name"), dst+"/other")
	must(t, err)
	for _, name := range []string{"name", "other"} {
		got, err := os.ReadFile(filepath.Join(dst, name))
		must(t, err)
		sameBytes(t, name, got, data)
	}
}
