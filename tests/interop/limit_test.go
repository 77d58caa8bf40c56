package interop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"storj.io/common/grant"
	"storj.io/common/macaroon"
	"storj.io/uplink"
)

// limitCaveat is a caveat of not_after in 1970 and one limit in field 1000.
func limitCaveat(field byte, value uint64) []byte {
	caveat := []byte("\xa2\x01\x02\x08\x01\xf2\x01\x04once") // 20 {1: 1}, 30 "once"
	limits := binary.AppendUvarint([]byte{field << 3}, value)
	return append(append(caveat, 0xc2, 0x3e, byte(len(limits))), limits...)
}

func limited(t *testing.T, text string, field byte, value uint64) string {
	t.Helper()
	parsed, err := grant.ParseAccess(text)
	must(t, err)
	mac, err := macaroon.ParseMacaroon(parsed.APIKey.SerializeRaw())
	must(t, err)
	mac, err = mac.AddFirstPartyCaveat(limitCaveat(field, value))
	must(t, err)
	parsed.APIKey, err = macaroon.ParseRawAPIKey(mac.Serialize())
	must(t, err)
	out, err := parsed.Serialize()
	must(t, err)
	return out
}

// A client that knows nothing of limits passes them on, in what it shares as well, and understands that
// there is no more; what a satellite that knows nothing of them would say is no.
func TestGrantLimits(t *testing.T) {
	if !shared.ours() {
		t.Skip("limits in grants are Acre's")
	}
	bucket := newBucket(t)
	data := content("limits", 1000)
	must(t, goClient(t, shared.grant).Put(t.Context(), bucket, "key", data, putOptions{}))

	text := limited(t, shared.grant, 3, 2) // two downloads
	parsed, err := uplink.ParseAccess(text)
	must(t, err)
	child, err := parsed.Share(uplink.ReadOnlyPermission(), uplink.SharePrefix{Bucket: bucket})
	must(t, err)
	read := func(a *uplink.Access) error {
		project, err := uplink.OpenProject(t.Context(), a)
		must(t, err)
		defer func() { _ = project.Close() }()
		download, err := project.DownloadObject(t.Context(), bucket, "key", nil)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(download)
		if err == nil && !bytes.Equal(got, data) {
			t.Fatal("other data")
		}
		return errors.Join(err, download.Close())
	}
	must(t, read(parsed))
	must(t, read(child))
	if err := read(child); !errors.Is(err, uplink.ErrBandwidthLimitExceeded) {
		t.Fatalf("a third download: %v", err)
	}
	if err := read(parsed); !errors.Is(err, uplink.ErrBandwidthLimitExceeded) {
		t.Fatalf("a third download: %v", err)
	}

	// One byte too little to store.
	small, err := uplink.ParseAccess(limited(t, shared.grant, 1, 10))
	must(t, err)
	project, err := uplink.OpenProject(t.Context(), small)
	must(t, err)
	defer func() { _ = project.Close() }()
	upload, err := project.UploadObject(t.Context(), bucket, "more", nil)
	must(t, err)
	_, err = upload.Write(data)
	if err == nil {
		err = upload.Commit()
	}
	if !errors.Is(err, uplink.ErrStorageLimitExceeded) {
		t.Fatalf("an upload beyond the limit: %v", err)
	}

	// The reference's own judgement of such a key, which it takes without the caveat.
	secret := []byte("01234567890123456789012345678901")
	plain, err := macaroon.NewAPIKey(secret)
	must(t, err)
	judge := func(raw []byte) error {
		key, err := macaroon.ParseRawAPIKey(raw)
		must(t, err)
		return key.Check(t.Context(), secret, macaroon.APIKeyVersionMin, macaroon.Action{
			Op: macaroon.ActionRead, Bucket: []byte(bucket), EncryptedPath: []byte("key"), Time: time.Now(),
		}, nil)
	}
	must(t, judge(plain.SerializeRaw()))
	mac, err := macaroon.ParseMacaroon(plain.SerializeRaw())
	must(t, err)
	mac, err = mac.AddFirstPartyCaveat(limitCaveat(3, 2))
	must(t, err)
	refused(t, "limits that a satellite does not know", judge(mac.Serialize()))
}
