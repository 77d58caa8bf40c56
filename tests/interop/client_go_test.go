package interop

import (
	"context"
	"io"
	"testing"

	"storj.io/uplink"
)

// goUplink is the Go library of the protocol's authors.
type goUplink struct {
	project *uplink.Project
}

func newGoUplink(t *testing.T, grant string) *goUplink {
	t.Helper()
	return openGo(t, grant, uplink.Config{})
}

func openGo(t *testing.T, grant string, config uplink.Config) *goUplink {
	t.Helper()
	access, err := uplink.ParseAccess(grant)
	must(t, err)
	project, err := config.OpenProject(context.Background(), access)
	must(t, err)
	t.Cleanup(func() { _ = project.Close() })
	return &goUplink{project: project}
}

// openProject is for the tests of what only the library can do.
func openProject(t *testing.T) *uplink.Project {
	t.Helper()
	return goClient(t, shared.grant).(*goUplink).project
}

func (c *goUplink) Name() string               { return "go" }
func (c *goUplink) CanWrite(key string) bool   { return true }
func (c *goUplink) CanRead(key string) bool    { return true }
func (c *goUplink) CanStore(_ putOptions) bool { return true }

func (c *goUplink) MakeBucket(ctx context.Context, bucket string) error {
	_, err := c.project.CreateBucket(ctx, bucket)
	return err
}

func (c *goUplink) RemoveBucket(ctx context.Context, bucket string, force bool) error {
	if force {
		_, err := c.project.DeleteBucketWithObjects(ctx, bucket)
		return err
	}
	_, err := c.project.DeleteBucket(ctx, bucket)
	return err
}

func (c *goUplink) Buckets(ctx context.Context) (names []string, err error) {
	buckets := c.project.ListBuckets(ctx, nil)
	for buckets.Next() {
		names = append(names, buckets.Item().Name)
	}
	return names, buckets.Err()
}

func (c *goUplink) Put(ctx context.Context, bucket, key string, data []byte, opts putOptions) error {
	upload, err := c.project.UploadObject(ctx, bucket, key, &uplink.UploadOptions{Expires: opts.Expires})
	if err != nil {
		return err
	}
	if opts.Metadata != nil {
		if err := upload.SetCustomMetadata(ctx, uplink.CustomMetadata(opts.Metadata)); err != nil {
			return err
		}
	}
	if _, err := upload.Write(data); err != nil {
		_ = upload.Abort()
		return err
	}
	return upload.Commit()
}

func (c *goUplink) Get(ctx context.Context, bucket, key string, offset, length int64) (_ []byte, err error) {
	download, err := c.project.DownloadObject(ctx, bucket, key, &uplink.DownloadOptions{Offset: offset, Length: length})
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(download)
	if err != nil {
		_ = download.Close()
		return nil, err
	}
	return data, download.Close()
}

func (c *goUplink) List(ctx context.Context, bucket, prefix string, recursive bool) (list []entry, err error) {
	objects := c.project.ListObjects(ctx, bucket, &uplink.ListObjectsOptions{
		Prefix: prefix, Recursive: recursive, System: true, Custom: true,
	})
	for objects.Next() {
		list = append(list, goEntry(objects.Item()))
	}
	return list, objects.Err()
}

func goEntry(o *uplink.Object) entry {
	return entry{
		Key: o.Key, IsPrefix: o.IsPrefix, Size: o.System.ContentLength,
		Metadata: o.Custom, Expires: o.System.Expires,
	}
}

func (c *goUplink) Stat(ctx context.Context, bucket, key string) (entry, error) {
	object, err := c.project.StatObject(ctx, bucket, key)
	if err != nil {
		return entry{}, err
	}
	return goEntry(object), nil
}

func (c *goUplink) Copy(ctx context.Context, bucket, key, newBucket, newKey string) error {
	_, err := c.project.CopyObject(ctx, bucket, key, newBucket, newKey, nil)
	return err
}

func (c *goUplink) Move(ctx context.Context, bucket, key, newBucket, newKey string) error {
	return c.project.MoveObject(ctx, bucket, key, newBucket, newKey, nil)
}

func (c *goUplink) Delete(ctx context.Context, bucket, key string) error {
	_, err := c.project.DeleteObject(ctx, bucket, key)
	return err
}
