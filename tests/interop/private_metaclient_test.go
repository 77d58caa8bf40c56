package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"storj.io/common/pb"
	"storj.io/common/rpc"
	"storj.io/common/rpc/rpcstatus"
	"storj.io/common/storj"
	"storj.io/uplink"
	"storj.io/uplink/private/access"
	"storj.io/uplink/private/metaclient"
	"storj.io/uplink/private/piecestore"
)

// sealed is what stands for encrypted metadata: the satellite cannot tell.
func sealed(t *testing.T, segments int64) metaclient.EncryptedUserData {
	t.Helper()
	meta, err := pb.Marshal(&pb.StreamMeta{EncryptedStreamInfo: []byte("sealed"), NumberOfSegments: segments,
		EncryptionType: int32(pb.CipherSuite_ENC_AESGCM), EncryptionBlockSize: 7424})
	must(t, err)
	return metaclient.EncryptedUserData{EncryptedMetadata: meta, EncryptedMetadataEncryptedKey: bytes.Repeat([]byte{7}, 48),
		EncryptedMetadataNonce: storj.Nonce{9}}
}

var segmentKey = metaclient.SegmentEncryption{EncryptedKeyNonce: storj.Nonce{1},
	EncryptedKey: storj.EncryptedPrivateKey(bytes.Repeat([]byte{5}, 48))}

func rawBegin(t *testing.T, c *metaclient.Client, bucket, key string) storj.StreamID {
	t.Helper()
	begun, err := c.BeginObject(t.Context(), metaclient.BeginObjectParams{Bucket: []byte(bucket),
		EncryptedObjectKey: []byte(key), EncryptionParameters: aesGCM})
	must(t, err)
	return begun.StreamID
}

func rawInline(t *testing.T, c *metaclient.Client, bucket, key string, data []byte) metaclient.RawObjectItem {
	t.Helper()
	stream := rawBegin(t, c, bucket, key)
	must(t, c.MakeInlineSegment(t.Context(), metaclient.MakeInlineSegmentParams{StreamID: stream, Encryption: segmentKey,
		EncryptedInlineData: data, PlainSize: int64(len(data)) - 16}))
	made, err := c.CommitObjectWithResponse(t.Context(), metaclient.CommitObjectParams{StreamID: stream, EncryptedUserData: sealed(t, 1)})
	must(t, err)
	return made.Object
}

