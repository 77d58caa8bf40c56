package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"storj.io/common/storj"
	"storj.io/uplink"
	"storj.io/uplink/private/bucket"
	"storj.io/uplink/private/metaclient"
	"storj.io/uplink/private/multipart"
	"storj.io/uplink/private/object"
)

func putVersion(t *testing.T, project *uplink.Project, bucketName, key string, data []byte, options *object.UploadOptions) *object.VersionedObject {
	t.Helper()
	upload, err := object.UploadObject(t.Context(), project, bucketName, key, options)
	must(t, err)
	must(t, upload.SetCustomMetadata(t.Context(), uplink.CustomMetadata{"length": fmt.Sprint(len(data))}))
	must(t, upload.SetETag(t.Context(), []byte("etag of "+key)))
	_, err = upload.Write(data)
	must(t, err)
	must(t, upload.Commit())
	is(t, "committed twice", upload.Commit(), uplink.ErrUploadDone)
	info := upload.Info()
	if info.Key != key || info.System.ContentLength != int64(len(data)) {
		t.Errorf("upload says %q, %d bytes; want %q, %d", info.Key, info.System.ContentLength, key, len(data))
	}
	return info
}

func getVersion(ctx context.Context, project *uplink.Project, bucketName, key string, version []byte, options *object.DownloadObjectOptions) (_ []byte, info *object.VersionedObject, err error) {
	download, err := object.DownloadObject(ctx, project, bucketName, key, version, options)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(download)
	if err != nil {
		_ = download.Close()
		return nil, nil, err
	}
	return data, download.Info(), download.Close()
}

// newVersioned is a bucket with versions and without lock.
func newVersioned(t *testing.T, project *uplink.Project) string {
	t.Helper()
	name := newBucket(t)
	must(t, bucket.SetBucketVersioning(t.Context(), project, name, true))
	return name
}

func TestPrivateObjectVersions(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newVersioned(t, project)
	first := putVersion(t, project, name, "dir/key", content("first", 3000), nil)
	second := putVersion(t, project, name, "dir/key", content("second", 70000), nil)
	if len(first.Version) != 16 || bytes.Equal(first.Version, second.Version) || !first.IsVersioned {
		t.Fatalf("versions %x and %x", first.Version, second.Version)
	}
	for version, want := range map[string][]byte{
		"": content("second", 70000), string(second.Version): content("second", 70000),
		string(first.Version): content("first", 3000),
	} {
		data, info, err := getVersion(ctx, project, name, "dir/key", []byte(version), nil)
		must(t, err)
		sameBytes(t, "download", data, want)
		if info.Custom["length"] != fmt.Sprint(len(want)) || string(info.ETag) != "etag of dir/key" {
			t.Errorf("download says %+v", info)
		}
		stat, err := object.StatObject(ctx, project, name, "dir/key", []byte(version))
		must(t, err)
		if stat.System.ContentLength != int64(len(want)) || string(stat.ETag) != "etag of dir/key" || !stat.IsVersioned {
			t.Errorf("stat says %+v", stat)
		}
	}
	data, _, err := getVersion(ctx, project, name, "dir/key", first.Version, &object.DownloadObjectOptions{Offset: -7, Length: -1})
	must(t, err)
	sameBytes(t, "the end", data, content("first", 3000)[2993:])

	gone := bytes.Clone(first.Version)
	gone[7] ^= 0x55
	_, err = object.StatObject(ctx, project, name, "dir/key", gone)
	is(t, "stat of no version", err, uplink.ErrObjectNotFound)
	_, _, err = getVersion(ctx, project, name, "dir/key", gone, nil)
	is(t, "download of no version", err, uplink.ErrObjectNotFound)
	_, err = object.StatObject(ctx, project, name, "dir/key", []byte("short"))
	if err == nil {
		t.Error("a version of five bytes is taken")
	}
	_, err = object.UploadObject(ctx, project, name, "", nil)
	is(t, "upload without a key", err, uplink.ErrObjectKeyInvalid)
	_, err = object.DownloadObject(ctx, project, name, "dir/key", nil, &object.DownloadObjectOptions{Offset: -1, Length: 5})
	if err == nil {
		t.Error("a negative offset with a length is taken")
	}
	upload, err := object.UploadObject(ctx, project, name, "aborted", nil)
	must(t, err)
	_, err = upload.Write([]byte("x"))
	must(t, err)
	must(t, upload.Abort())
	is(t, "aborted twice", upload.Abort(), uplink.ErrUploadDone)
	is(t, "committed after the abort", upload.Commit(), uplink.ErrUploadDone)
	_, err = object.StatObject(ctx, project, name, "aborted", nil)
	is(t, "stat of what was aborted", err, uplink.ErrObjectNotFound)
}

