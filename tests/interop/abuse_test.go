package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"storj.io/common/identity"
	"storj.io/common/macaroon"
	"storj.io/common/pb"
	"storj.io/common/peertls/tlsopts"
	"storj.io/common/rpc"
	"storj.io/common/rpc/rpcstatus"
	"storj.io/common/storj"
	"storj.io/drpc"
)

// abused is a satellite of its own, so that its memory can be watched, and a raw client of it.
type abused struct {
	t      *testing.T
	pid    int
	url    storj.NodeURL
	keys   [2]*macaroon.APIKey // of two projects
	conn   *rpc.Conn
	client pb.DRPCMetainfoClient
	random *rand.Rand
}

func startAbused(t *testing.T) *abused {
	t.Helper()
	if acreErr != nil {
		missing(t, "%v", acreErr)
	}
	ctx := t.Context()
	program := filepath.Join(filepath.Dir(acrePath), "acre-satellite")
	dir := filepath.Join(t.TempDir(), "sat")
	run := func(args ...string) string {
		out, err := command(ctx, nil, nil, program, args...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	run("setup", "--dir", dir, "--address", "127.0.0.1:0", "--development", "--rs", "1/1/1/1")
	a := &abused{t: t, random: rand.New(rand.NewPCG(1, 2))}
	for i := range a.keys {
		name := fmt.Sprintf("p%d", i)
		run("project", "create", "--dir", dir, "--name", name)
		key, err := macaroon.ParseAPIKey(run("apikey", "create", "--dir", dir, "--project", name))
		must(t, err)
		a.keys[i] = key
	}
	server := exec.Command(program, "run", "--dir", dir)
	must(t, server.Start())
	a.pid = server.Process.Pid
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "address")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the satellite does not come up")
		}
	}
	url, err := storj.ParseNodeURL(run("url", "--dir", dir))
	must(t, err)
	a.url = url
	a.dial()
	return a
}

func (a *abused) dial() {
	a.t.Helper()
	ident, err := identity.NewFullIdentity(a.t.Context(), identity.NewCAOptions{Difficulty: 0, Concurrency: 1})
	must(a.t, err)
	options, err := tlsopts.NewOptions(ident, tlsopts.Config{UsePeerCAWhitelist: false, PeerIDVersions: "0"}, nil)
	must(a.t, err)
	a.conn, err = rpc.NewDefaultDialer(options).DialNodeURL(a.t.Context(), a.url)
	must(a.t, err)
	a.client = pb.NewDRPCMetainfoClient(a.conn)
	a.t.Cleanup(func() { _ = a.conn.Close() })
}

func (a *abused) header(project int) *pb.RequestHeader {
	return &pb.RequestHeader{ApiKey: a.keys[project].SerializeRaw()}
}

func (a *abused) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(a.random.Uint32())
	}
	return b
}

// clear holds that an answer is one of those a client can do something with.
func (a *abused) clear(what string, err error, codes ...rpcstatus.StatusCode) {
	a.t.Helper()
	if err == nil {
		a.t.Errorf("%s went through", what)
		return
	}
	for _, code := range codes {
		if rpcstatus.Code(err) == code {
			if strings.Contains(err.Error(), "internal error") || errors.Is(err, context.DeadlineExceeded) {
				a.t.Errorf("%s: %v", what, err)
			}
			return
		}
	}
	a.t.Errorf("%s: status %d: %v", what, rpcstatus.Code(err), err)
}

// rss is what the satellite's process holds in memory, in KiB.
func (a *abused) rss() int {
	a.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid))
	must(a.t, err)
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
			must(a.t, err)
			return n
		}
	}
	a.t.Fatal("no VmRSS")
	return 0
}