func TestRawBuckets(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	name := []byte(freeName("raw"))
	made, err := c.CreateBucket(ctx, metaclient.CreateBucketParams{Name: name})
	must(t, err)
	if made.Name != string(name) || made.Created.IsZero() {
		t.Errorf("made %+v", made)
	}
	_, err = c.CreateBucket(ctx, metaclient.CreateBucketParams{Name: name})
	status(t, "made twice", err, rpcstatus.AlreadyExists)
	_, err = c.CreateBucket(ctx, metaclient.CreateBucketParams{Name: []byte("Not_A_Name")})
	status(t, "a wrong name", err, rpcstatus.InvalidArgument)
	got, err := c.GetBucket(ctx, metaclient.GetBucketParams{Name: name})
	must(t, err)
	if got.Name != made.Name {
		t.Errorf("got %+v", got)
	}
	_, err = c.GetBucket(ctx, metaclient.GetBucketParams{Name: []byte(absentBucket)})
	status(t, "get of none", err, rpcstatus.NotFound)
	list, err := c.ListBuckets(ctx, metaclient.ListBucketsParams{ListOpts: metaclient.BucketListOptions{
		Cursor: string(name), Direction: metaclient.Forward, Limit: 1}})
	must(t, err)
	if len(list.Items) != 1 || list.Items[0].Name != string(name) {
		t.Errorf("listed %+v", list)
	}
	if !list.More && (metaclient.BucketListOptions{Limit: 1}).NextPage(list).Limit != 0 {
		t.Error("a page after the last")
	}
	list.More = true
	next := metaclient.BucketListOptions{Limit: 1}.NextPage(list)
	if next.Cursor != string(name) {
		t.Errorf("next page %+v", next)
	}
	_, err = rawForeign(t).ListBuckets(ctx, metaclient.ListBucketsParams{ListOpts: metaclient.BucketListOptions{Direction: metaclient.After}})
	status(t, "listed with a foreign key", err, rpcstatus.PermissionDenied)
	it := metaclient.IterateBuckets(ctx, metaclient.IterateBucketsOptions{Limit: 2,
		DialClientFunc: func() (*metaclient.Client, error) { return newRaw(t), nil }})
	found := false
	for it.Next() {
		found = found || it.Item().Name == string(name)
	}
	must(t, it.Err())
	if !found {
		t.Error("an iteration in twos misses the bucket")
	}
	broken := metaclient.IterateBuckets(ctx, metaclient.IterateBucketsOptions{
		DialClientFunc: func() (*metaclient.Client, error) { return nil, errors.New("no line") }})
	if broken.Next() || broken.Err() == nil || broken.Item() != nil {
		t.Error("an iteration that cannot dial goes on")
	}

	versioning, err := c.GetBucketVersioning(ctx, metaclient.GetBucketVersioningParams{Name: name})
	must(t, err)
	if versioning.Versioning != 1 {
		t.Errorf("versioning %d", versioning.Versioning)
	}
	must(t, c.SetBucketVersioning(ctx, metaclient.SetBucketVersioningParams{Name: name, Versioning: true}))
	status(t, "versions of none", c.SetBucketVersioning(ctx, metaclient.SetBucketVersioningParams{Name: []byte(absentBucket)}), rpcstatus.NotFound)
	_, err = c.GetBucketVersioning(ctx, metaclient.GetBucketVersioningParams{Name: []byte(absentBucket)})
	status(t, "versioning of none", err, rpcstatus.NotFound)
	_, err = c.GetBucketLocation(ctx, metaclient.GetBucketLocationParams{Name: name})
	must(t, err)
	_, err = c.GetBucketLocation(ctx, metaclient.GetBucketLocationParams{Name: []byte(absentBucket)})
	status(t, "location of none", err, rpcstatus.NotFound)
	must(t, c.SetBucketTagging(ctx, metaclient.SetBucketTaggingParams{Name: name, Tags: []metaclient.BucketTag{{Key: "a", Value: "b"}}}))
	tags, err := c.GetBucketTagging(ctx, metaclient.GetBucketTaggingParams{Name: name})
	must(t, err)
	if len(tags.Tags) != 1 || tags.Tags[0].Value != "b" {
		t.Errorf("tags %+v", tags)
	}
	_, err = c.GetBucketTagging(ctx, metaclient.GetBucketTaggingParams{Name: []byte(absentBucket)})
	status(t, "tags of none", err, rpcstatus.NotFound)
	status(t, "tagging none", c.SetBucketTagging(ctx, metaclient.SetBucketTaggingParams{Name: []byte(absentBucket)}), rpcstatus.NotFound)
	must(t, c.SetBucketObjectLockConfiguration(ctx, metaclient.SetBucketObjectLockConfigurationParams{Name: name, Enabled: true}))
	lock, err := c.GetBucketObjectLockConfiguration(ctx, metaclient.GetBucketObjectLockConfigurationParams{Name: name})
	must(t, err)
	if !lock.Enabled {
		t.Errorf("lock %+v", lock)
	}
	_, err = c.GetBucketObjectLockConfiguration(ctx, metaclient.GetBucketObjectLockConfigurationParams{Name: []byte(absentBucket)})
	status(t, "lock of none", err, rpcstatus.NotFound)
	status(t, "locking none", c.SetBucketObjectLockConfiguration(ctx,
		metaclient.SetBucketObjectLockConfigurationParams{Name: []byte(absentBucket), Enabled: true}), rpcstatus.NotFound)
	_, err = c.GetBucketNotificationConfiguration(ctx, metaclient.GetBucketNotificationConfigurationParams{Name: name})
	status(t, "notifications", err, rpcstatus.PermissionDenied)
	status(t, "notifying", c.SetBucketNotificationConfiguration(ctx, metaclient.SetBucketNotificationConfigurationParams{Name: name}), rpcstatus.PermissionDenied)
	gone, err := c.DeleteBucket(ctx, metaclient.DeleteBucketParams{Name: name})
	must(t, err)
	if gone.Name != string(name) {
		t.Errorf("deleted %+v", gone)
	}
	_, err = c.DeleteBucket(ctx, metaclient.DeleteBucketParams{Name: name})
	status(t, "deleted twice", err, rpcstatus.NotFound)
}

