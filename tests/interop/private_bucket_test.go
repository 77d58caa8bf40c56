package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"storj.io/common/errs2"
	"storj.io/common/rpc/rpcstatus"
	"storj.io/common/storj"
	"storj.io/uplink"
	"storj.io/uplink/private/bucket"
	"storj.io/uplink/private/metaclient"
)

// is wants exactly this error of the library.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// status wants this status of the satellite.
func status(t *testing.T, what string, err error, want rpcstatus.StatusCode) {
	t.Helper()
	if !errs2.IsRPC(err, want) {
		t.Errorf("%s: status %d (%v), want %d", what, rpcstatus.Code(err), err, want)
	}
}

func freeName(label string) string { return fmt.Sprintf("i%s-%08x", label, rand.Uint32()) }

// newLockBucket makes a bucket with object lock, and so with versions.
func newLockBucket(t *testing.T, project *uplink.Project) string {
	t.Helper()
	name := freeName("lock")
	made, err := bucket.CreateBucketWithObjectLock(t.Context(), project,
		bucket.CreateBucketWithObjectLockParams{Name: name, ObjectLockEnabled: true})
	must(t, err)
	if made.Name != name {
		t.Errorf("made %q, want %q", made.Name, name)
	}
	return name
}

const absentBucket = "no-such-bucket-anywhere"

func TestPrivateBucketVersioning(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	state := func(want int32) {
		t.Helper()
		got, err := bucket.GetBucketVersioning(ctx, project, name)
		must(t, err)
		if got != want {
			t.Errorf("versioning %d, want %d", got, want)
		}
	}
	const unversioned, enabled, suspended = 1, 2, 3
	state(unversioned)
	must(t, bucket.SetBucketVersioning(ctx, project, name, true))
	state(enabled)
	must(t, bucket.SetBucketVersioning(ctx, project, name, false))
	state(suspended)
	_, err := bucket.GetBucketVersioning(ctx, project, absentBucket)
	is(t, "versioning of no bucket", err, uplink.ErrBucketNotFound)
	_, err = bucket.GetBucketVersioning(ctx, project, "")
	is(t, "versioning of no name", err, uplink.ErrBucketNameInvalid)
	is(t, "set of no bucket", bucket.SetBucketVersioning(ctx, project, absentBucket, true), uplink.ErrBucketNotFound)
	is(t, "set of no name", bucket.SetBucketVersioning(ctx, project, "", true), uplink.ErrBucketNameInvalid)
}

func TestPrivateBucketLock(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newLockBucket(t, project)
	_, err := bucket.CreateBucketWithObjectLock(ctx, project, bucket.CreateBucketWithObjectLockParams{Name: name})
	is(t, "made twice", err, uplink.ErrBucketAlreadyExists)
	_, err = bucket.CreateBucketWithObjectLock(ctx, project, bucket.CreateBucketWithObjectLockParams{})
	is(t, "no name", err, uplink.ErrBucketNameInvalid)

	config, err := bucket.GetBucketObjectLockConfiguration(ctx, project, name)
	must(t, err)
	if !config.Enabled || config.DefaultRetention != nil {
		t.Errorf("fresh lock configuration %+v", config)
	}
	want := &metaclient.DefaultRetention{Mode: storj.GovernanceMode, Days: 3}
	must(t, bucket.SetBucketObjectLockConfiguration(ctx, project, name,
		&metaclient.BucketObjectLockConfiguration{Enabled: true, DefaultRetention: want}))
	config, err = bucket.GetBucketObjectLockConfiguration(ctx, project, name)
	must(t, err)
	if config.DefaultRetention == nil || *config.DefaultRetention != *want {
		t.Errorf("default retention %+v, want %+v", config.DefaultRetention, want)
	}
	is(t, "suspended under lock", bucket.SetBucketVersioning(ctx, project, name, false),
		bucket.ErrBucketInvalidStateObjectLock)
	is(t, "two periods", bucket.SetBucketObjectLockConfiguration(ctx, project, name,
		&metaclient.BucketObjectLockConfiguration{Enabled: true,
			DefaultRetention: &metaclient.DefaultRetention{Mode: storj.GovernanceMode, Days: 1, Years: 1}}),
		bucket.ErrBucketInvalidObjectLockConfig)
	is(t, "no configuration", bucket.SetBucketObjectLockConfiguration(ctx, project, name, nil),
		bucket.ErrBucketInvalidObjectLockConfig)
	is(t, "a period of no mode", bucket.SetBucketObjectLockConfiguration(ctx, project, name,
		&metaclient.BucketObjectLockConfiguration{Enabled: true,
			DefaultRetention: &metaclient.DefaultRetention{Days: 1}}), bucket.ErrBucketInvalidObjectLockConfig)

	plain := freeName("plain")
	_, err = project.CreateBucket(ctx, plain)
	must(t, err)
	_, err = bucket.GetBucketObjectLockConfiguration(ctx, project, plain)
	is(t, "configuration of a bucket without lock", err, bucket.ErrBucketNoLock)
	is(t, "lock without versions", bucket.SetBucketObjectLockConfiguration(ctx, project, plain,
		&metaclient.BucketObjectLockConfiguration{Enabled: true}), bucket.ErrBucketInvalidStateObjectLock)
	must(t, bucket.SetBucketVersioning(ctx, project, plain, true))
	must(t, bucket.SetBucketObjectLockConfiguration(ctx, project, plain,
		&metaclient.BucketObjectLockConfiguration{Enabled: true}))
	_, err = project.DeleteBucketWithObjects(ctx, plain)
	is(t, "deleted with objects under lock", err, uplink.ErrPermissionDenied)
	_, err = bucket.DeleteBucketWithObjectsBypassGovernanceRetention(ctx, project, plain)
	must(t, err)
	_, err = bucket.GetBucketObjectLockConfiguration(ctx, project, absentBucket)
	is(t, "configuration of no bucket", err, uplink.ErrBucketNotFound)

	deleted, err := bucket.DeleteBucketWithObjectsBypassGovernanceRetention(ctx, project, name)
	must(t, err)
	if deleted.Name != name {
		t.Errorf("deleted %q", deleted.Name)
	}
	_, err = bucket.DeleteBucketWithObjectsBypassGovernanceRetention(ctx, project, name)
	is(t, "deleted twice", err, uplink.ErrBucketNotFound)
	_, err = bucket.DeleteBucketWithObjectsBypassGovernanceRetention(ctx, project, "")
	is(t, "deleted without a name", err, uplink.ErrBucketNameInvalid)
}