func (a *abused) begin(project int, key string) *pb.BeginObjectResponse {
	a.t.Helper()
	resp, err := a.client.BeginObject(a.t.Context(), &pb.BeginObjectRequest{
		Header: a.header(project), Bucket: []byte("bucket"), EncryptedObjectKey: []byte(key),
		EncryptionParameters: &pb.EncryptionParameters{CipherSuite: pb.CipherSuite_ENC_AESGCM, BlockSize: 7424},
	})
	must(a.t, err)
	return resp
}

func (a *abused) inline(id []byte, project int) *pb.SegmentMakeInlineRequest {
	return &pb.SegmentMakeInlineRequest{
		Header: a.header(project), StreamId: id, Position: &pb.SegmentPosition{},
		EncryptedKey: make([]byte, 48), EncryptedKeyNonce: storj.Nonce{1},
		EncryptedInlineData: []byte("data"), PlainSize: 4,
	}
}

// ---- what is done to it ----

func (a *abused) garbageKeys(ctx context.Context) {
	good := a.keys[0].SerializeRaw()
	request := func(key []byte) error {
		_, err := a.client.ProjectInfo(ctx, &pb.ProjectInfoRequest{Header: &pb.RequestHeader{ApiKey: key}})
		return err
	}
	for n := range len(good) {
		a.clear("a truncated key", request(good[:n]), rpcstatus.InvalidArgument, rpcstatus.PermissionDenied)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		a.clear("a key with a wrong bit", request(bad), rpcstatus.InvalidArgument, rpcstatus.PermissionDenied)
	}
	for _, n := range []int{0, 1, 100, 64 << 10, 1 << 20} {
		a.clear("a key of noise", request(a.bytes(n)), rpcstatus.InvalidArgument, rpcstatus.PermissionDenied)
	}
	// A key with caveats nobody can read, and with very many of them.
	secret := a.keys[0]
	mac, err := macaroon.ParseMacaroon(secret.SerializeRaw())
	must(a.t, err)
	odd, err := mac.AddFirstPartyCaveat(a.bytes(100))
	must(a.t, err)
	a.clear("an unreadable caveat", request(odd.Serialize()), rpcstatus.PermissionDenied)
	many := mac
	for range 2000 {
		many, err = many.AddFirstPartyCaveat([]byte{0x10, 0x00})
		must(a.t, err)
	}
	a.clear("too many caveats", request(many.Serialize()), rpcstatus.InvalidArgument, rpcstatus.PermissionDenied)
}

func (a *abused) foreignIDs(ctx context.Context) {
	begun := a.begin(0, "victim")
	for what, err := range map[string]error{
		"a segment into another project's upload": func() error {
			_, err := a.client.MakeInlineSegment(ctx, a.inline(begun.StreamId, 1))
			return err
		}(),
		"a commit of another project's upload": func() error {
			_, err := a.client.CommitObject(ctx, &pb.CommitObjectRequest{Header: a.header(1), StreamId: begun.StreamId})
			return err
		}(),
		"a list of another project's segments": func() error {
			_, err := a.client.ListSegments(ctx, &pb.ListSegmentsRequest{Header: a.header(1), StreamId: begun.StreamId})
			return err
		}(),
		"an abort of another project's upload": func() error {
			id := begun.StreamId
			_, err := a.client.BeginDeleteObject(ctx, &pb.BeginDeleteObjectRequest{
				Header: a.header(1), Bucket: []byte("bucket"), EncryptedObjectKey: []byte("victim"),
				Status: int32(pb.Object_UPLOADING), StreamId: &id})
			return err
		}(),
	} {
		a.clear(what, err, rpcstatus.PermissionDenied, rpcstatus.NotFound, rpcstatus.InvalidArgument)
	}
	// Every bit of an id counts.
	for i := range begun.StreamId {
		bad := bytes.Clone(begun.StreamId)
		bad[i] ^= 1 << (i % 8)
		_, err := a.client.MakeInlineSegment(ctx, a.inline(bad, 0))
		a.clear("an id with a wrong bit", err, rpcstatus.InvalidArgument)
		_, err = a.client.CommitSegment(ctx, &pb.CommitSegmentRequest{Header: a.header(0), SegmentId: bad})
		a.clear("a stream's id for a segment's", err, rpcstatus.InvalidArgument)
	}
	for _, n := range []int{1, 31, 32, 33, 8 << 10, 64 << 10, 1 << 20} {
		_, err := a.client.MakeInlineSegment(ctx, a.inline(a.bytes(n), 0))
		a.clear("an id of noise", err, rpcstatus.InvalidArgument)
	}
	// The same once more, after it was done.
	_, err := a.client.MakeInlineSegment(ctx, a.inline(begun.StreamId, 0))
	must(a.t, err)
	commit := &pb.CommitObjectRequest{Header: a.header(0), StreamId: begun.StreamId}
	_, err = a.client.CommitObject(ctx, commit)
	must(a.t, err)
	_, err = a.client.CommitObject(ctx, commit)
	a.clear("a commit replayed", err, rpcstatus.NotFound)
	_, err = a.client.MakeInlineSegment(ctx, a.inline(begun.StreamId, 0))
	a.clear("a segment for what was committed", err, rpcstatus.NotFound)
}