func TestPrivateObjectDelete(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newVersioned(t, project)
	first := putVersion(t, project, name, "key", content("first", 10), nil)
	second := putVersion(t, project, name, "key", content("second", 20), nil)
	marker, err := object.DeleteObject(ctx, project, name, "key", nil, nil)
	must(t, err)
	if !marker.IsDeleteMarker || len(marker.Version) != 16 {
		t.Errorf("deleting the newest makes %+v, want a marker", marker)
	}
	_, err = object.StatObject(ctx, project, name, "key", nil)
	is(t, "stat under a marker", err, uplink.ErrObjectNotFound)
	_, err = object.StatObject(ctx, project, name, "key", marker.Version)
	is(t, "stat of a marker", err, object.ErrMethodNotAllowed)
	_, _, err = getVersion(ctx, project, name, "key", marker.Version, nil)
	is(t, "download of a marker", err, object.ErrMethodNotAllowed)

	versions, more, err := object.ListObjectVersions(ctx, project, name, &object.ListObjectVersionsOptions{System: true, Custom: true, ETag: true})
	must(t, err)
	if more || len(versions) != 3 || !versions[0].IsDeleteMarker || !versions[0].IsLatest || versions[1].IsLatest ||
		!bytes.Equal(versions[1].Version, second.Version) || !bytes.Equal(versions[2].Version, first.Version) {
		t.Errorf("versions: more %v, %d of them: %+v", more, len(versions), versions)
	}
	page, more, err := object.ListObjectVersions(ctx, project, name, &object.ListObjectVersionsOptions{Limit: 2})
	must(t, err)
	if !more || len(page) != 2 {
		t.Fatalf("a page of 2 has %d, more %v", len(page), more)
	}
	page, more, err = object.ListObjectVersions(ctx, project, name, &object.ListObjectVersionsOptions{
		Cursor: page[1].Key, VersionCursor: page[1].Version})
	must(t, err)
	if more || len(page) != 1 || !bytes.Equal(page[0].Version, first.Version) {
		t.Errorf("the next page: %d, more %v", len(page), more)
	}
	list, more, err := object.ListObjects(ctx, project, name, nil)
	must(t, err)
	if more || len(list) != 0 {
		t.Errorf("%d objects under a marker are listed", len(list))
	}
	_, _, err = object.ListObjectVersions(ctx, project, absentBucket, nil)
	is(t, "versions of no bucket", err, uplink.ErrBucketNotFound)
	_, _, err = object.ListObjects(ctx, project, absentBucket, nil)
	is(t, "objects of no bucket", err, uplink.ErrBucketNotFound)

	removed, err := object.DeleteObject(ctx, project, name, "key", marker.Version, &object.DeleteObjectOptions{})
	must(t, err)
	if !removed.IsDeleteMarker {
		t.Errorf("removing a marker says %+v", removed)
	}
	back, err := object.StatObject(ctx, project, name, "key", nil)
	must(t, err)
	if !bytes.Equal(back.Version, second.Version) {
		t.Error("the newest version is not back")
	}
	_, err = object.DeleteObject(ctx, project, name, "", nil, nil)
	if err == nil {
		t.Error("deleting without a key is taken")
	}
	_, err = object.DeleteObject(ctx, project, absentBucket, "key", nil, nil)
	must(t, err) // nothing to delete is no error, with no bucket neither
}