func TestRawObjects(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	name := newBucket(t)
	bucket := []byte(name)
	data := content("cipher", 1016)
	made := rawInline(t, c, name, "key", data)
	if made.PlainSize != 1000 || string(made.EncryptedObjectKey) != "key" || made.IsDeleteMarker() || made.IsVersioned() || made.IsPrefix() {
		t.Errorf("committed %+v", made)
	}
	_, err := c.BeginObject(ctx, metaclient.BeginObjectParams{Bucket: []byte(absentBucket), EncryptedObjectKey: []byte("k"), EncryptionParameters: aesGCM})
	status(t, "begun in no bucket", err, rpcstatus.NotFound)
	_, err = c.BeginObject(ctx, metaclient.BeginObjectParams{Bucket: bucket, EncryptionParameters: aesGCM})
	status(t, "begun without a key", err, rpcstatus.InvalidArgument)
	_, err = c.BeginObject(ctx, metaclient.BeginObjectParams{Bucket: bucket, EncryptedObjectKey: bytes.Repeat([]byte("k"), 4001), EncryptionParameters: aesGCM})
	status(t, "a key too long", err, rpcstatus.InvalidArgument)
	status(t, "inline into nothing", c.MakeInlineSegment(ctx, metaclient.MakeInlineSegmentParams{StreamID: []byte("none"),
		Encryption: segmentKey, EncryptedInlineData: data, PlainSize: 1000}), rpcstatus.InvalidArgument)
	status(t, "commit of nothing", c.CommitObject(ctx, metaclient.CommitObjectParams{StreamID: []byte("none")}), rpcstatus.InvalidArgument)
	_, err = c.CommitObjectWithResponse(ctx, metaclient.CommitObjectParams{StreamID: []byte("none")})
	status(t, "commit of nothing", err, rpcstatus.InvalidArgument)
	stream := rawBegin(t, c, name, "large inline")
	status(t, "inline too large", c.MakeInlineSegment(ctx, metaclient.MakeInlineSegmentParams{StreamID: stream, Encryption: segmentKey,
		EncryptedInlineData: make([]byte, 4737), PlainSize: 4096}), rpcstatus.InvalidArgument)
	must(t, c.CommitObject(ctx, metaclient.CommitObjectParams{StreamID: stream, EncryptedUserData: sealed(t, 0)}))
	status(t, "committed twice", c.CommitObject(ctx, metaclient.CommitObjectParams{StreamID: stream, EncryptedUserData: sealed(t, 0)}), rpcstatus.NotFound)

	got, err := c.GetObject(ctx, metaclient.GetObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("key")})
	must(t, err)
	if got.PlainSize != 1000 || !bytes.Equal(got.StreamID, made.StreamID) {
		t.Errorf("got %+v", got)
	}
	_, err = c.GetObject(ctx, metaclient.GetObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("none")})
	status(t, "get of none", err, rpcstatus.NotFound)
	down, err := c.DownloadObject(ctx, metaclient.DownloadObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("key")})
	must(t, err)
	if len(down.DownloadedSegments) != 1 {
		t.Fatalf("%d segments", len(down.DownloadedSegments))
	}
	sameBytes(t, "inline data", down.DownloadedSegments[0].Info.EncryptedInlineData, data)
	_, err = c.DownloadObject(ctx, metaclient.DownloadObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("none")})
	status(t, "download of none", err, rpcstatus.NotFound)
	segments, err := c.ListSegments(ctx, metaclient.ListSegmentsParams{StreamID: got.StreamID})
	must(t, err)
	if len(segments.Items) != 1 || segments.More || segments.Items[0].PlainSize != 1000 {
		t.Errorf("segments %+v", segments)
	}
	_, err = c.ListSegments(ctx, metaclient.ListSegmentsParams{StreamID: []byte("none")})
	status(t, "segments of nothing", err, rpcstatus.InvalidArgument)
	segment, err := c.DownloadSegmentWithRS(ctx, metaclient.DownloadSegmentParams{StreamID: got.StreamID})
	must(t, err)
	sameBytes(t, "inline segment", segment.Info.EncryptedInlineData, data)
	_, err = c.DownloadSegmentWithRS(ctx, metaclient.DownloadSegmentParams{StreamID: got.StreamID, Position: metaclient.SegmentPosition{Index: 3}})
	status(t, "no such segment", err, rpcstatus.NotFound)

	list, more, err := c.ListObjects(ctx, metaclient.ListObjectsParams{Bucket: bucket, Recursive: true, IncludeSystemMetadata: true})
	must(t, err)
	if more || len(list) != 2 || list[0].PlainSize != 1000 || list[0].IsDeleteMarker() || list[0].IsVersioned() {
		t.Errorf("listed %+v", list)
	}
	_, _, err = c.ListObjects(ctx, metaclient.ListObjectsParams{Bucket: []byte(absentBucket)})
	status(t, "listed no bucket", err, rpcstatus.NotFound)
	_, _, err = c.ListObjects(ctx, metaclient.ListObjectsParams{Bucket: bucket, Limit: -1})
	status(t, "a negative limit", err, rpcstatus.InvalidArgument)
	update := metaclient.UpdateObjectMetadataParams{Bucket: bucket, EncryptedObjectKey: []byte("key"), StreamID: got.StreamID, EncryptedUserData: sealed(t, 1)}
	must(t, c.UpdateObjectMetadata(ctx, update))
	update.EncryptedObjectKey = []byte("none")
	status(t, "update of none", c.UpdateObjectMetadata(ctx, update), rpcstatus.NotFound)

	pending := rawBegin(t, c, name, "pending")
	streams, err := c.ListPendingObjectStreams(ctx, metaclient.ListPendingObjectStreamsParams{Bucket: bucket, EncryptedObjectKey: []byte("pending"), Limit: 10})
	must(t, err)
	if len(streams.Items) != 1 || !bytes.Equal(streams.Items[0].StreamID, pending) {
		t.Errorf("pending %+v, want %x", streams.Items, pending)
	}
	_, err = c.ListPendingObjectStreams(ctx, metaclient.ListPendingObjectStreamsParams{Bucket: []byte(absentBucket), EncryptedObjectKey: []byte("x")})
	status(t, "pending in no bucket", err, rpcstatus.NotFound)
	_, err = c.BeginDeleteObject(ctx, metaclient.BeginDeleteObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("pending"), StreamID: pending, Status: 1})
	must(t, err)
	_, err = c.BeginDeleteObject(ctx, metaclient.BeginDeleteObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("pending"), Status: 1})
	status(t, "aborted without a stream", err, rpcstatus.InvalidArgument)
	results, err := c.DeleteObjects(ctx, metaclient.DeleteObjectsParams{Bucket: bucket, Items: []metaclient.RawDeleteObjectsItem{
		{EncryptedObjectKey: []byte("key")}, {EncryptedObjectKey: []byte("none")}}})
	must(t, err)
	if len(results) != 2 || results[0].Status != storj.DeleteObjectsStatusOK || results[1].Status != storj.DeleteObjectsStatusNotFound {
		t.Errorf("deleted %+v", results)
	}
	_, err = c.DeleteObjects(ctx, metaclient.DeleteObjectsParams{Bucket: bucket})
	status(t, "deleted nothing", err, rpcstatus.DeleteObjectsNoItems)
}