func (a *abused) batches(ctx context.Context) {
	batch := &pb.BatchRequest{Header: a.header(0)}
	for range 10000 {
		batch.Requests = append(batch.Requests, &pb.BatchRequestItem{
			Request: &pb.BatchRequestItem_BucketGet{BucketGet: &pb.GetBucketRequest{Name: []byte("bucket")}}})
	}
	_, err := a.client.Batch(ctx, batch)
	a.clear("a batch of ten thousand", err, rpcstatus.InvalidArgument)
	data, err := pb.Marshal(batch)
	must(a.t, err)
	_, err = a.client.CompressedBatch(ctx, &pb.CompressedBatchRequest{Data: data})
	a.clear("the same compressed", err, rpcstatus.InvalidArgument)

	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	must(a.t, err)
	bomb := encoder.EncodeAll(make([]byte, 256<<20), nil)
	for _, bad := range [][]byte{bomb, bomb[:len(bomb)/2], a.bytes(1000), nil, {0x28, 0xb5, 0x2f, 0xfd}} {
		_, err = a.client.CompressedBatch(ctx, &pb.CompressedBatchRequest{
			Selected: pb.CompressedBatchRequest_ZSTD, Data: bad})
		a.clear("zstd that unfolds to too much or nothing", err, rpcstatus.Unknown, rpcstatus.InvalidArgument)
	}
	// Items that only look like what they should be.
	for _, item := range []*pb.BatchRequestItem{
		{}, {Request: &pb.BatchRequestItem_ObjectCommit{ObjectCommit: &pb.CommitObjectRequest{}}},
		{Request: &pb.BatchRequestItem_SegmentCommit{SegmentCommit: &pb.CommitSegmentRequest{}}},
		{Request: &pb.BatchRequestItem_ObjectUpdateMetadata{ObjectUpdateMetadata: &pb.UpdateObjectMetadataRequest{}}},
	} {
		_, err := a.client.Batch(ctx, &pb.BatchRequest{Header: a.header(0), Requests: []*pb.BatchRequestItem{item}})
		a.clear("a batch of one odd item", err, rpcstatus.Unknown, rpcstatus.InvalidArgument)
	}
}

