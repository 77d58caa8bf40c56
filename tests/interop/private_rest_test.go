package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"storj.io/common/memory"
	"storj.io/common/pb"
	"storj.io/common/rpc"
	"storj.io/common/rpc/rpcstatus"
	"storj.io/common/storj"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcserver"
	"storj.io/uplink"
	"storj.io/uplink/edge"
	"storj.io/uplink/private/access"
	privateEdge "storj.io/uplink/private/edge"
	"storj.io/uplink/private/license"
	"storj.io/uplink/private/metaclient"
	"storj.io/uplink/private/project"
	"storj.io/uplink/private/testuplink"
	"storj.io/uplink/private/transport"
	"storj.io/uplink/private/version"
)

func TestPrivateAccess(t *testing.T) {
	ctx, a := t.Context(), sharedAccess(t)
	name := newBucket(t)
	must(t, goClient(t, shared.grant).Put(ctx, name, "in/key", []byte("in"), putOptions{}))
	open := func(options ...access.ShareOption) *uplink.Project {
		t.Helper()
		shared, err := access.Share(a, options...)
		must(t, err)
		text, err := shared.Serialize()
		must(t, err)
		return openGo(t, text, uplink.Config{}).project
	}
	p := open(access.WithPermissions(access.Download, access.List), access.WithPrefix(name, "in/"))
	_, err := p.StatObject(ctx, name, "in/key")
	must(t, err)
	_, err = p.StatObject(ctx, name, "out/key")
	is(t, "outside of the prefix", err, uplink.ErrPermissionDenied)
	_, err = p.DeleteObject(ctx, name, "in/key")
	is(t, "deleted by a reader", err, uplink.ErrPermissionDenied)
	p = open(access.WithAllPermissions(), access.NotAfter(time.Now().Add(time.Hour)))
	_, err = p.StatBucket(ctx, name)
	must(t, err)
	p = open(access.WithAllPermissions(), access.NotBefore(time.Now().Add(time.Hour)))
	_, err = p.StatBucket(ctx, name)
	is(t, "before its time", err, uplink.ErrPermissionDenied)
	p = open(access.WithAllPermissions(), access.NotAfter(time.Now().Add(-time.Hour)))
	_, err = p.StatBucket(ctx, name)
	is(t, "after its time", err, uplink.ErrPermissionDenied)
	p = open(access.WithAllPermissions(), access.WithMaxObjectTTL(time.Hour))
	upload, err := p.UploadObject(ctx, name, "ttl", nil)
	must(t, err)
	must(t, upload.Commit())
	if expires := upload.Info().System.Expires; !expires.IsZero() {
		t.Logf("the upload knows of its end: %v", expires)
	}
	stat, err := p.StatObject(ctx, name, "ttl")
	must(t, err)
	if left := time.Until(stat.System.Expires); left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("an object of a key with a TTL of one hour ends in %v", left)
	}
	_, err = p.UploadObject(ctx, name, "late", &uplink.UploadOptions{Expires: time.Now().Add(2 * time.Hour)})
	if err == nil {
		t.Log("an end behind the TTL is refused by the satellite at the commit or before")
	}
	_, err = access.Share(a, access.WithPermissions(access.Permission(99)))
	if !access.ErrPermissionInvalid.Has(err) {
		t.Errorf("a permission that is none: %v", err)
	}
	_, err = access.Share(a, access.WithMaxObjectTTL(-time.Hour))
	if err == nil {
		t.Error("a negative TTL")
	}
	_, err = access.Share(a)
	if err == nil {
		t.Error("a share without any permission")
	}
	if access.APIKey(a).Serialize() != shared.apiKey {
		t.Error("another API key")
	}
}