func TestPrivateObjectDeleteMany(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newVersioned(t, project)
	one := putVersion(t, project, name, "one", []byte("1"), nil)
	putVersion(t, project, name, "two", []byte("2"), nil)
	results, err := object.DeleteObjects(ctx, project, name, []object.DeleteObjectsItem{
		{ObjectKey: "one", Version: one.Version}, {ObjectKey: "two"}, {ObjectKey: "three", Version: one.Version},
	}, nil)
	must(t, err)
	got := map[string]object.DeleteObjectsResultItem{}
	for _, r := range results {
		got[r.ObjectKey] = r
	}
	if r := got["one"]; r.Status != storj.DeleteObjectsStatusOK || r.Removed == nil || !bytes.Equal(r.Removed.Version, one.Version) {
		t.Errorf("one: %+v", r)
	}
	if r := got["two"]; r.Status != storj.DeleteObjectsStatusOK || r.Marker == nil {
		t.Errorf("two: %+v", r)
	}
	if r := got["three"]; r.Status != storj.DeleteObjectsStatusNotFound {
		t.Errorf("three: %+v", r)
	}
	quiet, err := object.DeleteObjects(ctx, project, name, []object.DeleteObjectsItem{{ObjectKey: "two"}},
		&object.DeleteObjectsOptions{Quiet: true})
	must(t, err)
	if len(quiet) != 0 {
		t.Errorf("quiet, and %d results", len(quiet))
	}
	_, err = object.DeleteObjects(ctx, project, name, nil, nil)
	is(t, "nothing to delete", err, object.ErrDeleteObjectsNoItems)
	_, err = object.DeleteObjects(ctx, project, name, make([]object.DeleteObjectsItem, 1), nil)
	is(t, "an item without a key", err, object.ErrObjectKeyMissing)
	many := make([]object.DeleteObjectsItem, 1001)
	for i := range many {
		many[i].ObjectKey = fmt.Sprint(i)
	}
	_, err = object.DeleteObjects(ctx, project, name, many, nil)
	is(t, "1001 items", err, object.ErrDeleteObjectsTooManyItems)
	_, err = object.DeleteObjects(ctx, project, "", many[:1], nil)
	is(t, "no bucket name", err, object.ErrBucketNameMissing)
	_, err = object.DeleteObjects(ctx, project, absentBucket, many[:1], nil)
	is(t, "no bucket", err, uplink.ErrBucketNotFound)
}

func TestPrivateObjectList(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	for _, key := range []string{"a/1", "a/2", "b", "c/d/e"} {
		putVersion(t, project, name, key, []byte(key), nil)
	}
	list, more, err := object.ListObjects(ctx, project, name, &object.ListObjectsOptions{System: true, ETagOrCustom: true})
	must(t, err)
	var keys []string
	for _, o := range list {
		keys = append(keys, o.Key)
		if !o.IsPrefix && string(o.ETag) != "etag of "+o.Key {
			t.Errorf("%s: etag %q", o.Key, o.ETag)
		}
	}
	if more || len(keys) != 3 {
		t.Errorf("listed %v, more %v", keys, more)
	}
	list, more, err = object.ListObjects(ctx, project, name, &object.ListObjectsOptions{Recursive: true, Limit: 3, Custom: true})
	must(t, err)
	if !more || len(list) != 3 || list[0].Custom["length"] == "" {
		t.Errorf("%d of 3, more %v", len(list), more)
	}
	_, _, err = object.ListObjects(ctx, project, name, &object.ListObjectsOptions{Delimiter: "#"})
	is(t, "another delimiter with encrypted keys", err, object.ErrUnsupportedDelimiter)
	_, _, err = object.ListObjectVersions(ctx, project, name, &object.ListObjectVersionsOptions{Delimiter: "#"})
	is(t, "the same for versions", err, object.ErrUnsupportedDelimiter)
}

