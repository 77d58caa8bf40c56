package interop

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"storj.io/uplink"
)

const partMin = 5 * mebi // only the last part of an upload may be smaller

func putPart(t *testing.T, project *uplink.Project, bucket, key, id string, number uint32, data []byte) {
	t.Helper()
	part, err := project.UploadPart(t.Context(), bucket, key, id, number)
	must(t, err)
	_, err = part.Write(data)
	must(t, err)
	must(t, part.SetETag(fmt.Appendf(nil, "etag %d", number)))
	must(t, part.Commit())
}

// Parts in any order, one written twice, one aborted: the object is the parts by number.
func TestMultipart(t *testing.T) {
	project := openProject(t)
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	ctx := t.Context()
	const key = "multi/part"
	info, err := project.BeginUpload(ctx, bucket, key, &uplink.UploadOptions{Expires: time.Now().Add(time.Hour)})
	must(t, err)

	parts := map[uint32][]byte{
		1:    content("one", partMin),
		2:    content("two", partMin+12345),
		7:    content("seven", partMin+1),
		9999: content("last", 1000),
	}
	for _, number := range []uint32{9999, 2, 7, 1} {
		if number == 7 {
			putPart(t, project, bucket, key, info.UploadID, number, content("replaced", partMin))
		}
		putPart(t, project, bucket, key, info.UploadID, number, parts[number])
	}
	part, err := project.UploadPart(ctx, bucket, key, info.UploadID, 3)
	must(t, err)
	_, err = part.Write(content("aborted", 20000))
	must(t, err)
	must(t, part.Abort())

	// Not an object yet.
	_, err = project.StatObject(ctx, bucket, key)
	if !errors.Is(err, uplink.ErrObjectNotFound) {
		t.Errorf("stat before commit: %v", err)
	}
	listed := 0
	list := project.ListUploadParts(ctx, bucket, key, info.UploadID, nil)
	for last := uint32(0); list.Next(); listed++ {
		p := list.Item()
		if p.PartNumber <= last {
			t.Errorf("part %d after %d", p.PartNumber, last)
		}
		last = p.PartNumber
		if p.Size != int64(len(parts[p.PartNumber])) {
			t.Errorf("part %d: size %d, want %d", p.PartNumber, p.Size, len(parts[p.PartNumber]))
		}
		if string(p.ETag) != fmt.Sprintf("etag %d", p.PartNumber) {
			t.Errorf("part %d: etag %q", p.PartNumber, p.ETag)
		}
		if p.Modified.IsZero() {
			t.Errorf("part %d: no time", p.PartNumber)
		}
	}
	must(t, list.Err())
	if listed != len(parts) {
		t.Errorf("%d parts listed, want %d", listed, len(parts))
	}
	list = project.ListUploadParts(ctx, bucket, key, info.UploadID, &uplink.ListUploadPartsOptions{Cursor: 2})
	if !list.Next() || list.Item().PartNumber != 7 {
		t.Errorf("first part after 2: %+v, %v", list.Item(), list.Err())
	}

	uploads := listUploads(t, project, bucket, &uplink.ListUploadsOptions{Prefix: "multi/", System: true})
	if len(uploads) != 1 || uploads[0].Key != key || uploads[0].UploadID != info.UploadID {
		t.Errorf("uploads: %+v, want one with ID %s", uploads, info.UploadID)
	}
	acre := clients[1].(*acreCLI)
	out, err := acre.run(ctx, nil, "ls", "--pending", "--recursive", "--output", "json", sj(bucket, ""))
	must(t, err)
	pending := 0
	must(t, jsonValues(out, func(v map[string]any) error {
		pending++
		if text(v, "key") != key {
			t.Errorf("acre lists pending %v", v)
		}
		return nil
	}))
	if pending != 1 {
		t.Errorf("acre lists %d pending uploads, want 1: %s", pending, out)
	}

	metadata := map[string]string{"given": "at commit"}
	object, err := project.CommitUpload(ctx, bucket, key, info.UploadID, &uplink.CommitUploadOptions{CustomMetadata: metadata})
	must(t, err)
	whole := slices.Concat(parts[1], parts[2], parts[7], parts[9999])
	if object.Key != key {
		t.Errorf("committed key %q", object.Key)
	}
	for _, reader := range clients {
		check(t, reader, bucket, key, whole, putOptions{Metadata: metadata})
		// Over the border of two parts.
		got, err := reader.Get(ctx, bucket, key, partMin-100, 200)
		must(t, err)
		sameBytes(t, reader.Name()+" over a border", got, whole[partMin-100:partMin+100])
	}
	if uploads := listUploads(t, project, bucket, nil); len(uploads) != 0 {
		t.Errorf("still pending: %+v", uploads)
	}
	_, err = project.CommitUpload(ctx, bucket, key, info.UploadID, nil)
	refused(t, "commit twice", err)
}