func TestPrivateAccessPathCipher(t *testing.T) {
	ctx := t.Context()
	name := newBucket(t)
	config := uplink.Config{}
	access.DisableObjectKeyEncryption(&config)
	a, err := config.RequestAccessWithPassphrase(ctx, shared.satellite, shared.apiKey, "plain names")
	must(t, err)
	text, err := a.Serialize()
	must(t, err)
	must(t, openGo(t, text, config).Put(ctx, name, "name in clear", []byte("x"), putOptions{}))
	list, _, err := newRaw(t).ListObjects(ctx, metaclient.ListObjectsParams{Bucket: []byte(name), Recursive: true})
	must(t, err)
	if len(list) != 1 || string(list[0].EncryptedObjectKey) != "name in clear" {
		t.Errorf("listed %+v", list)
	}
	// The bypass: encrypted names as they are, for who must not read them.
	bypass := sharedAccess(t)
	must(t, access.EnablePathEncryptionBypass(bypass))
	must(t, goClient(t, shared.grant).Put(ctx, name, "sealed", []byte("x"), putOptions{}))
	p, err := uplink.OpenProject(ctx, bypass)
	must(t, err)
	defer func() { must(t, p.Close()) }()
	objects, keys := p.ListObjects(ctx, name, &uplink.ListObjectsOptions{Recursive: true}), 0
	for ; objects.Next(); keys++ {
		if objects.Item().Key == "sealed" {
			t.Error("a name is read in spite of the bypass")
		}
	}
	must(t, objects.Err())
	if keys != 2 {
		t.Errorf("%d names with the bypass", keys)
	}
}

func TestPrivateProject(t *testing.T) {
	ctx, a := t.Context(), sharedAccess(t)
	id, err := project.GetPublicID(ctx, uplink.Config{}, a)
	must(t, err)
	info, err := project.GetProjectInfo(ctx, uplink.Config{}, a)
	must(t, err)
	if id.IsZero() || info.PublicId != id || len(info.Salt) == 0 || info.CreatedAt.IsZero() {
		t.Errorf("id %v, info %+v", id, info)
	}
	foreign, err := uplink.ParseAccess(foreignGrant(t))
	must(t, err)
	_, err = project.GetPublicID(ctx, uplink.Config{}, foreign)
	is(t, "ID for a foreign key", err, uplink.ErrPermissionDenied)
	_, err = project.GetProjectInfo(ctx, uplink.Config{}, foreign)
	is(t, "info for a foreign key", err, uplink.ErrPermissionDenied)
	p := openProject(t)
	project.SetSatelliteSigner(p, nil) // none, as without the call
	_, err = p.StatBucket(ctx, absentBucket)
	is(t, "no bucket", err, uplink.ErrBucketNotFound)
}

func TestPrivateLicense(t *testing.T) {
	ctx := t.Context()
	list, err := license.List(ctx, openProject(t), "", newBucket(t))
	must(t, err)
	if len(list) != 0 {
		t.Errorf("licenses nobody gave: %+v", list)
	}
	_, err = license.List(ctx, openGo(t, foreignGrant(t), uplink.Config{}).project, "", "")
	is(t, "licenses for a foreign key", err, uplink.ErrPermissionDenied)
}

func TestPrivateTransport(t *testing.T) {
	ctx := t.Context()
	name := newBucket(t)
	nodes, satellites := rpc.NewDefaultConnectionPool(), rpc.NewDefaultConnectionPool()
	defer func() { _, _ = nodes.Close(), satellites.Close() }()
	config := uplink.Config{}
	must(t, transport.SetConnectionPool(ctx, &config, nodes))
	must(t, transport.SetSatelliteConnectionPool(ctx, &config, satellites))
	transport.SetMaximumBufferSize(&config, 65536)
	transport.DisableBackgroundQoS(&config, true)
	c := openGo(t, shared.grant, config)
	must(t, c.Put(ctx, name, "key", content("pool", 100000), putOptions{}))
	got, err := c.Get(ctx, name, "key", 0, -1)
	must(t, err)
	sameBytes(t, "over pools of one's own", got, content("pool", 100000))
	must(t, transport.SetConnectionPool(ctx, &config, nil))
	must(t, transport.SetSatelliteConnectionPool(ctx, &config, nil))
	_, err = openGo(t, shared.grant, config).Get(ctx, name, "none", 0, -1)
	is(t, "without pools, and no object", err, uplink.ErrObjectNotFound)
}