func TestPrivateObjectCopy(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newVersioned(t, project)
	first := putVersion(t, project, name, "key", content("first", 9000), nil)
	putVersion(t, project, name, "key", content("second", 100), nil)
	made, err := object.CopyObject(ctx, project, name, "key", first.Version, name, "copy", object.CopyObjectOptions{})
	must(t, err)
	data, _, err := getVersion(ctx, project, name, "copy", made.Version, nil)
	must(t, err)
	sameBytes(t, "copy of a version", data, content("first", 9000))
	_, err = object.CopyObject(ctx, project, name, "key", nil, name, "copy", object.CopyObjectOptions{IfNoneMatch: []string{"*"}})
	is(t, "copied onto something", err, object.ErrFailedPrecondition)
	_, err = object.CopyObject(ctx, project, name, "nothing", nil, name, "copy", object.CopyObjectOptions{})
	is(t, "copy of nothing", err, uplink.ErrObjectNotFound)
	_, err = object.CopyObject(ctx, project, name, "key", nil, absentBucket, "copy", object.CopyObjectOptions{})
	is(t, "copy to no bucket", err, uplink.ErrBucketNotFound)
	_, err = object.CopyObject(ctx, project, name, "key", nil, name, "copy",
		object.CopyObjectOptions{LegalHold: true})
	is(t, "held in a bucket without lock", err, object.ErrNoObjectLockConfiguration)
}

func TestPrivateObjectConditional(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	once := &object.UploadOptions{IfNoneMatch: []string{"*"}}
	putVersion(t, project, name, "key", content("inline", 100), once)
	for _, size := range []int{100, 20000} {
		upload, err := object.UploadObject(ctx, project, name, "key", once)
		must(t, err)
		_, err = upload.Write(content("again", size))
		if err == nil {
			err = upload.Commit()
		}
		is(t, "uploaded onto something", err, object.ErrFailedPrecondition)
	}
	upload, err := object.UploadObject(ctx, project, name, "key", &object.UploadOptions{IfNoneMatch: []string{"etag"}})
	if err == nil {
		if _, err = upload.Write([]byte("x")); err == nil {
			err = upload.Commit()
		}
	}
	is(t, "another condition", err, object.ErrUnimplemented)
	data, _, err := getVersion(ctx, project, name, "key", nil, nil)
	must(t, err)
	sameBytes(t, "what was there", data, content("inline", 100))
}

func TestPrivateObjectLegalHold(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newLockBucket(t, project)
	held := putVersion(t, project, name, "held", []byte("held"), &object.UploadOptions{LegalHold: true})
	on, err := object.GetObjectLegalHold(ctx, project, name, "held", held.Version)
	must(t, err)
	if !on {
		t.Error("uploaded with a legal hold, and it is off")
	}
	_, err = object.DeleteObject(ctx, project, name, "held", held.Version, nil)
	is(t, "held, and deleted", err, object.ErrObjectProtected)
	must(t, object.SetObjectLegalHold(ctx, project, name, "held", held.Version, false))
	on, err = object.GetObjectLegalHold(ctx, project, name, "held", nil)
	must(t, err)
	if on {
		t.Error("the hold is still on")
	}
	_, err = object.DeleteObject(ctx, project, name, "held", held.Version, nil)
	must(t, err)
	_, err = object.GetObjectLegalHold(ctx, project, name, "held", nil)
	is(t, "hold of nothing", err, uplink.ErrObjectNotFound)
	is(t, "set on nothing", object.SetObjectLegalHold(ctx, project, name, "held", nil, true), uplink.ErrObjectNotFound)

	plain := newBucket(t)
	putVersion(t, project, plain, "key", []byte("x"), nil)
	_, err = object.GetObjectLegalHold(ctx, project, plain, "key", nil)
	is(t, "hold in a bucket without lock", err, bucket.ErrBucketNoLock)
	is(t, "set in a bucket without lock", object.SetObjectLegalHold(ctx, project, plain, "key", nil, true), bucket.ErrBucketNoLock)
	dropLocked(t, project, name)
}

func dropLocked(t *testing.T, project *uplink.Project, name string) {
	t.Helper()
	_, err := bucket.DeleteBucketWithObjectsBypassGovernanceRetention(t.Context(), project, name)
	must(t, err)
}

