package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"storj.io/common/macaroon"
	"storj.io/uplink"
)

// sharer makes a restricted grant, the Go library's way or our command's.
type sharer struct {
	name  string
	share func(t *testing.T, grant string, permission uplink.Permission, prefixes ...uplink.SharePrefix) string
}

var sharers = []sharer{
	{"go", func(t *testing.T, grant string, permission uplink.Permission, prefixes ...uplink.SharePrefix) string {
		t.Helper()
		access, err := uplink.ParseAccess(grant)
		must(t, err)
		access, err = access.Share(permission, prefixes...)
		must(t, err)
		text, err := access.Serialize()
		must(t, err)
		return text
	}},
	{"acre", func(t *testing.T, grant string, permission uplink.Permission, prefixes ...uplink.SharePrefix) string {
		t.Helper()
		c := acreClient(t, grant).(*acreCLI)
		args := []string{"share", "--readonly=false"}
		flag := func(name string, disallowed bool) {
			args = append(args, fmt.Sprintf("%s=%v", name, disallowed))
		}
		flag("--disallow-reads", !permission.AllowDownload)
		flag("--disallow-writes", !permission.AllowUpload)
		flag("--disallow-lists", !permission.AllowList)
		flag("--disallow-deletes", !permission.AllowDelete)
		if !permission.NotBefore.IsZero() {
			args = append(args, "--not-before", permission.NotBefore.UTC().Format(time.RFC3339))
		}
		if !permission.NotAfter.IsZero() {
			args = append(args, "--not-after", permission.NotAfter.UTC().Format(time.RFC3339))
		}
		if permission.MaxObjectTTL != nil {
			args = append(args, "--max-object-ttl", permission.MaxObjectTTL.String())
		}
		for _, prefix := range prefixes {
			args = append(args, sj(prefix.Bucket, prefix.Prefix))
		}
		if len(prefixes) == 0 {
			args = append([]string{"access", "restrict"}, args[1:]...)
		}
		out, err := c.run(t.Context(), nil, args...)
		must(t, err)
		return findGrant(t, out)
	}},
}

// findGrant picks the grant out of what a command printed: its longest word.
func findGrant(t *testing.T, out string) string {
	t.Helper()
	longest := ""
	for _, word := range strings.Fields(out) {
		if len(word) > len(longest) && !strings.ContainsAny(word, "=:/") {
			longest = word
		}
	}
	if _, err := uplink.ParseAccess(longest); err != nil {
		t.Fatalf("no grant printed: %v\n%s", err, out)
	}
	return longest
}

// may says what a grant allows on key "in/there" of the bucket.
type may struct{ read, write, list, delete bool }

func tryAll(t *testing.T, c client, bucket, prefix string, want may) {
	t.Helper()
	ctx := t.Context()
	owner := goClient(t, shared.grant)
	key := prefix + "there"
	data := content(key, 30000)
	must(t, owner.Put(ctx, bucket, key, data, putOptions{}))
	expect := func(verb string, allowed bool, err error) {
		t.Helper()
		switch {
		case allowed && err != nil:
			t.Errorf("%s may not %s: %v", c.Name(), verb, err)
		case !allowed && err == nil:
			t.Errorf("%s may %s", c.Name(), verb)
		case !allowed && c.Name() == "go" && !strings.HasPrefix(verb, "write") && !errors.Is(err, uplink.ErrPermissionDenied):
			t.Errorf("go: %s: %v, want %v", verb, err, uplink.ErrPermissionDenied)
		}
	}
	got, err := c.Get(ctx, bucket, key, 0, -1)
	expect("read", want.read, err)
	if want.read && err == nil {
		sameBytes(t, c.Name()+" reads", got, data)
	}
	if c.Name() != "rclone" { // which reads before it writes or deletes
		// To write over an object takes the right to delete it.
		fresh := fmt.Sprintf("%s%s-%08x", prefix, c.Name(), rand.Uint32())
		expect("write", want.write, c.Put(ctx, bucket, fresh, data, putOptions{}))
		if want.write {
			check(t, owner, bucket, fresh, data, putOptions{})
		}
		expect("write over", want.write && want.delete, c.Put(ctx, bucket, key, data, putOptions{}))
	}
	list, err := c.List(ctx, bucket, prefix, true)
	expect("list", want.list, err)
	if want.list && err == nil && len(list) == 0 {
		t.Errorf("%s lists nothing", c.Name())
	}
	if c.Name() != "rclone" {
		expect("delete", want.delete, c.Delete(ctx, bucket, key))
		_, err = owner.Stat(ctx, bucket, key)
		if deleted := errors.Is(err, uplink.ErrObjectNotFound); deleted != want.delete {
			t.Errorf("%s: deleted is %v, want %v", c.Name(), deleted, want.delete)
		}
	}
}