func TestPrivateTestuplink(t *testing.T) {
	ctx := t.Context()
	name := newBucket(t)
	small := testuplink.WithMaxSegmentSize(ctx, 100*memory.KiB)
	if size, ok := testuplink.GetMaxSegmentSize(small); !ok || size != 100*memory.KiB {
		t.Errorf("segment size %v, %v", size, ok)
	}
	if _, ok := testuplink.GetMaxSegmentSize(ctx); ok {
		t.Error("a segment size nobody set")
	}
	var log bytes.Buffer
	upload := testuplink.WithLogWriterContext(testuplink.WithLogWriter(small, &log), "test", "interop")
	testuplink.Log(upload, "a line")
	if testuplink.GetLogWriter(upload) == nil || testuplink.GetLogWriter(ctx) != nil || !strings.Contains(log.String(), "a line") {
		t.Errorf("log %q", log.String())
	}
	config := testuplink.DefaultConcurrentSegmentUploadsConfig()
	upload = testuplink.WithConcurrentSegmentUploadsConfig(upload, config)
	if got := testuplink.GetConcurrentSegmentUploadsConfig(upload); got == nil || *got != config {
		t.Errorf("concurrency %+v", got)
	}
	if testuplink.GetConcurrentSegmentUploadsConfig(testuplink.WithConcurrentSegmentUploadsDefaultConfig(ctx)) == nil {
		t.Error("no default concurrency")
	}
	data := content("segments", 450000)
	c := newGoUplink(t, shared.grant)
	must(t, c.Put(upload, name, "key", data, putOptions{}))
	raw, _, err := newRaw(t).ListObjects(ctx, metaclient.ListObjectsParams{Bucket: []byte(name), IncludeSystemMetadata: true})
	must(t, err)
	if len(raw) != 1 {
		t.Fatalf("%d objects", len(raw))
	}
	// Without plain sizes of segments, as very old clients left them.
	old := testuplink.WithoutPlainSize(small)
	if !testuplink.IsWithoutPlainSize(old) || testuplink.IsWithoutPlainSize(ctx) {
		t.Error("plain sizes")
	}
	must(t, c.Put(old, name, "old", data, putOptions{}))
	for _, key := range []string{"key", "old"} {
		for _, reader := range []client{c, acreClient(t, shared.grant)} {
			got, err := reader.Get(ctx, name, key, 0, -1)
			must(t, err)
			sameBytes(t, reader.Name()+" reads "+key, got, data)
		}
	}
	for i := range 5 {
		must(t, c.Put(ctx, name, fmt.Sprint("list/", i), nil, putOptions{}))
	}
	twos := testuplink.WithListLimit(ctx, 2)
	if testuplink.GetListLimit(twos) != 2 || testuplink.GetListLimit(ctx) != 0 {
		t.Error("list limit")
	}
	list, err := c.List(twos, name, "list/", true)
	must(t, err)
	if len(list) != 5 {
		t.Errorf("%d of 5 in pages of two", len(list))
	}
	got, err := c.Get(twos, name, "key", 0, -1) // its segments in pages of two
	must(t, err)
	sameBytes(t, "segments in pages of two", got, data)
}

// authService answers registrations as the edge's does.
type authService struct{ refuse bool }

func (a *authService) RegisterAccess(ctx context.Context, r *pb.EdgeRegisterAccessRequest) (*pb.EdgeRegisterAccessResponse, error) {
	if a.refuse {
		return nil, rpcstatus.Error(rpcstatus.InvalidArgument, "no")
	}
	until := time.Unix(2000000000, 0)
	return &pb.EdgeRegisterAccessResponse{AccessKeyId: "id", SecretKey: r.AccessGrant[:5], Endpoint: "https://gateway.test",
		FreeTierRestrictedExpiration: &until}, nil
}