func TestPrivateObjectRetention(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newLockBucket(t, project)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	kept := putVersion(t, project, name, "kept", []byte("kept"), &object.UploadOptions{
		Retention: metaclient.Retention{Mode: storj.GovernanceMode, RetainUntil: until}})
	got, err := object.GetObjectRetention(ctx, project, name, "kept", kept.Version)
	must(t, err)
	if got.Mode != storj.GovernanceMode || !got.RetainUntil.Equal(until) {
		t.Errorf("retention %+v, want %v", got, until)
	}
	_, err = object.DeleteObject(ctx, project, name, "kept", kept.Version, nil)
	is(t, "kept, and deleted", err, object.ErrObjectProtected)
	longer := metaclient.Retention{Mode: storj.GovernanceMode, RetainUntil: until.Add(time.Hour)}
	must(t, object.SetObjectRetention(ctx, project, name, "kept", kept.Version, longer, nil))
	is(t, "made shorter", object.SetObjectRetention(ctx, project, name, "kept", kept.Version,
		metaclient.Retention{Mode: storj.GovernanceMode, RetainUntil: until}, nil), object.ErrObjectProtected)
	must(t, object.SetObjectRetention(ctx, project, name, "kept", kept.Version,
		metaclient.Retention{Mode: storj.GovernanceMode, RetainUntil: until},
		&object.SetObjectRetentionOptions{BypassGovernanceRetention: true}))
	results, err := object.DeleteObjects(ctx, project, name, []object.DeleteObjectsItem{{ObjectKey: "kept", Version: kept.Version}}, nil)
	must(t, err)
	if len(results) != 1 || results[0].Status != storj.DeleteObjectsStatusLocked {
		t.Errorf("kept, and deleted with others: %+v", results)
	}
	_, err = object.DeleteObject(ctx, project, name, "kept", kept.Version, &object.DeleteObjectOptions{BypassGovernanceRetention: true})
	must(t, err)
	free := putVersion(t, project, name, "free", []byte("x"), nil)
	_, err = object.GetObjectRetention(ctx, project, name, "free", free.Version)
	is(t, "no retention", err, object.ErrRetentionNotFound)
	_, err = object.GetObjectRetention(ctx, project, name, "nothing", nil)
	is(t, "retention of nothing", err, uplink.ErrObjectNotFound)
	is(t, "set on nothing", object.SetObjectRetention(ctx, project, name, "nothing", nil, longer, nil), uplink.ErrObjectNotFound)

	plain := newBucket(t)
	putVersion(t, project, plain, "key", []byte("x"), nil)
	_, err = object.GetObjectRetention(ctx, project, plain, "key", nil)
	is(t, "retention in a bucket without lock", err, bucket.ErrBucketNoLock)
	is(t, "set in a bucket without lock", object.SetObjectRetention(ctx, project, plain, "key", nil, longer, nil), bucket.ErrBucketNoLock)
	dropLocked(t, project, name)
}

func TestPrivateObjectMetadata(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	putVersion(t, project, name, "key", []byte("x"), nil)
	// An ETag is sealed with the key of the metadata: who changes one alone would lose the other.
	is(t, "metadata without the ETag", object.UpdateObjectMetadata(ctx, project, name, "key",
		uplink.CustomMetadata{"new": "1"}, nil), uplink.ErrObjectNotFound)
	must(t, object.UpdateObjectMetadata(ctx, project, name, "key", uplink.CustomMetadata{"new": "2"},
		&object.UpdateObjectMetadataOptions{ETag: []byte("other")}))
	stat, err := object.StatObject(ctx, project, name, "key", nil)
	must(t, err)
	if stat.Custom["new"] != "2" || len(stat.Custom) != 1 || string(stat.ETag) != "other" {
		t.Errorf("after the update: %v, etag %q", stat.Custom, stat.ETag)
	}
	must(t, goClient(t, shared.grant).Put(ctx, name, "plain", []byte("x"), putOptions{}))
	must(t, object.UpdateObjectMetadata(ctx, project, name, "plain", uplink.CustomMetadata{"new": "3"}, nil))
	stat, err = object.StatObject(ctx, project, name, "plain", nil)
	must(t, err)
	if stat.Custom["new"] != "3" || len(stat.ETag) != 0 {
		t.Errorf("without an ETag: %v, etag %q", stat.Custom, stat.ETag)
	}
	is(t, "update of nothing", object.UpdateObjectMetadata(ctx, project, name, "nothing", nil, nil), uplink.ErrObjectNotFound)
	is(t, "update without a key", object.UpdateObjectMetadata(ctx, project, name, "", nil, nil), uplink.ErrObjectKeyInvalid)
}