func TestShare(t *testing.T) {
	all := uplink.FullPermission()
	read, write, list := uplink.ReadOnlyPermission(), uplink.WriteOnlyPermission(), uplink.Permission{AllowList: true}
	write.AllowDelete = false
	readAlone := uplink.Permission{AllowDownload: true}
	none := may{}
	bucket := newBucket(t)
	for _, s := range sharers {
		for _, test := range []struct {
			name       string
			permission uplink.Permission
			prefix     string
			want       may
		}{
			{"all", all, "", may{true, true, true, true}},
			{"read", read, "", may{read: true, list: true}},
			{"read alone", readAlone, "", may{read: true}},
			{"write", write, "", may{write: true}},
			{"list", list, "", may{list: true}},
			{"prefix", all, "in/", may{true, true, true, true}},
			{"prefix read", read, "in/", may{read: true, list: true}},
			{"deep prefix", all, "in/side/of it/", may{true, true, true, true}},
		} {
			t.Run(s.name+"/"+test.name, func(t *testing.T) {
				grant := s.share(t, shared.grant, test.permission, uplink.SharePrefix{Bucket: bucket, Prefix: test.prefix})
				for _, c := range allClients(t, grant) {
					tryAll(t, c, bucket, test.prefix, test.want)
				}
				if test.prefix == "" {
					return
				}
				// Nothing outside.
				owner := goClient(t, shared.grant)
				must(t, owner.Put(t.Context(), bucket, "outside", []byte("x"), putOptions{}))
				for _, c := range allClients(t, grant) {
					_, err := c.Get(t.Context(), bucket, "outside", 0, -1)
					refused(t, c.Name()+" reads outside", err)
					refused(t, c.Name()+" writes outside", c.Put(t.Context(), bucket, "outside2", []byte("x"), putOptions{}))
				}
			})
		}
		t.Run(s.name+"/other bucket", func(t *testing.T) {
			other := newBucket(t)
			grant := s.share(t, shared.grant, all, uplink.SharePrefix{Bucket: other})
			for _, c := range allClients(t, grant) {
				_, err := c.List(t.Context(), bucket, "", true)
				refused(t, c.Name()+" lists another bucket", err)
				names, err := c.Buckets(t.Context())
				must(t, err)
				if len(names) != 1 || names[0] != other {
					t.Errorf("%s sees buckets %q, want %s alone", c.Name(), names, other)
				}
			}
		})
		t.Run(s.name+"/chain", func(t *testing.T) {
			// Restricting twice leaves what both allow.
			first := s.share(t, shared.grant, read, uplink.SharePrefix{Bucket: bucket, Prefix: "in/"})
			second := s.share(t, first, all, uplink.SharePrefix{Bucket: bucket, Prefix: "in/deep/"})
			for _, c := range allClients(t, second) {
				tryAll(t, c, bucket, "in/deep/", may{read: true, list: true})
			}
			_, err := goClient(t, second).Get(t.Context(), bucket, "in/there", 0, -1)
			refused(t, "reads above the second prefix", err)
		})
		t.Run(s.name+"/time", func(t *testing.T) {
			for _, test := range []struct {
				name          string
				before, after time.Duration // 0 is no limit
				want          may
			}{
				{"expired", 0, -time.Hour, none},
				{"not yet", time.Hour, 0, none},
				{"now", -time.Hour, time.Hour, may{true, true, true, true}},
			} {
				permission := all
				if test.before != 0 {
					permission.NotBefore = time.Now().Add(test.before)
				}
				if test.after != 0 {
					permission.NotAfter = time.Now().Add(test.after)
				}
				grant := s.share(t, shared.grant, permission, uplink.SharePrefix{Bucket: bucket})
				for _, c := range allClients(t, grant) {
					tryAll(t, c, bucket, "", test.want)
				}
			}
			ttl := 30 * time.Minute
			permission := all
			permission.MaxObjectTTL = &ttl
			grant := s.share(t, shared.grant, permission, uplink.SharePrefix{Bucket: bucket})
			for _, c := range []client{goClient(t, grant), acreClient(t, grant)} {
				must(t, c.Put(t.Context(), bucket, "short-lived", []byte("x"), putOptions{}))
				e, err := goClient(t, shared.grant).Stat(t.Context(), bucket, "short-lived")
				must(t, err)
				if left := time.Until(e.Expires); left < 25*time.Minute || left > ttl {
					t.Errorf("%s: expires in %v, want %v", c.Name(), left, ttl)
				}
				refused(t, "a longer life than the grant allows", c.Put(t.Context(), bucket, "long-lived", []byte("x"),
					putOptions{Expires: time.Now().Add(2 * time.Hour)}))
			}
		})
	}
}

