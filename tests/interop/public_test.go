package interop

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"storj.io/uplink"
)

// Keys of one's own for a prefix: another passphrase reads neither, and back again.
func TestOverrideEncryptionKey(t *testing.T) {
	ctx := t.Context()
	name := newBucket(t)
	key, err := uplink.DeriveEncryptionKey("the tenant's own", []byte("salt of the tenant"))
	must(t, err)
	own := sharedAccess(t)
	must(t, own.OverrideEncryptionKey(name, "tenant/", key))
	if own.OverrideEncryptionKey(name, "tenant", key) == nil {
		t.Error("a prefix without its slash is taken")
	}
	text, err := own.Serialize()
	must(t, err)
	tenant := newGoUplink(t, text)
	must(t, tenant.Put(ctx, name, "tenant/key", content("own", 5000), putOptions{}))
	for _, reader := range []client{tenant, acreClient(t, text)} {
		got, err := reader.Get(ctx, name, "tenant/key", 0, -1)
		must(t, err)
		sameBytes(t, reader.Name(), got, content("own", 5000))
	}
	_, err = goClient(t, shared.grant).Stat(ctx, name, "tenant/key")
	is(t, "read with the passphrase of all", err, uplink.ErrObjectNotFound)
	again, err := uplink.DeriveEncryptionKey("another", []byte("salt of the tenant"))
	must(t, err)
	must(t, own.OverrideEncryptionKey(name, "tenant/", again))
	text, err = own.Serialize()
	must(t, err)
	_, err = newGoUplink(t, text).Stat(ctx, name, "tenant/key")
	is(t, "read with another key", err, uplink.ErrObjectNotFound)
}

func TestCustomMetadataPairs(t *testing.T) {
	pairs := uplink.CustomMetadata{"a": "b"}
	clone := pairs.Clone()
	clone["a"] = "c"
	if pairs["a"] != "b" || pairs.Verify() != nil {
		t.Errorf("pairs %v, %v", pairs, pairs.Verify())
	}
	ctx := t.Context()
	name := newBucket(t)
	for _, bad := range []uplink.CustomMetadata{{"": "x"}, {"a\x00b": "x"}, {"a": "\xff"}} {
		if bad.Verify() == nil {
			t.Errorf("%v is taken", bad)
		}
		upload, err := openProject(t).UploadObject(ctx, name, "bad", nil)
		must(t, err)
		if upload.SetCustomMetadata(ctx, bad) == nil {
			t.Errorf("an upload takes %v", bad)
		}
		must(t, upload.Abort())
	}
}