func TestPrivateObjectIPs(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	putVersion(t, project, name, "key", content("ips", 50000), nil)
	ips, err := object.GetObjectIPs(ctx, uplink.Config{}, sharedAccess(t), name, "key")
	must(t, err)
	if len(ips) < 4 {
		t.Errorf("%d addresses", len(ips))
	}
	summary, err := object.GetObjectIPSummary(ctx, uplink.Config{}, sharedAccess(t), name, "key")
	must(t, err)
	if summary.SegmentCount != 1 || summary.PieceCount < 8 || summary.ReliablePieceCount < 4 {
		t.Errorf("summary %+v", summary)
	}
	_, err = object.GetObjectIPs(ctx, uplink.Config{}, sharedAccess(t), name, "nothing")
	if err == nil {
		t.Error("addresses of nothing")
	}
	_, err = object.GetObjectIPSummary(ctx, uplink.Config{}, sharedAccess(t), name, "")
	if err == nil {
		t.Error("addresses without a key")
	}
}

func TestPrivateMultipart(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newLockBucket(t, project)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	begun, err := multipart.BeginUpload(ctx, project, name, "parts", &multipart.UploadOptions{
		CustomMetadata: uplink.CustomMetadata{"a": "b"},
		Retention:      metaclient.Retention{Mode: storj.GovernanceMode, RetainUntil: until}})
	must(t, err)
	putPart(t, project, name, "parts", begun.UploadID, 1, content("part", 30000))
	made, err := object.CommitUpload(ctx, project, name, "parts", begun.UploadID,
		&metaclient.CommitUploadOptions{CustomMetadata: map[string]string{"c": "d"}, ETag: []byte("whole")})
	must(t, err)
	if len(made.Version) != 16 || !made.IsVersioned {
		t.Errorf("committed: %+v", made)
	}
	stat, err := object.StatObject(ctx, project, name, "parts", made.Version)
	must(t, err)
	if stat.Custom["c"] != "d" || string(stat.ETag) != "whole" || stat.Retention == nil || !stat.Retention.RetainUntil.Equal(until) {
		t.Errorf("stat: %+v", stat)
	}
	data, _, err := getVersion(ctx, project, name, "parts", made.Version, nil)
	must(t, err)
	sameBytes(t, "parts", data, content("part", 30000))

	begun, err = multipart.BeginUpload(ctx, project, name, "parts", nil)
	must(t, err)
	_, err = object.CommitUpload(ctx, project, name, "parts", begun.UploadID, &metaclient.CommitUploadOptions{IfNoneMatch: []string{"*"}})
	is(t, "committed onto something", err, object.ErrFailedPrecondition)
	must(t, project.AbortUpload(ctx, name, "parts", begun.UploadID))
	_, err = object.CommitUpload(ctx, project, name, "parts", begun.UploadID, nil)
	if err == nil {
		t.Error("committed after the abort")
	}
	_, err = object.CommitUpload(ctx, project, name, "parts", "no upload id", nil)
	is(t, "no upload ID", err, uplink.ErrUploadIDInvalid)
	_, err = multipart.BeginUpload(ctx, project, name, "", nil)
	is(t, "begun without a key", err, uplink.ErrObjectKeyInvalid)
	_, err = multipart.BeginUpload(ctx, project, "", "key", nil)
	is(t, "begun without a bucket", err, uplink.ErrBucketNameInvalid)
	_, err = multipart.BeginUpload(ctx, project, absentBucket, "key", nil)
	is(t, "begun in no bucket", err, uplink.ErrBucketNotFound)
	plain := newBucket(t)
	_, err = multipart.BeginUpload(ctx, project, plain, "key", &multipart.UploadOptions{LegalHold: true})
	if err == nil {
		t.Error("a hold in a bucket without lock")
	}
	dropLocked(t, project, name)
}