func TestEdge(t *testing.T) {
	a := sharedAccess(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	service := &authService{}
	mux := drpcmux.New()
	must(t, pb.DRPCRegisterEdgeAuth(mux, service))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = drpcserver.New(mux).Serve(served, listener) }()

	config := edge.Config{AuthServiceAddress: listener.Addr().String(), InsecureUnencryptedConnection: true}
	got, err := config.RegisterAccess(ctx, a, &edge.RegisterAccessOptions{Public: true})
	must(t, err)
	text, err := a.Serialize()
	must(t, err)
	if got.AccessKeyID != "id" || got.SecretKey != text[:5] || got.Endpoint != "https://gateway.test" {
		t.Errorf("registered as %+v", got)
	}
	private, err := privateEdge.RegisterAccess(ctx, &config, a, nil)
	must(t, err)
	if private.FreeTierRestrictedExpiration == nil || private.FreeTierRestrictedExpiration.Unix() != 2000000000 {
		t.Errorf("restricted until %v", private.FreeTierRestrictedExpiration)
	}
	service.refuse = true
	_, err = config.RegisterAccess(ctx, a, nil)
	is(t, "refused", err, edge.ErrRegisterAccessFailed)
	_, err = privateEdge.RegisterAccess(ctx, &config, a, nil)
	is(t, "refused", err, edge.ErrRegisterAccessFailed)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	config.AuthServiceAddress = nobody.Addr().String()
	must(t, nobody.Close())
	_, err = config.RegisterAccess(ctx, a, nil)
	is(t, "nobody there", err, edge.ErrRegisterAccessFailed) // dialed when there is something to say

	url, err := edge.JoinShareURL("https://link.test", "id", "bucket", "a/key", &edge.ShareURLOptions{Raw: true})
	must(t, err)
	if url != "https://link.test/raw/id/bucket/a/key" {
		t.Error(url)
	}
	for _, bad := range [][3]string{{"", "bucket", "key"}, {"id", "", "key"}} {
		if _, err = edge.JoinShareURL("https://link.test", bad[0], bad[1], bad[2], nil); err == nil {
			t.Errorf("joined %v", bad)
		}
	}
}

func TestPrivateVersion(t *testing.T) {
	agent, err := version.AppendVersionToUserAgent("interop/1.0")
	must(t, err)
	if !strings.HasPrefix(agent, "interop/1.0") {
		t.Error(agent)
	}
	if _, err = version.AppendVersionToUserAgent("\x00/"); err == nil {
		t.Log("without a version of its own the library takes any user agent")
	}
}

// The layer between the library and metainfo: plain names and metadata, the library's own objects.
func TestDB(t *testing.T) {
	db, ctx := newDB(t), t.Context()
	name := freeName("db")
	made, err := db.CreateBucket(ctx, name)
	must(t, err)
	_, err = db.CreateBucket(ctx, "")
	if !metaclient.ErrNoBucket.Has(err) {
		t.Errorf("made without a name: %v", err)
	}
	got, err := db.GetBucket(ctx, name)
	must(t, err)
	if got.Name != made.Name {
		t.Errorf("made %+v, got %+v", made, got)
	}
	_, err = db.GetBucket(ctx, absentBucket)
	if !metaclient.ErrBucketNotFound.Has(err) {
		t.Errorf("got none: %v", err)
	}
	buckets, err := db.ListBuckets(ctx, metaclient.BucketListOptions{Cursor: name, Direction: metaclient.Forward, Limit: 1})
	must(t, err)
	if len(buckets.Items) != 1 || buckets.Items[0].Name != name {
		t.Errorf("listed %+v", buckets)
	}
	_, err = newForeignDB(t).ListBuckets(ctx, metaclient.BucketListOptions{Direction: metaclient.After})
	status(t, "listed with a foreign key", err, rpcstatus.PermissionDenied)

	// A pending object by the raw client, under the name this layer gives it.
	begun := pendingObject(t, db, name, "dir/key")
	pending, err := db.ListPendingObjectStreams(ctx, name, metaclient.ListOptions{Prefix: "dir/key", Direction: metaclient.After})
	must(t, err)
	if len(pending.Items) != 1 || !bytes.Equal(pending.Items[0].Stream.ID, begun) {
		t.Errorf("pending %+v", pending.Items)
	}
	_, err = db.ListPendingObjectStreams(ctx, "", metaclient.ListOptions{})
	if !metaclient.ErrNoBucket.Has(err) {
		t.Errorf("pending without a bucket: %v", err)
	}
	testDBObjects(t, db, name)
	gone, err := db.DeleteBucket(ctx, name, true)
	must(t, err)
	if gone.Name != name {
		t.Errorf("deleted %+v", gone)
	}
	_, err = db.DeleteBucket(ctx, name, false)
	if !metaclient.ErrBucketNotFound.Has(err) {
		t.Errorf("deleted twice: %v", err)
	}
}

