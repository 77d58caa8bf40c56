// old does with an old storj.io/uplink, the one of the module file it was built with, what such a client did:
//
//	old write|read GRANT BUCKET
//
// write makes the objects of a bucket, read finds them, whoever wrote them. Only calls that version 1.0 has.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"storj.io/uplink"
)

// As old_test.go has them: inline, one segment, and nothing.
var objects = map[string]int{"inline": 100, "dir/remote": 50000, "dir/empty": 0}

func data(n int) []byte { return bytes.Repeat([]byte("0123456789"), n/10) }

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(ctx context.Context, what, grant, bucket string) error {
	access, err := uplink.ParseAccess(grant)
	if err != nil {
		return err
	}
	project, err := uplink.OpenProject(ctx, access)
	if err != nil {
		return err
	}
	defer func() { _ = project.Close() }()
	if what == "write" {
		return write(ctx, project, bucket)
	}
	return read(ctx, project, bucket)
}

func write(ctx context.Context, project *uplink.Project, bucket string) error {
	if _, err := project.EnsureBucket(ctx, bucket); err != nil {
		return err
	}
	for key, n := range objects {
		upload, err := project.UploadObject(ctx, bucket, key, &uplink.UploadOptions{Expires: time.Now().Add(time.Hour)})
		if err != nil {
			return err
		}
		if _, err := io.Copy(upload, bytes.NewReader(data(n))); err != nil {
			return err
		}
		if err := upload.SetCustomMetadata(ctx, uplink.CustomMetadata{"key": key}); err != nil {
			return err
		}
		if err := upload.Commit(); err != nil {
			return fmt.Errorf("commit %s: %w", key, err)
		}
	}
	return nil
}

func read(ctx context.Context, project *uplink.Project, bucket string) error {
	for key, n := range objects {
		download, err := project.DownloadObject(ctx, bucket, key, nil)
		if err != nil {
			return fmt.Errorf("download %s: %w", key, err)
		}
		got, err := io.ReadAll(download)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if !bytes.Equal(got, data(n)) {
			return fmt.Errorf("%s: %d other bytes", key, len(got))
		}
		object, err := project.StatObject(ctx, bucket, key)
		if err != nil {
			return fmt.Errorf("stat %s: %w", key, err)
		}
		if object.System.ContentLength != int64(n) || object.Custom["key"] != key {
			return fmt.Errorf("%s: %+v", key, object)
		}
	}
	list := project.ListObjects(ctx, bucket, &uplink.ListObjectsOptions{Recursive: true, System: true, Custom: true})
	count := 0
	for ; list.Next(); count++ {
		item := list.Item()
		if item.System.ContentLength != int64(objects[item.Key]) || item.Custom["key"] != item.Key {
			return fmt.Errorf("listed: %+v", item)
		}
	}
	if list.Err() != nil || count != len(objects) {
		return fmt.Errorf("%d objects listed: %w", count, list.Err())
	}
	if _, err := project.StatObject(ctx, bucket, "nothing"); !errors.Is(err, uplink.ErrObjectNotFound) {
		return fmt.Errorf("what is not there: %w", err)
	}
	return nil
}