func TestPrivateBucketTagging(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	_, err := bucket.GetBucketTagging(ctx, project, name)
	is(t, "no tags", err, bucket.ErrTagsNotFound)
	tags := []bucket.Tag{{Key: "colour", Value: "grün"}, {Key: "empty", Value: ""}}
	must(t, bucket.SetBucketTagging(ctx, project, name, tags))
	got, err := bucket.GetBucketTagging(ctx, project, name)
	must(t, err)
	if fmt.Sprint(got) != fmt.Sprint(tags) {
		t.Errorf("tags %v, want %v", got, tags)
	}
	must(t, bucket.SetBucketTagging(ctx, project, name, nil))
	_, err = bucket.GetBucketTagging(ctx, project, name)
	is(t, "tags taken away", err, bucket.ErrTagsNotFound)

	many := make([]bucket.Tag, 51)
	for i := range many {
		many[i] = bucket.Tag{Key: fmt.Sprint(i), Value: "x"}
	}
	set := func(tags ...bucket.Tag) error { return bucket.SetBucketTagging(ctx, project, name, tags) }
	is(t, "51 tags", set(many...), bucket.ErrTooManyTags)
	must(t, set(many[:50]...))
	is(t, "no key", set(bucket.Tag{Value: "x"}), bucket.ErrTagKeyInvalid)
	is(t, "long key", set(bucket.Tag{Key: strings.Repeat("k", 129)}), bucket.ErrTagKeyInvalid)
	is(t, "key with a hash", set(bucket.Tag{Key: "a#b"}), bucket.ErrTagKeyInvalid)
	is(t, "key twice", set(bucket.Tag{Key: "a"}, bucket.Tag{Key: "a"}), bucket.ErrTagKeyDuplicate)
	is(t, "long value", set(bucket.Tag{Key: "a", Value: strings.Repeat("v", 257)}), bucket.ErrTagValueInvalid)
	_, err = bucket.GetBucketTagging(ctx, project, absentBucket)
	is(t, "tags of no bucket", err, uplink.ErrBucketNotFound)
	is(t, "tagging no bucket", bucket.SetBucketTagging(ctx, project, absentBucket, tags), uplink.ErrBucketNotFound)
	is(t, "tagging no name", bucket.SetBucketTagging(ctx, project, "", tags), uplink.ErrBucketNameInvalid)
}

func TestPrivateBucketLocation(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	_, err := bucket.GetBucketLocation(ctx, project, name)
	must(t, err)
	_, err = bucket.GetBucketLocation(ctx, project, absentBucket)
	is(t, "location of no bucket", err, uplink.ErrBucketNotFound)
	_, err = bucket.GetBucketLocation(ctx, project, "")
	is(t, "location of no name", err, uplink.ErrBucketNameInvalid)
}

// A key without the eventing bit, as keys are made here, may neither see nor set notifications.
func TestPrivateBucketNotification(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	_, err := bucket.GetBucketNotificationConfiguration(ctx, project, name)
	is(t, "get", err, uplink.ErrPermissionDenied)
	is(t, "set", bucket.SetBucketNotificationConfiguration(ctx, project, name,
		&metaclient.BucketNotificationConfiguration{ID: "id", TopicName: "projects/x/topics/y",
			Events: []string{"s3:ObjectCreated:*"}}), uplink.ErrPermissionDenied)
	_, err = bucket.GetBucketNotificationConfiguration(ctx, project, "")
	is(t, "get without a name", err, uplink.ErrBucketNameInvalid)
	is(t, "set without a name", bucket.SetBucketNotificationConfiguration(ctx, project, "", nil),
		uplink.ErrBucketNameInvalid)
}

func TestPrivateBucketList(t *testing.T) {
	project, ctx := openProject(t), t.Context()
	name := newBucket(t)
	list := bucket.ListBucketsWithAttribution(ctx, project, &bucket.ListBucketsOptions{Cursor: name[:len(name)-1]})
	found := false
	for list.Next() {
		if list.Item().Name == name {
			found = true
			if list.Item().Created.IsZero() {
				t.Error("no time of creation")
			}
		}
	}
	must(t, list.Err())
	if !found {
		t.Errorf("%s is not listed", name)
	}
	if list.Item() == nil {
		t.Log("nothing after the end")
	}
	all := 0
	for list = bucket.ListBucketsWithAttribution(ctx, project, nil); list.Next(); all++ {
	}
	must(t, list.Err())
	if all == 0 {
		t.Error("no bucket without options")
	}
	stranger := openGo(t, foreignGrant(t), uplink.Config{}).project
	list = bucket.ListBucketsWithAttribution(ctx, stranger, nil)
	if list.Next() {
		t.Error("a foreign key lists buckets")
	}
	is(t, "foreign key", list.Err(), uplink.ErrPermissionDenied)
}
