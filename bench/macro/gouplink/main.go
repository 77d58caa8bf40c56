// Command gouplink moves one file with the Go library, as its own command line does, so that it can be
// measured beside ours. The grant is in ACRE_ACCESS.
//
//	gouplink make BUCKET | remove BUCKET | up FILE BUCKET KEY | down BUCKET KEY FILE | delete BUCKET KEY
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"storj.io/uplink"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gouplink:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	arity := map[string]int{"make": 2, "remove": 2, "up": 4, "down": 4, "delete": 3}
	if len(args) == 0 || arity[args[0]] != len(args) {
		return fmt.Errorf("usage: make BUCKET | remove BUCKET | up FILE BUCKET KEY | down BUCKET KEY FILE | delete BUCKET KEY")
	}
	access, err := uplink.ParseAccess(os.Getenv("ACRE_ACCESS"))
	if err != nil {
		return err
	}
	project, err := uplink.OpenProject(ctx, access)
	if err != nil {
		return err
	}
	defer func() { _ = project.Close() }()

	switch args[0] {
	case "make":
		_, err = project.EnsureBucket(ctx, args[1])
	case "remove":
		_, err = project.DeleteBucketWithObjects(ctx, args[1])
	case "up":
		err = upload(ctx, project, args[1], args[2], args[3])
	case "down":
		err = download(ctx, project, args[1], args[2], args[3])
	case "delete":
		_, err = project.DeleteObject(ctx, args[1], args[2])
	}
	return err
}

func upload(ctx context.Context, project *uplink.Project, name, bucket, key string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	object, err := project.UploadObject(ctx, bucket, key, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(object, file); err != nil {
		_ = object.Abort()
		return err
	}
	return object.Commit()
}

func download(ctx context.Context, project *uplink.Project, bucket, key, name string) error {
	object, err := project.DownloadObject(ctx, bucket, key, nil)
	if err != nil {
		return err
	}
	defer func() { _ = object.Close() }()
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, object); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