func TestRawCopyMove(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	name := newBucket(t)
	bucket := []byte(name)
	rawInline(t, c, name, "from", content("cipher", 500))
	copied, err := c.BeginCopyObject(ctx, metaclient.BeginCopyObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("from"),
		NewBucket: bucket, NewEncryptedObjectKey: []byte("copy")})
	must(t, err)
	if len(copied.SegmentKeys) != 1 || !bytes.Equal(copied.SegmentKeys[0].EncryptedKey, segmentKey.EncryptedKey) {
		t.Errorf("keys %+v", copied.SegmentKeys)
	}
	finish := metaclient.FinishCopyObjectParams{StreamID: copied.StreamID, NewBucket: bucket, NewEncryptedObjectKey: []byte("copy"),
		NewEncryptedUserData: metaclient.EncryptedUserData{EncryptedMetadataNonce: copied.EncryptedMetadataKeyNonce,
			EncryptedMetadataEncryptedKey: copied.EncryptedMetadataKey}, NewSegmentKeys: copied.SegmentKeys}
	made, err := c.FinishCopyObject(ctx, finish)
	must(t, err)
	if string(made.Info.EncryptedObjectKey) != "copy" {
		t.Errorf("copied to %+v", made.Info)
	}
	finish.NewSegmentKeys = nil
	finish.IfNoneMatch = []string{"*"}
	_, err = c.FinishCopyObject(ctx, finish)
	if err == nil {
		t.Error("copied without the keys of its segments, onto something")
	}
	_, err = c.BeginCopyObject(ctx, metaclient.BeginCopyObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("none"),
		NewBucket: bucket, NewEncryptedObjectKey: []byte("copy")})
	status(t, "copy of none", err, rpcstatus.NotFound)
	moved, err := c.BeginMoveObject(ctx, metaclient.BeginMoveObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("from"),
		NewBucket: bucket, NewEncryptedObjectKey: []byte("to")})
	must(t, err)
	move := metaclient.FinishMoveObjectParams{StreamID: moved.StreamID, NewBucket: bucket, NewEncryptedObjectKey: []byte("to"),
		NewEncryptedMetadataKeyNonce: moved.EncryptedMetadataKeyNonce, NewEncryptedMetadataKey: moved.EncryptedMetadataKey,
		NewSegmentKeys: moved.SegmentKeys}
	must(t, c.FinishMoveObject(ctx, move))
	if err := c.FinishMoveObject(ctx, move); err == nil {
		t.Error("moved twice")
	}
	_, err = c.BeginMoveObject(ctx, metaclient.BeginMoveObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("from"),
		NewBucket: bucket, NewEncryptedObjectKey: []byte("to")})
	status(t, "moved away", err, rpcstatus.NotFound)
	_, err = c.GetObject(ctx, metaclient.GetObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("to")})
	must(t, err)
}

