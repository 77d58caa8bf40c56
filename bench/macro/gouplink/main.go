// Command gouplink moves one file with the Go library, as its own command line does, so that it can be
// measured beside ours. The grant is in ACRE_ACCESS.
//
//	gouplink make BUCKET | remove BUCKET | up FILE BUCKET KEY | down BUCKET KEY FILE | delete BUCKET KEY
//	gouplink load put|get|list BUCKET COUNT SIZE PARALLEL    prints the seconds it took, without its start
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"storj.io/uplink"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gouplink:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	arity := map[string]int{"make": 2, "remove": 2, "up": 4, "down": 4, "delete": 3, "load": 6}
	if len(args) == 0 || arity[args[0]] != len(args) {
		return fmt.Errorf("usage: make BUCKET | remove BUCKET | up FILE BUCKET KEY | down BUCKET KEY FILE | delete BUCKET KEY | load put|get|list BUCKET COUNT SIZE PARALLEL")
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
	case "load":
		err = load(ctx, project, args[1], args[2], args[3:])
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

// load moves COUNT objects of SIZE bytes, PARALLEL at a time, or lists the bucket.
func load(ctx context.Context, project *uplink.Project, what, bucket string, numbers []string) error {
	var n [3]int
	for i, text := range numbers {
		value, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		n[i] = value
	}
	count, size, parallel := n[0], n[1], n[2]
	data := make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		return err
	}
	one := map[string]func(string) error{
		"put": func(key string) error {
			object, err := project.UploadObject(ctx, bucket, key, nil)
			if err != nil {
				return err
			}
			if _, err := object.Write(data); err != nil {
				return err
			}
			return object.Commit()
		},
		"get": func(key string) error {
			object, err := project.DownloadObject(ctx, bucket, key, nil)
			if err != nil {
				return err
			}
			defer func() { _ = object.Close() }()
			got, err := io.Copy(io.Discard, object)
			if err == nil && got != int64(size) {
				err = fmt.Errorf("%s has %d bytes", key, got)
			}
			return err
		},
	}[what]
	start := time.Now()
	if what == "list" {
		objects := project.ListObjects(ctx, bucket, &uplink.ListObjectsOptions{Recursive: true, System: true})
		seen := 0
		for objects.Next() {
			seen++
		}
		if err := objects.Err(); err != nil {
			return err
		}
		if seen != count {
			return fmt.Errorf("%d objects listed", seen)
		}
	} else if one == nil {
		return fmt.Errorf("load put, get or list")
	} else {
		var group errgroup.Group
		group.SetLimit(parallel)
		for i := 0; i < count; i++ {
			key := fmt.Sprintf("load/%06d", i)
			group.Go(func() error { return one(key) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	fmt.Printf("%.6f\n", time.Since(start).Seconds())
	return nil
}