func (a *abused) oddNumbers(ctx context.Context) {
	bucket := []byte("bucket")
	begun := a.begin(0, "odd")
	for _, n := range []int32{-1, -1 << 31} {
		_, err := a.client.ListObjects(ctx, &pb.ListObjectsRequest{Header: a.header(0), Bucket: bucket, Limit: n})
		a.clear("a negative limit", err, rpcstatus.InvalidArgument)
		_, err = a.client.ListSegments(ctx, &pb.ListSegmentsRequest{Header: a.header(0), StreamId: begun.StreamId, Limit: n})
		a.clear("a negative limit", err, rpcstatus.InvalidArgument)
		request := a.inline(begun.StreamId, 0)
		request.Position = &pb.SegmentPosition{Index: n}
		_, err = a.client.MakeInlineSegment(ctx, request)
		a.clear("a negative index", err, rpcstatus.InvalidArgument)
		_, err = a.client.BeginSegment(ctx, &pb.BeginSegmentRequest{Header: a.header(0), StreamId: begun.StreamId,
			Position: &pb.SegmentPosition{Index: n}, MaxOrderLimit: 1000})
		a.clear("a negative index", err, rpcstatus.InvalidArgument)
	}
	for _, n := range []int64{-1, 0, 1 << 62, -1 << 63} {
		_, err := a.client.BeginSegment(ctx, &pb.BeginSegmentRequest{Header: a.header(0), StreamId: begun.StreamId,
			Position: &pb.SegmentPosition{}, MaxOrderLimit: n})
		a.clear("an odd order limit", err, rpcstatus.InvalidArgument)
		request := a.inline(begun.StreamId, 0)
		request.PlainSize = n
		if n != 0 {
			_, err = a.client.MakeInlineSegment(ctx, request)
			a.clear("an odd plain size", err, rpcstatus.InvalidArgument)
		}
	}
	big := a.inline(begun.StreamId, 0)
	big.EncryptedInlineData = a.bytes(5000)
	_, err := a.client.MakeInlineSegment(ctx, big)
	a.clear("a large inline segment", err, rpcstatus.InvalidArgument)
	// No nodes, whatever is asked for.
	_, err = a.client.BeginSegment(ctx, &pb.BeginSegmentRequest{Header: a.header(0), StreamId: begun.StreamId,
		Position: &pb.SegmentPosition{}, MaxOrderLimit: 1000})
	a.clear("a segment without nodes", err, rpcstatus.FailedPrecondition)
	items := make([]*pb.DeleteObjectsRequestItem, 1001)
	for i := range items {
		items[i] = &pb.DeleteObjectsRequestItem{EncryptedObjectKey: []byte("k")}
	}
	_, err = a.client.DeleteObjects(ctx, &pb.DeleteObjectsRequest{Header: a.header(0), Bucket: bucket, Items: items})
	a.clear("too many deletes", err, rpcstatus.DeleteObjectsTooManyItems)
}

func (a *abused) longStrings(ctx context.Context) {
	bucket := []byte("bucket")
	for _, n := range []int{4 << 10, 64 << 10, 1 << 20} {
		// Long cursors and prefixes are odd, but no error.
		_, err := a.client.ListObjects(ctx, &pb.ListObjectsRequest{Header: a.header(0), Bucket: bucket,
			EncryptedCursor: a.bytes(n), EncryptedPrefix: a.bytes(n), Delimiter: a.bytes(n)})
		must(a.t, err)
		direction := pb.ListDirection_AFTER
		_, err = a.client.ListBuckets(ctx, &pb.ListBucketsRequest{Header: a.header(0), Cursor: a.bytes(n),
			Direction: direction})
		must(a.t, err)
		_, err = a.client.GetObject(ctx, &pb.GetObjectRequest{Header: a.header(0), Bucket: a.bytes(n),
			EncryptedObjectKey: a.bytes(n)})
		a.clear("a long bucket name", err, rpcstatus.InvalidArgument)
		_, err = a.client.GetObject(ctx, &pb.GetObjectRequest{Header: a.header(0), Bucket: bucket,
			EncryptedObjectKey: a.bytes(n)})
		a.clear("a long key", err, rpcstatus.NotFound)
		_, err = a.client.GetObject(ctx, &pb.GetObjectRequest{Header: a.header(0), Bucket: bucket,
			EncryptedObjectKey: []byte("k"), ObjectVersion: a.bytes(n)})
		a.clear("a long version", err, rpcstatus.InvalidArgument)
		_, err = a.client.BeginObject(ctx, &pb.BeginObjectRequest{Header: a.header(0), Bucket: bucket,
			EncryptedObjectKey: a.bytes(n)})
		a.clear("a long key", err, rpcstatus.InvalidArgument)
		_, err = a.client.BeginObject(ctx, &pb.BeginObjectRequest{Header: a.header(0), Bucket: bucket,
			EncryptedObjectKey: []byte("k"), EncryptedMetadata: a.bytes(n),
			EncryptedMetadataEncryptedKey: make([]byte, 48), EncryptedMetadataNonce: storj.Nonce{1}})
		a.clear("long metadata", err, rpcstatus.InvalidArgument)
	}
}