// The flags as people write them.
func TestShareFlags(t *testing.T) {
	bucket := newBucket(t)
	acre := acreClient(t, shared.grant).(*acreCLI)
	for _, test := range []struct {
		flags []string
		want  may
	}{
		{nil, may{read: true, list: true}},
		{[]string{"--readonly"}, may{read: true, list: true}},
		{[]string{"--readonly", "--disallow-lists"}, may{read: true}},
		{[]string{"--readonly=false", "--writeonly"}, may{write: true, delete: true}},
		{[]string{"--readonly=false", "--disallow-deletes"}, may{read: true, write: true, list: true}},
		{[]string{"--disallow-writes=false"}, may{read: true, write: true, list: true}},
		{[]string{"--readonly=false", "--not-after", "+1h"}, may{true, true, true, true}},
		{[]string{"--readonly=false", "--not-after", "now"}, may{}},
	} {
		t.Run(strings.Join(test.flags, ""), func(t *testing.T) {
			out, err := acre.run(t.Context(), nil, append(append([]string{"share"}, test.flags...), sj(bucket, ""))...)
			must(t, err)
			time.Sleep(time.Millisecond) // "now" is over
			tryAll(t, goClient(t, findGrant(t, out)), bucket, "", test.want)
		})
	}
}

// A grant that is wrong in some way gives nothing away.
func TestWrongAccess(t *testing.T) {
	bucket := newBucket(t)
	must(t, goClient(t, shared.grant).Put(t.Context(), bucket, "secret", []byte("data"), putOptions{}))
	request := func(satellite, key, passphrase string) (string, error) {
		access, err := uplink.RequestAccessWithPassphrase(t.Context(), satellite, key, passphrase)
		if err != nil {
			return "", err
		}
		return access.Serialize()
	}

	t.Run("passphrase", func(t *testing.T) {
		grant, err := request(shared.satellite, shared.apiKey, "not the "+shared.passphrase)
		must(t, err)
		for _, c := range allClients(t, grant) {
			_, err := c.Get(t.Context(), bucket, "secret", 0, -1)
			refused(t, c.Name()+" reads with another passphrase", err)
		}
		list, err := goClient(t, grant).List(t.Context(), bucket, "", true)
		if err == nil && len(list) != 0 {
			t.Errorf("lists %v with another passphrase", list)
		}
		// The same names again, apart.
		for _, c := range []client{goClient(t, grant), acreClient(t, grant)} {
			must(t, c.Put(t.Context(), bucket, "secret", []byte("mine"), putOptions{}))
			check(t, acreClient(t, grant), bucket, "secret", []byte("mine"), putOptions{})
		}
		check(t, acreClient(t, shared.grant), bucket, "secret", []byte("data"), putOptions{})
	})
	t.Run("key", func(t *testing.T) {
		// A key that is whole and was never issued: another root with the same form.
		foreign, err := macaroon.NewAPIKey([]byte("not the satellite's secret"))
		must(t, err)
		if _, err := request(shared.satellite, foreign.Serialize(), shared.passphrase); err == nil {
			t.Error("a key that was never issued is accepted")
		}
		// The head of a key that was, under another signature.
		issued, err := macaroon.ParseAPIKey(shared.apiKey)
		must(t, err)
		raw := issued.SerializeRaw()
		raw[len(raw)-1] ^= 1
		forged, err := macaroon.ParseRawAPIKey(raw)
		must(t, err)
		if _, err := request(shared.satellite, forged.Serialize(), shared.passphrase); err == nil {
			t.Error("a forged key is accepted")
		}
	})
	t.Run("satellite", func(t *testing.T) {
		// The right place under the wrong name: its certificate gives it away.
		_, address, _ := strings.Cut(shared.satellite, "@")
		wrong := "12EayRS2V1kEsWESU9QMRseFhdxYxKicsiFmxrsLZHeLUtdps3S@" + address
		if _, err := request(wrong, shared.apiKey, shared.passphrase); err == nil {
			t.Error("a satellite with another identity is accepted")
		}
		acre := acreClient(t, shared.grant).(*acreCLI)
		_, err := command(t.Context(), []byte(shared.passphrase), nil, acrePath, "access", "create",
			"--config-dir", t.TempDir(), "--satellite-address", wrong, "--api-key", shared.apiKey, "--passphrase-stdin")
		refused(t, acre.Name()+" accepts a satellite with another identity", err)
	})
	t.Run("damaged", func(t *testing.T) {
		for _, grant := range []string{"", "x", shared.grant[:len(shared.grant)-2], shared.grant[1:]} {
			acre := &acreCLI{grant: grant, scratch: t.TempDir()}
			_, err := acre.Buckets(t.Context())
			refused(t, fmt.Sprintf("grant %.10q", grant), err)
		}
	})
}