func newForeignDB(t *testing.T) *metaclient.DB {
	t.Helper()
	return metaclient.New(rawForeign(t), aesGCM, encryptionStore())
}

func pendingObject(t *testing.T, db *metaclient.DB, bucketName, key string) storj.StreamID {
	t.Helper()
	c := newRaw(t)
	stream := rawBegin(t, c, bucketName, encryptedName(t, bucketName, key))
	must(t, c.MakeInlineSegment(t.Context(), metaclient.MakeInlineSegmentParams{StreamID: stream,
		Encryption: wrappedKey(t, bucketName, key), EncryptedInlineData: content("cipher", 64), PlainSize: 48}))
	return stream
}

func testDBObjects(t *testing.T, db *metaclient.DB, name string) {
	ctx := t.Context()
	c := newRaw(t)
	pendingStream := pendingObject(t, db, name, "committed")
	id := uploadID(pendingStream)
	made, err := db.CommitObject(ctx, name, "committed", id, map[string]string{"a": "b"}, []byte("etag"), aesGCM, nil)
	must(t, err)
	if made.Path != "committed" || made.Metadata["a"] != "b" {
		t.Errorf("committed %+v", made)
	}
	_, err = db.CommitObject(ctx, name, "committed", id, nil, nil, aesGCM, nil)
	if err == nil {
		t.Error("committed twice")
	}
	got, err := db.GetObject(ctx, name, "committed", nil)
	must(t, err)
	if got.Metadata["a"] != "b" || string(got.ETag) != "etag" || got.Size != 48 {
		t.Errorf("got %+v", got)
	}
	_, err = db.GetObject(ctx, name, "none", nil)
	if !metaclient.ErrObjectNotFound.Has(err) {
		t.Errorf("got none: %v", err)
	}
	item, err := c.GetObject(ctx, metaclient.GetObjectParams{Bucket: []byte(name), EncryptedObjectKey: []byte(encryptedName(t, name, "committed"))})
	must(t, err)
	again, err := db.ObjectFromRawObjectItem(ctx, name, "committed", item)
	must(t, err)
	if again.Size != got.Size || again.Metadata["a"] != "b" {
		t.Errorf("from the raw item %+v", again)
	}
	if _, err = db.ObjectFromRawObjectItem(ctx, name, "another name", item); err == nil {
		t.Error("metadata opens under another name")
	}
	list, err := db.ListObjects(ctx, name, metaclient.ListOptions{Direction: metaclient.After, Recursive: true, Delimiter: "/",
		IncludeSystemMetadata: true, IncludeCustomMetadata: true})
	must(t, err)
	if len(list.Items) != 1 || list.Items[0].Path != "committed" {
		t.Errorf("listed %+v", list.Items)
	}
	list.More = true
	if next := (metaclient.ListOptions{Limit: 1}).NextPage(list); next.Limit != 1 {
		t.Errorf("next page %+v", next)
	}
	_, err = db.ListObjects(ctx, absentBucket, metaclient.ListOptions{Direction: metaclient.After, Delimiter: "/"})
	status(t, "listed in none", err, rpcstatus.NotFound)
	must(t, db.UpdateObjectMetadata(ctx, name, "committed", map[string]string{"c": "d"}, []byte("other"), true))
	if err = db.UpdateObjectMetadata(ctx, name, "none", nil, nil, false); err == nil {
		t.Error("updated none")
	}
	down, err := db.DownloadObject(ctx, name, "committed", nil, metaclient.DownloadOptions{})
	must(t, err)
	if len(down.DownloadedSegments) != 1 || down.Object.Metadata["c"] != "d" {
		t.Errorf("downloaded %+v", down.Object)
	}
	_, err = db.DownloadObject(ctx, name, "none", nil, metaclient.DownloadOptions{})
	if !metaclient.ErrObjectNotFound.Has(err) {
		t.Errorf("downloaded none: %v", err)
	}
	segments, err := db.ListSegments(ctx, metaclient.ListSegmentsParams{StreamID: got.Stream.ID})
	must(t, err)
	if len(segments.Items) != 1 {
		t.Errorf("segments %+v", segments)
	}
	_, err = db.ListSegments(ctx, metaclient.ListSegmentsParams{StreamID: []byte("none")})
	status(t, "segments of nothing", err, rpcstatus.InvalidArgument)
	testDBRest(t, db, name)
}