// A segment by hand: limits from the satellite, pieces to nodes and back, one of them to another node.
func TestRawSegment(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	name := newBucket(t)
	stream := rawBegin(t, c, name, "segment")
	begun, err := c.BeginSegment(ctx, metaclient.BeginSegmentParams{StreamID: stream, MaxOrderLimit: 100000})
	must(t, err)
	_, err = c.BeginSegment(ctx, metaclient.BeginSegmentParams{StreamID: stream, MaxOrderLimit: -1})
	status(t, "a negative order limit", err, rpcstatus.InvalidArgument)
	_, err = c.BeginSegment(ctx, metaclient.BeginSegmentParams{StreamID: []byte("none"), MaxOrderLimit: 100000})
	status(t, "a segment of nothing", err, rpcstatus.InvalidArgument)
	again, err := c.RetryBeginSegmentPieces(ctx, metaclient.RetryBeginSegmentPiecesParams{SegmentID: begun.SegmentID, RetryPieceNumbers: []int{2}})
	must(t, err)
	if again.Limits[2].Limit.StorageNodeId == begun.Limits[2].Limit.StorageNodeId || again.Limits[1].Limit.StorageNodeId != begun.Limits[1].Limit.StorageNodeId {
		t.Error("not piece 2, and it alone, goes to another node")
	}
	_, err = c.RetryBeginSegmentPieces(ctx, metaclient.RetryBeginSegmentPiecesParams{SegmentID: begun.SegmentID, RetryPieceNumbers: []int{99}})
	status(t, "a piece that is none", err, rpcstatus.InvalidArgument)
	_, err = c.RetryBeginSegmentPieces(ctx, metaclient.RetryBeginSegmentPiecesParams{SegmentID: begun.SegmentID})
	status(t, "no piece", err, rpcstatus.InvalidArgument)

	const encrypted = 20000
	size := int((encrypted + 4 + 4*256 - 1) / (4 * 256) * 256)
	dialer, stored := newDialer(t), 0
	commit := metaclient.CommitSegmentParams{SegmentID: again.SegmentID, Encryption: segmentKey, SizeEncryptedData: encrypted, PlainSize: encrypted - 100}
	for i, limit := range again.Limits {
		node, err := piecestore.Dial(ctx, dialer, addressed(limit), piecestore.DefaultConfig)
		must(t, err)
		hash, err := node.UploadReader(ctx, limit.Limit, begun.PiecePrivateKey, bytes.NewReader(content(string(rune('a'+i)), size)))
		must(t, err)
		_, err = node.UploadReader(ctx, limit.Limit, begun.PiecePrivateKey, bytes.NewReader([]byte("again")))
		if err == nil {
			t.Error("a node takes one limit twice")
		}
		must(t, node.Close())
		commit.UploadResult = append(commit.UploadResult, &pb.SegmentPieceUploadResult{PieceNum: int32(i), NodeId: limit.Limit.StorageNodeId, Hash: hash})
		stored++
	}
	few := commit
	few.UploadResult = commit.UploadResult[:7]
	status(t, "seven pieces of eight", c.CommitSegment(ctx, few), rpcstatus.InvalidArgument)
	must(t, c.CommitSegment(ctx, commit))
	few.SegmentID = []byte("none")
	status(t, "a segment that is none", c.CommitSegment(ctx, few), rpcstatus.InvalidArgument)
	must(t, c.CommitObject(ctx, metaclient.CommitObjectParams{StreamID: stream, EncryptedUserData: sealed(t, 1)}))

	down, err := c.DownloadObject(ctx, metaclient.DownloadObjectParams{Bucket: []byte(name), EncryptedObjectKey: []byte("segment")})
	must(t, err)
	segment := down.DownloadedSegments[0]
	got := 0
	for i, limit := range segment.Limits {
		if limit == nil || limit.Limit == nil {
			continue
		}
		got++
		downloadPiece(t, ctx, limit, segment.Info.PiecePrivateKey, content(string(rune('a'+i)), size))
	}
	if got < 4 {
		t.Errorf("%d pieces offered of %d stored", got, stored)
	}
	ips, err := c.GetObjectIPs(ctx, metaclient.GetObjectIPsParams{Bucket: []byte(name), EncryptedObjectKey: []byte("segment")})
	must(t, err)
	if ips.PieceCount != int64(stored) {
		t.Errorf("%d pieces stored, %+v", stored, ips)
	}
	_, err = c.GetObjectIPs(ctx, metaclient.GetObjectIPsParams{Bucket: []byte(name), EncryptedObjectKey: []byte("none")})
	status(t, "addresses of none", err, rpcstatus.NotFound)
}

func addressed(limit *pb.AddressedOrderLimit) storj.NodeURL {
	return storj.NodeURL{ID: limit.Limit.StorageNodeId, Address: limit.StorageNodeAddress.Address}
}