// What must fail, once for each call of a project that can.
func TestPublicErrors(t *testing.T) {
	p, ctx := openProject(t), t.Context()
	name := newBucket(t)
	calls := map[string]struct {
		call func() error
		want error
	}{
		"CreateBucket":       {func() error { _, err := p.CreateBucket(ctx, "A"); return err }, uplink.ErrBucketNameInvalid},
		"CreateBucket twice": {func() error { _, err := p.CreateBucket(ctx, name); return err }, uplink.ErrBucketAlreadyExists},
		"EnsureBucket":       {func() error { _, err := p.EnsureBucket(ctx, "A"); return err }, uplink.ErrBucketNameInvalid},
		"StatBucket":         {func() error { _, err := p.StatBucket(ctx, absentBucket); return err }, uplink.ErrBucketNotFound},
		"DeleteBucket":       {func() error { _, err := p.DeleteBucket(ctx, absentBucket); return err }, uplink.ErrBucketNotFound},
		"DeleteBucketWithObjects": {func() error { _, err := p.DeleteBucketWithObjects(ctx, absentBucket); return err },
			uplink.ErrBucketNotFound},
		"StatObject":   {func() error { _, err := p.StatObject(ctx, name, "none"); return err }, uplink.ErrObjectNotFound},
		"DeleteObject": {func() error { _, err := p.DeleteObject(ctx, name, ""); return err }, uplink.ErrObjectKeyInvalid},
		"DownloadObject": {func() error { _, err := p.DownloadObject(ctx, name, "none", nil); return err },
			uplink.ErrObjectNotFound},
		"UploadObject": {func() error { _, err := p.UploadObject(ctx, name, "", nil); return err }, uplink.ErrObjectKeyInvalid},
		"UpdateObjectMetadata": {func() error { return p.UpdateObjectMetadata(ctx, name, "none", nil, nil) },
			uplink.ErrObjectNotFound},
		"CopyObject": {func() error { _, err := p.CopyObject(ctx, name, "none", name, "to", nil); return err },
			uplink.ErrObjectNotFound},
		"MoveObject":  {func() error { return p.MoveObject(ctx, name, "none", name, "to", nil) }, uplink.ErrObjectNotFound},
		"BeginUpload": {func() error { _, err := p.BeginUpload(ctx, absentBucket, "k", nil); return err }, uplink.ErrBucketNotFound},
		"UploadPart": {func() error {
			part, err := p.UploadPart(ctx, name, "k", "none", 1)
			if err != nil {
				return err
			}
			if _, err = part.Write([]byte("x")); err != nil {
				return err
			}
			return part.Commit()
		}, uplink.ErrUploadIDInvalid},
		"CommitUpload": {func() error { _, err := p.CommitUpload(ctx, name, "k", "none", nil); return err }, uplink.ErrUploadIDInvalid},
		"AbortUpload":  {func() error { return p.AbortUpload(ctx, name, "k", "none") }, uplink.ErrUploadIDInvalid},
		"ListObjects": {func() error {
			list := p.ListObjects(ctx, absentBucket, nil)
			if list.Next() || list.Item() != nil {
				return errors.New("something is listed")
			}
			return list.Err()
		}, uplink.ErrBucketNotFound},
		"ListUploads": {func() error {
			list := p.ListUploads(ctx, absentBucket, nil)
			if list.Next() || list.Item() != nil {
				return errors.New("something is listed")
			}
			return list.Err()
		}, uplink.ErrBucketNotFound},
		"ListUploadParts": {func() error {
			list := p.ListUploadParts(ctx, name, "k", "none", nil)
			if list.Next() || list.Item() != nil {
				return errors.New("something is listed")
			}
			return list.Err()
		}, uplink.ErrUploadIDInvalid},
		"ListBuckets": {func() error {
			list := openGo(t, foreignGrant(t), uplink.Config{}).project.ListBuckets(ctx, nil)
			if list.Next() || list.Item() != nil {
				return errors.New("something is listed")
			}
			return list.Err()
		}, uplink.ErrPermissionDenied},
		"RevokeAccess": {func() error { return p.RevokeAccess(ctx, sharedAccess(t)) }, uplink.ErrPermissionDenied},
	}
	for what, c := range calls {
		is(t, what, c.call(), c.want)
	}
	if _, err := uplink.ParseAccess("no grant"); err == nil {
		t.Error("ParseAccess takes anything")
	}
	if _, err := uplink.RequestAccessWithPassphrase(ctx, shared.satellite, "no key", "x"); err == nil {
		t.Error("RequestAccessWithPassphrase takes any key")
	}
	if _, err := sharedAccess(t).Share(uplink.Permission{}); err == nil {
		t.Error("Share of nothing")
	}
	if got := sharedAccess(t).SatelliteAddress(); got != shared.satellite {
		t.Errorf("satellite %q, want %q", got, shared.satellite)
	}
}

// A transfer's end is an end, however it came.
func TestPublicEnds(t *testing.T) {
	p, ctx := openProject(t), t.Context()
	name := newBucket(t)
	must(t, goClient(t, shared.grant).Put(ctx, name, "key", content("ends", 100000), putOptions{}))
	down, err := p.DownloadObject(ctx, name, "key", nil)
	must(t, err)
	if down.Info().Key != "key" {
		t.Errorf("downloads %+v", down.Info())
	}
	must(t, down.Close())
	if _, err = io.ReadAll(down); err == nil {
		t.Error("read after the close")
	}
	canceled, cancel := context.WithCancel(ctx)
	upload, err := p.UploadObject(canceled, name, "canceled", nil)
	must(t, err)
	_, _ = upload.Write(content("canceled", 50000))
	cancel()
	if upload.Commit() == nil {
		t.Error("committed after it was canceled")
	}
	late, stop := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer stop()
	if _, err = p.StatObject(late, name, "key"); err == nil {
		t.Error("answered after the deadline")
	}
	_, err = p.StatObject(ctx, name, "canceled")
	is(t, "what was canceled", err, uplink.ErrObjectNotFound)
}