func TestRevoke(t *testing.T) {
	project := openProject(t)
	bucket := newBucket(t)
	must(t, goClient(t, shared.grant).Put(t.Context(), bucket, "k", []byte("data"), putOptions{}))
	for _, s := range sharers {
		t.Run(s.name, func(t *testing.T) {
			child := s.share(t, shared.grant, uplink.FullPermission(), uplink.SharePrefix{Bucket: bucket})
			grandchild := s.share(t, child, uplink.ReadOnlyPermission(), uplink.SharePrefix{Bucket: bucket})
			other := s.share(t, shared.grant, uplink.FullPermission(), uplink.SharePrefix{Bucket: bucket})
			// Not used before: a satellite may remember for a while that a key was good.
			access, err := uplink.ParseAccess(child)
			must(t, err)
			if s.name == "go" {
				must(t, project.RevokeAccess(t.Context(), access))
			} else {
				_, err := acreClient(t, shared.grant).(*acreCLI).run(t.Context(), nil, "access", "revoke", child)
				must(t, err)
			}
			for _, grant := range []string{child, grandchild} {
				_, err := goClient(t, grant).Get(t.Context(), bucket, "k", 0, -1)
				if !errors.Is(err, uplink.ErrPermissionDenied) {
					t.Errorf("revoked: %v, want %v", err, uplink.ErrPermissionDenied)
				}
			}
			check(t, goClient(t, other), bucket, "k", []byte("data"), putOptions{})
		})
	}
	t.Run("itself", func(t *testing.T) {
		child := sharers[0].share(t, shared.grant, uplink.FullPermission(), uplink.SharePrefix{Bucket: bucket})
		access, err := uplink.ParseAccess(child)
		must(t, err)
		p := goClient(t, child).(*goUplink).project
		refused(t, "a key revokes itself", p.RevokeAccess(t.Context(), access))
	})
}