// downloadPiece reads a piece with all that the client of nodes can do.
func downloadPiece(t *testing.T, ctx context.Context, limit *pb.AddressedOrderLimit, key storj.PiecePrivateKey, want []byte) {
	t.Helper()
	node, err := piecestore.DialReplaySafe(ctx, newDialer(t), addressed(limit), piecestore.DefaultConfig)
	must(t, err)
	defer func() { must(t, node.Close()) }()
	if node.NodeURL() != addressed(limit) {
		t.Errorf("dialed %v", node.NodeURL())
	}
	down, err := node.Download(ctx, limit.Limit, key, 0, int64(len(want)))
	must(t, err)
	data, err := io.ReadAll(down)
	must(t, err)
	sameBytes(t, "piece", data, want)
	if hash, origin := down.GetHashAndLimit(); hash != nil || origin != nil {
		t.Error("hash and limit belong to repair alone")
	}
	must(t, down.Close())
	over, err := node.Download(ctx, limit.Limit, key, 0, limit.Limit.Limit+1)
	if err == nil {
		_, err = io.ReadAll(over)
		_ = over.Close()
	}
	if err == nil {
		t.Error("more is read than the limit allows")
	}
}

func TestRawNode(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	name := newBucket(t)
	begun, err := c.BeginSegment(ctx, metaclient.BeginSegmentParams{StreamID: rawBegin(t, c, name, "node"), MaxOrderLimit: 10000})
	must(t, err)
	limit := begun.Limits[0]
	node, err := piecestore.Dial(ctx, newDialer(t), addressed(limit), piecestore.DefaultConfig)
	must(t, err)
	defer func() { _ = node.Close() }()
	if _, err = node.GetPeerIdentity(); err == nil {
		t.Error("the peer is known before a word was said")
	}
	if retainErr := node.Retain(ctx, &pb.RetainRequest{CreationDate: time.Now(), Filter: []byte{1}}); retainErr == nil {
		t.Error("a renter tells a node what to keep")
	}
	peer, err := node.GetPeerIdentity()
	must(t, err)
	if peer.ID != limit.Limit.StorageNodeId {
		t.Errorf("node %v, want %v", peer.ID, limit.Limit.StorageNodeId)
	}
	ctx256 := piecestore.WithPieceHashAlgo(ctx, pb.PieceHashAlgorithm_SHA256)
	if piecestore.GetPieceHashAlgo(ctx256) != pb.PieceHashAlgorithm_SHA256 || piecestore.GetPieceHashAlgo(ctx) == pb.PieceHashAlgorithm_SHA256 {
		t.Error("the hash algorithm is not in the context")
	}
	node.UploadHashAlgo = pb.PieceHashAlgorithm_SHA256
	data := content("node", 2560)
	hash, err := node.UploadReader(ctx256, limit.Limit, begun.PiecePrivateKey, bytes.NewReader(data))
	must(t, err)
	hasher := pb.NewHashFromAlgorithm(pb.PieceHashAlgorithm_SHA256)
	_, _ = hasher.Write(data)
	sum := hasher.Sum(nil)
	must(t, node.VerifyPieceHash(ctx, peer, limit.Limit, hash, sum, pb.PieceHashAlgorithm_SHA256))
	sum[0] ^= 1
	if node.VerifyPieceHash(ctx, peer, limit.Limit, hash, sum, pb.PieceHashAlgorithm_SHA256) == nil {
		t.Error("another hash is taken")
	}
	wrong := storj.NodeURL{ID: storj.NodeID{1}, Address: limit.StorageNodeAddress.Address}
	for what, dial := range map[string]func(context.Context, rpc.Dialer, storj.NodeURL, piecestore.Config) (*piecestore.Client, error){
		"dialed": piecestore.Dial, "dialed replay safe": piecestore.DialReplaySafe,
	} {
		other, err := dial(ctx, newDialer(t), wrong, piecestore.DefaultConfig)
		if err == nil { // it is found out when there is something to say
			_, err = other.UploadReader(ctx, begun.Limits[1].Limit, begun.PiecePrivateKey, bytes.NewReader(data))
			_ = other.Close()
		}
		if err == nil {
			t.Errorf("%s: a node with another ID is taken for the one", what)
		}
	}
}

