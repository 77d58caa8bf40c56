package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"storj.io/uplink"
	"storj.io/uplink/private/access"
)

func nfc(s string) string { return norm.NFC.String(s) }

// A key is any bytes but none at all. These have broken some implementation or other.
var oddKeys = []string{
	"plain",
	"with space", " leading space", "trailing space ", "tab\there", "new\nline",
	"unicode/grüße/日本語/🐘", "nfd/e\u0301", "nfc/é",
	"a//b", "a///b", "//a", "/leading", "/", "//", "trailing/", "trailing//", "a/b/", "a//b//",
	".", "..", "a/../b", "./a",
	"\x01", "\x02", "\xff", "\x01\x02\xff", "a/\x01", "a/\x01\x01/b", "a\xfe/\xff\xff/c", "\xff/\xff",
	"percent%2Fescape", "plus+and?query#fragment", "back\\slash", "quote\"'`", "star*[a-z]{x}",
	"-dash", "--flag", "~tilde", "sj://inside", "c:/drive",
	"long/" + strings.Repeat("k", 900),
	"deep" + strings.Repeat("/d", 60),
	"case/A", "case/a",
}

func TestKeys(t *testing.T) {
	clients := allClients(t, shared.grant)
	each(t, clients, func(t *testing.T, writer client) {
		bucket := newBucket(t)
		var written []string
		for _, key := range oddKeys {
			if !writer.CanWrite(key) {
				continue
			}
			data := content(key, 20)
			if err := writer.Put(t.Context(), bucket, key, data, putOptions{}); err != nil {
				t.Errorf("put %q: %v", key, err)
				continue
			}
			written = append(written, key)
			for _, reader := range clients[:2] {
				check(t, reader, bucket, key, data, putOptions{})
			}
			if writer.Name() == "acre" {
				check(t, clients[2], bucket, key, data, putOptions{})
			}
		}

		list, err := clients[0].List(t.Context(), bucket, "", true)
		must(t, err)
		sameKeys(t, "go lists", list, written)
		sameKeys(t, "go lists page by page", pages(t, clients[0], bucket, "", true), written)
		list, err = clients[0].List(t.Context(), bucket, "", false)
		must(t, err)
		sameKeys(t, "go lists the top", list, collapse(written, ""))
		list, err = clients[0].List(t.Context(), bucket, "a/", false)
		must(t, err)
		sameKeys(t, "go lists a/", list, collapse(written, "a/"))

		acre := clients[1].(*acreCLI)
		list, err = acre.List(t.Context(), bucket, "", true)
		must(t, err)
		if len(list) != len(written) {
			t.Errorf("acre lists %d keys, want %d", len(list), len(written))
		}
		sameAcreKeys(t, "acre lists", list, written)
		list, err = acre.List(t.Context(), bucket, "", false)
		must(t, err)
		sameAcreKeys(t, "acre lists the top", list, collapse(written, ""))
		list, err = acre.List(t.Context(), bucket, "a/", false)
		must(t, err)
		sameAcreKeys(t, "acre lists a/", list, collapse(written, "a/"))

		for i, key := range written {
			c := clients[i%2]
			if !c.CanRead(key) {
				c = clients[0]
			}
			if err := c.Delete(t.Context(), bucket, key); err != nil {
				t.Errorf("%s deletes %q: %v", c.Name(), key, err)
			}
		}
		list, err = clients[0].List(t.Context(), bucket, "", true)
		must(t, err)
		sameKeys(t, "after deleting all", list, nil)
	})
}

// Where the target cannot be mistaken for a directory, ours reads keys that end in a slash.
func TestKeysTrailingSlash(t *testing.T) {
	bucket := newBucket(t)
	acre := acreClient(t, shared.grant).(*acreCLI)
	c := goClient(t, shared.grant)
	for _, key := range []string{"dir/", "dir//", "/"} {
		data := content(key, 33)
		must(t, c.Put(t.Context(), bucket, key, data, putOptions{}))
		out, err := acre.run(t.Context(), nil, "cat", sj(bucket, key))
		if err != nil {
			t.Errorf("cat %q: %v", key, err)
			continue
		}
		sameBytes(t, fmt.Sprintf("cat %q", key), []byte(out), data)
		if _, err := acre.Stat(t.Context(), bucket, key); err != nil {
			t.Errorf("stat %q: %v", key, err)
		}
	}
}