func testDBRest(t *testing.T, db *metaclient.DB, name string) {
	ctx := t.Context()
	ips, err := db.GetObjectIPs(ctx, metaclient.Bucket{Name: name}, "committed")
	must(t, err)
	if ips.PieceCount != 0 {
		t.Errorf("an inline object at %+v", ips)
	}
	_, err = db.GetObjectIPs(ctx, metaclient.Bucket{Name: name}, "")
	if !metaclient.ErrNoPath.Has(err) {
		t.Errorf("addresses without a name: %v", err)
	}
	_, err = db.GetObjectLegalHold(ctx, name, "committed", nil)
	if !metaclient.ErrBucketNoLock.Has(err) {
		t.Errorf("hold without lock: %v", err)
	}
	_, err = db.GetObjectRetention(ctx, name, "committed", nil)
	if !metaclient.ErrBucketNoLock.Has(err) {
		t.Errorf("retention without lock: %v", err)
	}
	if err = db.SetObjectLegalHold(ctx, name, "committed", nil, true); !metaclient.ErrBucketNoLock.Has(err) {
		t.Errorf("hold set without lock: %v", err)
	}
	if err = db.SetObjectRetention(ctx, name, "committed", nil, metaclient.Retention{Mode: storj.GovernanceMode,
		RetainUntil: time.Now().Add(time.Hour)}, metaclient.SetObjectRetentionOptions{}); !metaclient.ErrBucketNoLock.Has(err) {
		t.Errorf("retention set without lock: %v", err)
	}
	locked := newLockBucket(t, openProject(t))
	pendingStream := pendingObject(t, db, locked, "held")
	_, err = db.CommitObject(ctx, locked, "held", uploadID(pendingStream), nil, nil, aesGCM, nil)
	must(t, err)
	must(t, db.SetObjectLegalHold(ctx, locked, "held", nil, true))
	on, err := db.GetObjectLegalHold(ctx, locked, "held", nil)
	must(t, err)
	if !on {
		t.Error("the hold is off")
	}
	must(t, db.SetObjectLegalHold(ctx, locked, "held", nil, false))
	must(t, db.SetObjectRetention(ctx, locked, "held", nil, metaclient.Retention{Mode: storj.GovernanceMode,
		RetainUntil: time.Now().Add(time.Hour)}, metaclient.SetObjectRetentionOptions{}))
	kept, err := db.GetObjectRetention(ctx, locked, "held", nil)
	must(t, err)
	if kept.Mode != storj.GovernanceMode {
		t.Errorf("kept %+v", kept)
	}
	dropLocked(t, openProject(t), locked)

	copied, err := db.CopyObject(ctx, name, "committed", nil, name, "copy", metaclient.CopyObjectOptions{})
	must(t, err)
	if copied.Path != "copy" {
		t.Errorf("copied %+v", copied)
	}
	_, err = db.CopyObject(ctx, name, "none", nil, name, "copy", metaclient.CopyObjectOptions{})
	status(t, "copied none", err, rpcstatus.NotFound)
	results, err := db.DeleteObjects(ctx, name, []metaclient.DeleteObjectsItem{{ObjectKey: "copy"}}, metaclient.DeleteObjectsOptions{})
	must(t, err)
	if len(results) != 1 || results[0].ObjectKey != "copy" || results[0].Status != storj.DeleteObjectsStatusOK {
		t.Errorf("deleted %+v", results)
	}
	_, err = db.DeleteObjects(ctx, name, nil, metaclient.DeleteObjectsOptions{})
	if !metaclient.ErrDeleteObjectsNoItems.Has(err) {
		t.Errorf("deleted nothing: %v", err)
	}
	gone, err := db.DeleteObject(ctx, name, "committed", nil, metaclient.DeleteObjectOptions{})
	must(t, err)
	if gone.Path != "committed" {
		t.Errorf("deleted %+v", gone)
	}
	_, err = db.DeleteObject(ctx, name, "", nil, metaclient.DeleteObjectOptions{})
	if !metaclient.ErrNoPath.Has(err) {
		t.Errorf("deleted without a name: %v", err)
	}
	testDBLocal(t, db, name)
}