// rawBytes is a message that is no message.
type rawBytes []byte

type rawEncoding struct{}

func (rawEncoding) Marshal(msg drpc.Message) ([]byte, error)      { return *msg.(*rawBytes), nil }
func (rawEncoding) Unmarshal(data []byte, msg drpc.Message) error { return nil }

// Bytes that are no request, to every method there is.
func (a *abused) garbageMessages(ctx context.Context) {
	description := pb.DRPCMetainfoDescription{}
	for i := range description.NumMethods() {
		name, _, _, _, _ := description.Method(i)
		for _, n := range []int{0, 1, 10, 1000, 100000} {
			in, out := rawBytes(a.bytes(n)), rawBytes(nil)
			if n > 0 {
				in[0] = 0xff // a field number that does not end
			}
			err := a.conn.Invoke(ctx, name, rawEncoding{}, &in, &out)
			if name == "/metainfo.Metainfo/DeletePart" && n == 0 {
				continue // answers everything
			}
			if name == "/metainfo.Metainfo/CompressedBatch" && n == 0 || name == "/metainfo.Metainfo/Batch" && n == 0 {
				continue // nothing asked, nothing answered
			}
			a.clear(fmt.Sprintf("%s with %d bytes of noise", name, n), err, rpcstatus.InvalidArgument,
				rpcstatus.Unimplemented, rpcstatus.Unknown, rpcstatus.PermissionDenied,
				rpcstatus.BucketNameMissing, rpcstatus.Unauthenticated)
		}
	}
	in, out := rawBytes("x"), rawBytes(nil)
	a.clear("no such method", a.conn.Invoke(ctx, "/metainfo.Metainfo/Nothing", rawEncoding{}, &in, &out),
		rpcstatus.Unimplemented, rpcstatus.Unknown)
}

// Whatever a peer sends, it is told what is wrong with it, and the satellite's memory stays as it is.
func TestAbuse(t *testing.T) {
	a := startAbused(t)
	ctx := t.Context()
	_, err := a.client.CreateBucket(ctx, &pb.CreateBucketRequest{Header: a.header(0), Name: []byte("bucket")})
	must(t, err)
	round := func() {
		a.garbageKeys(ctx)
		a.foreignIDs(ctx)
		a.batches(ctx)
		a.oddNumbers(ctx)
		a.longStrings(ctx)
		a.garbageMessages(ctx)
	}
	const rounds = 4
	for range 2 {
		round()
	}
	before := a.rss()
	for range rounds {
		round()
	}
	after := a.rss()
	t.Logf("resident %d KiB, %d rounds later %d KiB", before, rounds, after)
	if after > before+before/10+4096 {
		t.Errorf("memory grew from %d to %d KiB", before, after)
	}
	if after > 300<<10 {
		t.Errorf("%d KiB of memory", after)
	}
	// It still serves.
	begun := a.begin(0, "well")
	_, err = a.client.MakeInlineSegment(ctx, a.inline(begun.StreamId, 0))
	must(t, err)
	_, err = a.client.CommitObject(ctx, &pb.CommitObjectRequest{Header: a.header(0), StreamId: begun.StreamId})
	must(t, err)
}