// A zero byte in a key: no argument and no C string holds one. The library must manage all the same.
func TestKeysZeroByte(t *testing.T) {
	bucket := newBucket(t)
	acre := acreClient(t, shared.grant).(*acreCLI)
	c := goClient(t, shared.grant)
	keys := []string{"zero\x00byte", "x/\x00", "\x00", "a\x00/b"}
	for _, key := range keys {
		must(t, c.Put(t.Context(), bucket, key, []byte(key), putOptions{}))
		check(t, c, bucket, key, []byte(key), putOptions{})
	}
	list, err := c.List(t.Context(), bucket, "", true)
	must(t, err)
	sameKeys(t, "go lists", list, keys)
	_, err = acre.run(t.Context(), nil, "ls", "--recursive", sj(bucket, ""))
	must(t, err)
}

// sameAcreKeys compares what our command listed. JSON cannot carry bytes that are not text; they come
// in key_base64, or, from a command that has no such thing, are not compared.
func sameAcreKeys(t *testing.T, what string, got []entry, want []string) {
	t.Helper()
	if slices.ContainsFunc(got, func(e entry) bool { return strings.Contains(e.Key, "\ufffd") }) {
		if shared.ours() {
			t.Errorf("%s: keys are changed", what)
		}
		got = slices.DeleteFunc(got, func(e entry) bool { return strings.Contains(e.Key, "\ufffd") })
		want = slices.DeleteFunc(slices.Clone(want), func(key string) bool { return !utf8.ValidString(key) })
	}
	sameKeys(t, what, got, want)
}

// collapse is what a listing shows that is not recursive: each first component below the prefix once.
func collapse(keys []string, prefix string) (top []string) {
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok || rest == "" {
			continue
		}
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			rest = rest[:i+1]
		}
		if !slices.Contains(top, prefix+rest) {
			top = append(top, prefix+rest)
		}
	}
	return top
}

// pages lists by asking for what follows the last key, a few at a time.
func pages(t *testing.T, c client, bucket, prefix string, recursive bool) (list []entry) {
	t.Helper()
	project := c.(*goUplink).project
	cursor := ""
	for {
		objects := project.ListObjects(t.Context(), bucket, &uplink.ListObjectsOptions{
			Prefix: prefix, Recursive: recursive, Cursor: cursor, System: true,
		})
		n := 0
		for n < 7 && objects.Next() {
			e := goEntry(objects.Item())
			list = append(list, e)
			cursor = strings.TrimPrefix(e.Key, prefix)
			n++
		}
		must(t, objects.Err())
		if n < 7 {
			return list
		}
	}
}

// More keys than one page of the protocol (1000), in a tree.
func TestListing(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	var flat, tree []string
	for i := range 2300 {
		flat = append(flat, fmt.Sprintf("flat/%05d", i))
	}
	for i := range 60 {
		tree = append(tree, fmt.Sprintf("tree/%d/%d/leaf", i%6, i))
	}
	tree = append(tree, "tree/file", "top", "both", "both/x")
	all := slices.Concat(flat, tree)

	keys := make(chan string)
	var writers sync.WaitGroup
	for range 16 {
		writers.Go(func() {
			for key := range keys {
				if err := clients[0].Put(t.Context(), bucket, key, []byte(key), putOptions{}); err != nil {
					t.Errorf("put %s: %v", key, err)
				}
			}
		})
	}
	for _, key := range all {
		keys <- key
	}
	close(keys)
	writers.Wait()
	if t.Failed() {
		return
	}

	each(t, clients, func(t *testing.T, c client) {
		for _, prefix := range []string{"", "flat/", "tree/", "tree/3/", "tree/3/9/", "absent/"} {
			var below []string
			for _, key := range all {
				if strings.HasPrefix(key, prefix) {
					below = append(below, key)
				}
			}
			if prefix == "absent/" && c.Name() == "rclone" {
				continue // it reports a missing directory as an error
			}
			list, err := c.List(t.Context(), bucket, prefix, true)
			must(t, err)
			sameKeys(t, "all below "+prefix, list, below)
			for _, e := range list {
				if e.Size != int64(len(e.Key)) {
					t.Errorf("%s: size %d, want %d", e.Key, e.Size, len(e.Key))
					break
				}
			}
			list, err = c.List(t.Context(), bucket, prefix, false)
			must(t, err)
			sameKeys(t, "right below "+prefix, list, collapse(below, prefix))
		}
	})
	t.Run("cursor", func(t *testing.T) {
		sameKeys(t, "tree/ in pages", pages(t, clients[0], bucket, "tree/", true), tree[:len(tree)-3])
		sameKeys(t, "the top in pages", pages(t, clients[0], bucket, "", false), []string{"flat/", "tree/", "top", "both", "both/"})
	})
}