func TestRawLocks(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	name := newLockBucket(t, openProject(t))
	bucket := []byte(name)
	made := rawInline(t, c, name, "key", content("cipher", 100))
	hold := metaclient.SetObjectLegalHoldParams{Bucket: bucket, EncryptedObjectKey: []byte("key"), ObjectVersion: made.Version, Enabled: true}
	must(t, c.SetObjectLegalHold(ctx, hold))
	on, err := c.GetObjectLegalHold(ctx, metaclient.GetObjectLegalHoldParams{Bucket: bucket, EncryptedObjectKey: []byte("key")})
	must(t, err)
	if !on {
		t.Error("the hold is off")
	}
	hold.Enabled = false
	must(t, c.SetObjectLegalHold(ctx, hold))
	hold.EncryptedObjectKey = []byte("none")
	status(t, "hold of none", c.SetObjectLegalHold(ctx, hold), rpcstatus.NotFound)
	_, err = c.GetObjectLegalHold(ctx, metaclient.GetObjectLegalHoldParams{Bucket: bucket, EncryptedObjectKey: []byte("none")})
	status(t, "hold of none", err, rpcstatus.NotFound)
	_, err = c.GetObjectRetention(ctx, metaclient.GetObjectRetentionParams{Bucket: bucket, EncryptedObjectKey: []byte("key")})
	status(t, "no retention", err, rpcstatus.ObjectLockObjectRetentionConfigurationMissing)
	retention := metaclient.SetObjectRetentionParams{Bucket: bucket, EncryptedObjectKey: []byte("key"),
		Retention: metaclient.Retention{Mode: storj.ComplianceMode, RetainUntil: time.Now().Add(3 * time.Second)}}
	must(t, c.SetObjectRetention(ctx, retention))
	got, err := c.GetObjectRetention(ctx, metaclient.GetObjectRetentionParams{Bucket: bucket, EncryptedObjectKey: []byte("key")})
	must(t, err)
	if got.Mode != storj.ComplianceMode {
		t.Errorf("retention %+v", got)
	}
	retention.EncryptedObjectKey = []byte("none")
	status(t, "retention of none", c.SetObjectRetention(ctx, retention), rpcstatus.NotFound)
	_, err = c.BeginDeleteObject(ctx, metaclient.BeginDeleteObjectParams{Bucket: bucket, EncryptedObjectKey: []byte("key"), Version: made.Version})
	status(t, "deleted under compliance", err, rpcstatus.ObjectLockObjectProtected)
	dropLocked(t, openProject(t), name)
}