func listUploads(t *testing.T, project *uplink.Project, bucket string, opts *uplink.ListUploadsOptions) (found []uplink.UploadInfo) {
	t.Helper()
	uploads := project.ListUploads(t.Context(), bucket, opts)
	for uploads.Next() {
		found = append(found, *uploads.Item())
	}
	must(t, uploads.Err())
	return found
}

func TestMultipartAbort(t *testing.T) {
	project := openProject(t)
	bucket := newBucket(t)
	ctx := t.Context()
	// Several uploads of one key may be under way, and the object that is there stays.
	must(t, goClient(t, shared.grant).Put(ctx, bucket, "k", []byte("there"), putOptions{}))
	first, err := project.BeginUpload(ctx, bucket, "k", nil)
	must(t, err)
	second, err := project.BeginUpload(ctx, bucket, "k", nil)
	must(t, err)
	putPart(t, project, bucket, "k", first.UploadID, 1, content("first", 10000))
	putPart(t, project, bucket, "k", second.UploadID, 1, content("second", 100))
	if n := len(listUploads(t, project, bucket, &uplink.ListUploadsOptions{Recursive: true})); n != 2 {
		t.Errorf("%d uploads listed, want 2", n)
	}
	must(t, project.AbortUpload(ctx, bucket, "k", first.UploadID))
	if n := len(listUploads(t, project, bucket, &uplink.ListUploadsOptions{Recursive: true})); n != 1 {
		t.Errorf("%d uploads listed after one was aborted, want 1", n)
	}
	if shared.ours() { // the peer's satellite lets an aborted upload be taken up again
		_, err = project.CommitUpload(ctx, bucket, "k", first.UploadID, nil)
		refused(t, "commit of an aborted upload", err)
		part, err := project.UploadPart(ctx, bucket, "k", first.UploadID, 2)
		if err == nil {
			_, err = part.Write(content("late", 9000))
		}
		if err == nil {
			err = part.Commit()
		}
		refused(t, "a part of an aborted upload", err)
	}
	check(t, goClient(t, shared.grant), bucket, "k", []byte("there"), putOptions{})
	_, err = project.CommitUpload(ctx, bucket, "k", second.UploadID, nil)
	must(t, err)
	check(t, acreClient(t, shared.grant), bucket, "k", content("second", 100), putOptions{})

	for _, id := range []string{"", "nonsense", first.UploadID + "x"} {
		if err := project.AbortUpload(ctx, bucket, "k", id); !errors.Is(err, uplink.ErrUploadIDInvalid) {
			t.Errorf("abort with ID %.10q: %v, want %v", id, err, uplink.ErrUploadIDInvalid)
		}
	}
	// An upload without parts is an empty object.
	empty, err := project.BeginUpload(ctx, bucket, "empty", nil)
	must(t, err)
	_, err = project.CommitUpload(ctx, bucket, "empty", empty.UploadID, nil)
	must(t, err)
	check(t, acreClient(t, shared.grant), bucket, "empty", nil, putOptions{})
}

// Our command uploads a file in parts when asked to.
func TestParallelism(t *testing.T) {
	bucket := newBucket(t)
	acre := acreClient(t, shared.grant).(*acreCLI)
	data := content("parallel", 70*mebi+3)
	dir := writeTree(t, map[string][]byte{"f": data})
	_, err := acre.run(t.Context(), nil, "cp", "--progress=false", "--parallelism", "4", dir+"/f", sj(bucket, "f"))
	must(t, err)
	check(t, goClient(t, shared.grant), bucket, "f", data, putOptions{})
	out, err := acre.run(t.Context(), nil, "cp", "--progress=false", "--parallelism", "3", sj(bucket, "f"), "-")
	must(t, err)
	sameBytes(t, "download in parallel", []byte(out), data)
}