// Keys that the owner chose to leave readable: lists come sorted, a prefix need not end in a slash.
func TestUnencryptedKeys(t *testing.T) {
	bucket := newBucket(t)
	config := uplink.Config{}
	access.DisableObjectKeyEncryption(&config)
	plain, err := config.RequestAccessWithPassphrase(t.Context(), shared.satellite, shared.apiKey, shared.passphrase)
	must(t, err)
	grant, err := plain.Serialize()
	must(t, err)
	c, acre := goClient(t, grant), acreClient(t, grant)
	var keys []string
	for i, key := range []string{"b", "a", "a/b", "a/b/c", "a//x", "zz/", "é", "a b", "-"} {
		writer := c
		if i%2 == 1 && acre.CanWrite(key) {
			writer = acre
		}
		data := content(key, 5000)
		must(t, writer.Put(t.Context(), bucket, key, data, putOptions{Metadata: map[string]string{"m": key}}))
		check(t, c, bucket, key, data, putOptions{Metadata: map[string]string{"m": key}})
		check(t, acre, bucket, key, data, putOptions{Metadata: map[string]string{"m": key}})
		keys = append(keys, key)
	}
	for _, reader := range []client{c, acre} {
		list, err := reader.List(t.Context(), bucket, "", true)
		must(t, err)
		sameKeys(t, reader.Name(), list, keys)
		if !slices.IsSortedFunc(list, func(a, b entry) int { return strings.Compare(a.Key, b.Key) }) {
			t.Errorf("%s: not in order: %v", reader.Name(), list)
		}
		list, err = reader.List(t.Context(), bucket, "", false)
		must(t, err)
		sameKeys(t, reader.Name()+" top", list, collapse(keys, ""))
	}
}

// The table our command prints for people has the columns of the one they know.
func TestListingTable(t *testing.T) {
	bucket := newBucket(t)
	acre := acreClient(t, shared.grant).(*acreCLI)
	must(t, goClient(t, shared.grant).Put(t.Context(), bucket, "dir/file", make([]byte, 12), putOptions{}))
	must(t, goClient(t, shared.grant).Put(t.Context(), bucket, "file \xff", make([]byte, 34), putOptions{}))
	out, err := acre.run(t.Context(), nil, "ls", sj(bucket, ""))
	must(t, err)
	for _, want := range [][]string{{"PRE", "dir/"}, {"OBJ", "34", "file"}} {
		if !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			fields := strings.Fields(line)
			return !slices.ContainsFunc(want, func(w string) bool {
				return !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(f, w) })
			})
		}) {
			t.Errorf("no line with %q in:\n%s", want, out)
		}
	}
	out, err = acre.run(t.Context(), nil, "ls", "--output", "json", sj(bucket, ""))
	must(t, err)
	if !json.Valid(bytes.SplitN([]byte(out), []byte("\n"), 2)[0]) && !json.Valid([]byte(out)) {
		t.Errorf("not JSON: %q", out)
	}
}