// What this layer answers without asking anybody.
func testDBLocal(t *testing.T, db *metaclient.DB, name string) {
	ctx := t.Context()
	mutable, err := db.CreateObject(ctx, name, "new", &metaclient.CreateObject{Metadata: map[string]string{"x": "y"}, ETag: []byte("e")})
	must(t, err)
	stream, err := mutable.CreateStream(ctx)
	must(t, err)
	etag, err := stream.ETag()
	must(t, err)
	metadata, err := stream.Metadata()
	must(t, err)
	if stream.BucketName() != name || stream.Path() != "new" || mutable.Info().Path != "new" || stream.Info().Path != "new" ||
		string(etag) != "e" || len(metadata) == 0 || !stream.Expires().IsZero() {
		t.Errorf("stream %+v", stream.Info())
	}
	_, err = mutable.CreateDynamicStream(ctx, stream)
	must(t, err)
	if _, err = db.CreateObject(ctx, "", "new", nil); !metaclient.ErrNoBucket.Has(err) {
		t.Errorf("created without a bucket: %v", err)
	}
	for what, call := range map[string]func() error{
		"ModifyObject":        func() error { _, err := db.ModifyObject(ctx, name, "new"); return err },
		"ModifyPendingObject": func() error { _, err := db.ModifyPendingObject(ctx, name, "new"); return err },
		"ListPendingObjects":  func() error { _, err := db.ListPendingObjects(ctx, name, metaclient.ListOptions{}); return err },
	} {
		if call() == nil {
			t.Errorf("%s, which the library has not, works", what)
		}
	}
	span, err := metaclient.NewStreamRange(-5, -1)
	must(t, err)
	if span = span.Normalize(20); span.Start != 15 || span.Limit != 20 {
		t.Errorf("the last five of twenty: %+v", span)
	}
	if _, err = metaclient.NewStreamRange(-5, 3); err == nil {
		t.Error("a suffix with a length")
	}
	tries := 0
	must(t, metaclient.WithRetry(ctx, func(context.Context) error {
		if tries++; tries < 3 {
			return &net.OpError{Op: "dial", Err: errors.New("refused")}
		}
		return nil
	}))
	if tries != 3 || metaclient.NoopWithRetry(ctx, func(context.Context) error { return errors.New("once") }) == nil {
		t.Errorf("%d tries", tries)
	}
	var wait metaclient.ExponentialBackoff
	if wait.Maxed() || !wait.Wait(ctx) {
		t.Error("the first pause is the longest")
	}
}