func TestRawProject(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	info, err := c.GetProjectInfo(ctx)
	must(t, err)
	if len(info.ProjectSalt) == 0 || len(info.ProjectPublicId) != 16 {
		t.Errorf("project %+v", info)
	}
	_, err = rawForeign(t).GetProjectInfo(ctx)
	status(t, "project of a foreign key", err, rpcstatus.PermissionDenied)
	licenses, err := c.AccountLicenses(ctx, metaclient.AccountLicensesRequest{})
	must(t, err)
	if len(licenses) != 0 {
		t.Errorf("licenses %+v", licenses)
	}
	_, err = rawForeign(t).AccountLicenses(ctx, metaclient.AccountLicensesRequest{})
	status(t, "licenses of a foreign key", err, rpcstatus.PermissionDenied)

	a := sharedAccess(t)
	child, err := a.Share(uplink.ReadOnlyPermission())
	must(t, err)
	key := access.APIKey(child).SerializeRaw()
	must(t, c.RevokeAPIKey(ctx, metaclient.RevokeAPIKeyParams{APIKey: key}))
	status(t, "revoked its own", c.RevokeAPIKey(ctx, metaclient.RevokeAPIKeyParams{APIKey: access.APIKey(a).SerializeRaw()}), rpcstatus.PermissionDenied)
	status(t, "revoked nothing", c.RevokeAPIKey(ctx, metaclient.RevokeAPIKeyParams{APIKey: []byte("none")}), rpcstatus.InvalidArgument)
	other := newRaw(t)
	other.SetRawAPIKey(key)
	for range 100 { // a key may be remembered for a moment
		if _, err = other.GetProjectInfo(ctx); err != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	status(t, "a revoked key", err, rpcstatus.PermissionDenied)
	other.SetRawAPIKey([]byte("none"))
	_, err = other.GetProjectInfo(ctx)
	status(t, "a key that is none", err, rpcstatus.InvalidArgument)
	_, err = metaclient.DialNodeURL(ctx, newDialer(t), "no url", access.APIKey(a), "interop")
	if err == nil {
		t.Error("dialed no URL")
	}
}

func TestRawBatch(t *testing.T) {
	c, ctx := newRaw(t), t.Context()
	name := []byte(freeName("batch"))
	key := []byte("key")
	answers, err := c.Batch(ctx,
		&metaclient.CreateBucketParams{Name: name},
		&metaclient.GetBucketParams{Name: name},
		&metaclient.ListBucketsParams{ListOpts: metaclient.BucketListOptions{Direction: metaclient.After}},
		&metaclient.BeginObjectParams{Bucket: name, EncryptedObjectKey: key, EncryptionParameters: aesGCM},
		&metaclient.MakeInlineSegmentParams{Encryption: segmentKey, EncryptedInlineData: content("cipher", 64), PlainSize: 48},
		&metaclient.CommitObjectParams{EncryptedUserData: sealed(t, 1)},
		&metaclient.GetObjectParams{Bucket: name, EncryptedObjectKey: key},
		&metaclient.DownloadObjectParams{Bucket: name, EncryptedObjectKey: key},
		&metaclient.ListSegmentsParams{},
		&metaclient.DownloadSegmentParams{},
		&metaclient.ListObjectsParams{Bucket: name, Recursive: true},
		&metaclient.BeginObjectParams{Bucket: name, EncryptedObjectKey: []byte("other"), EncryptionParameters: aesGCM},
		&metaclient.BeginSegmentParams{MaxOrderLimit: 10000},
		&metaclient.RetryBeginSegmentPiecesParams{RetryPieceNumbers: []int{0}},
		&metaclient.BeginDeleteObjectParams{Bucket: name, EncryptedObjectKey: key})
	must(t, err)
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	made, err := answers[0].CreateBucket()
	check("create bucket", err)
	got, err := answers[1].GetBucket()
	check("get bucket", err)
	if made.Bucket.Name != string(name) || got.Bucket.Name != string(name) {
		t.Errorf("made %q, got %q", made.Bucket.Name, got.Bucket.Name)
	}
	_, err = answers[2].ListBuckets()
	check("list buckets", err)
	_, err = answers[3].BeginObject()
	check("begin object", err)
	if !answers[5].IsCommitObject() || answers[4].IsCommitObject() {
		t.Error("which one is the commit?")
	}
	committed, err := answers[5].CommitObject()
	check("commit object", err)
	object, err := answers[6].GetObject()
	check("get object", err)
	if committed.Object.PlainSize != 48 || object.Info.PlainSize != 48 {
		t.Errorf("sizes %d and %d", committed.Object.PlainSize, object.Info.PlainSize)
	}
	_, err = answers[9].DownloadSegment()
	check("download segment", err)
	list, err := answers[10].ListObjects()
	check("list objects", err)
	if len(list.Items) != 1 {
		t.Errorf("%d objects", len(list.Items))
	}
	segment, err := answers[12].BeginSegment()
	check("begin segment", err)
	if len(segment.Limits) != 10 {
		t.Errorf("%d limits", len(segment.Limits))
	}
	_, err = answers[14].BeginDeleteObject()
	check("delete object", err)
	wrongType(t, &answers[13])

	// The first failure ends a batch; what went before has happened.
	_, err = c.Batch(ctx, &metaclient.GetBucketParams{Name: name}, &metaclient.GetBucketParams{Name: []byte(absentBucket)},
		&metaclient.DeleteBucketParams{Name: name, DeleteAll: true})
	status(t, "a batch with a failure", err, rpcstatus.NotFound)
	// What may not be batched is refused.
	_, err = c.Batch(ctx, &metaclient.BeginCopyObjectParams{Bucket: name, EncryptedObjectKey: key, NewBucket: name, NewEncryptedObjectKey: key})
	status(t, "a copy in a batch", err, rpcstatus.Unknown)
	none, err := c.Batch(ctx)
	must(t, err)
	if len(none) != 0 {
		t.Errorf("%d answers to nothing", len(none))
	}
	_, err = c.Batch(ctx, &metaclient.DeleteBucketParams{Name: name, DeleteAll: true})
	must(t, err)
}

// wrongType asks an answer for all that it is not.
func wrongType(t *testing.T, r *metaclient.BatchResponse) {
	t.Helper()
	calls := map[string]func() error{
		"CreateBucket":      func() error { _, err := r.CreateBucket(); return err },
		"GetBucket":         func() error { _, err := r.GetBucket(); return err },
		"ListBuckets":       func() error { _, err := r.ListBuckets(); return err },
		"BeginObject":       func() error { _, err := r.BeginObject(); return err },
		"CommitObject":      func() error { _, err := r.CommitObject(); return err },
		"GetObject":         func() error { _, err := r.GetObject(); return err },
		"ListObjects":       func() error { _, err := r.ListObjects(); return err },
		"BeginSegment":      func() error { _, err := r.BeginSegment(); return err },
		"DownloadSegment":   func() error { _, err := r.DownloadSegment(); return err },
		"BeginDeleteObject": func() error { _, err := r.BeginDeleteObject(); return err },
	}
	for name, call := range calls {
		is(t, name+" of another answer", call(), metaclient.ErrInvalidType)
	}
	empty := metaclient.MakeBatchResponse(&pb.BatchRequestItem{}, &pb.BatchResponseItem{})
	_, err := empty.GetBucket()
	is(t, "an empty answer", err, metaclient.ErrInvalidType)
}