// The same three things give the same keys, whoever derives them.
func TestAccessCreate(t *testing.T) {
	bucket := newBucket(t)
	for _, passphrase := range []string{shared.passphrase, "pass ✓ phrase", " "} {
		access, err := uplink.RequestAccessWithPassphrase(t.Context(), shared.satellite, shared.apiKey, passphrase)
		must(t, err)
		goGrant, err := access.Serialize()
		must(t, err)
		out, err := command(t.Context(), []byte(passphrase+"\n"), nil, acrePath, "access", "create",
			"--config-dir", t.TempDir(), "--satellite-address", shared.satellite, "--api-key", shared.apiKey,
			"--passphrase-stdin")
		must(t, err)
		acreGrant := findGrant(t, out)
		if acreGrant != goGrant {
			t.Errorf("passphrase %q: other grants:\n%s\n%s", passphrase, acreGrant, goGrant)
		}
		must(t, goClient(t, goGrant).Put(t.Context(), bucket, "k", []byte(passphrase), putOptions{}))
		check(t, acreClient(t, acreGrant), bucket, "k", []byte(passphrase), putOptions{})
	}
}

// Grants kept under a name.
func TestAccessStore(t *testing.T) {
	acreClient(t, shared.grant)
	bucket := newBucket(t)
	dir := t.TempDir()
	run := func(args ...string) (string, error) {
		return command(t.Context(), nil, []string{"ACRE_ACCESS=", "UPLINK_ACCESS="}, acrePath,
			append(args, "--config-dir", dir)...)
	}
	_, err := run("ls")
	refused(t, "no access at all", err)
	_, err = run("access", "import", "mine", shared.grant)
	must(t, err)
	_, err = run("ls", "sj://"+bucket)
	must(t, err)
	_, err = run("ls", "--access", "mine", "sj://"+bucket)
	must(t, err)
	narrow := sharers[0].share(t, shared.grant, uplink.WriteOnlyPermission(), uplink.SharePrefix{Bucket: bucket})
	_, err = run("access", "import", "narrow", narrow)
	must(t, err)
	out, err := run("access", "list")
	must(t, err)
	if !strings.Contains(out, "mine") || !strings.Contains(out, "narrow") {
		t.Errorf("access list: %s", out)
	}
	_, err = run("access", "use", "narrow")
	must(t, err)
	_, err = run("ls", "sj://"+bucket)
	refused(t, "list with a grant to write", err)
	out, err = run("access", "inspect", "narrow")
	must(t, err)
	if !strings.Contains(out, bucket) || !strings.Contains(out, "satellite") && !strings.Contains(out, "Satellite") {
		t.Errorf("access inspect: %s", out)
	}
	_, err = run("access", "use", "mine")
	must(t, err)
	_, err = run("access", "remove", "narrow")
	must(t, err)
	out, err = run("access", "list")
	must(t, err)
	if strings.Contains(out, "narrow") {
		t.Errorf("access list after remove: %s", out)
	}
	// The environment wins over the store, and under both names.
	for _, env := range [][]string{{"ACRE_ACCESS=" + narrow, "UPLINK_ACCESS="}, {"ACRE_ACCESS=", "UPLINK_ACCESS=" + narrow}} {
		_, err = command(t.Context(), nil, env, acrePath, "ls", "--config-dir", dir, "sj://"+bucket)
		refused(t, fmt.Sprintf("%.15q is not used", env), err)
	}
}
