package interop

import (
	"context"
	"testing"

	"storj.io/common/base58"
	"storj.io/common/encryption"
	"storj.io/common/grant"
	"storj.io/common/identity"
	"storj.io/common/macaroon"
	"storj.io/common/paths"
	"storj.io/common/peertls/tlsopts"
	"storj.io/common/rpc"
	"storj.io/common/storj"
	"storj.io/uplink"
	"storj.io/uplink/private/access"
	"storj.io/uplink/private/metaclient"
)

// newDialer is what the library makes for itself, for calls below it.
func newDialer(t *testing.T) rpc.Dialer {
	t.Helper()
	ident, err := identity.NewFullIdentity(t.Context(), identity.NewCAOptions{Difficulty: 0, Concurrency: 1})
	must(t, err)
	options, err := tlsopts.NewOptions(ident, tlsopts.Config{UsePeerCAWhitelist: false, PeerIDVersions: "0"}, nil)
	must(t, err)
	dialer := rpc.NewDefaultDialer(options)
	dialer.Pool = rpc.NewDefaultConnectionPool()
	t.Cleanup(func() { _ = dialer.Pool.Close() })
	return dialer
}

func sharedAccess(t *testing.T) *uplink.Access {
	t.Helper()
	if sharedErr != nil {
		missing(t, "no network: %v", sharedErr)
	}
	a, err := uplink.ParseAccess(shared.grant)
	must(t, err)
	return a
}

// newRaw is the client of metainfo below the library: it knows neither keys nor plain text.
func newRaw(t *testing.T) *metaclient.Client {
	t.Helper()
	a := sharedAccess(t)
	client, err := metaclient.DialNodeURL(t.Context(), newDialer(t), a.SatelliteAddress(), access.APIKey(a), "interop")
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func encryptionStore() *encryption.Store {
	store := encryption.NewStore()
	store.SetDefaultKey(&storj.Key{1, 2, 3})
	store.SetDefaultPathCipher(storj.EncAESGCM)
	return store
}

var aesGCM = storj.EncryptionParameters{CipherSuite: storj.EncAESGCM, BlockSize: 7424}

// encryptedName is the key under which newDB's layer stores an object.
func encryptedName(t *testing.T, bucket, key string) string {
	t.Helper()
	path, err := encryption.EncryptPathWithStoreCipher(bucket, paths.NewUnencrypted(key), encryptionStore())
	must(t, err)
	return path.Raw()
}

// wrappedKey is a segment's key that newDB's layer can open.
func wrappedKey(t *testing.T, bucket, key string) metaclient.SegmentEncryption {
	t.Helper()
	derived, err := encryption.DeriveContentKey(bucket, paths.NewUnencrypted(key), encryptionStore())
	must(t, err)
	nonce := storj.Nonce{4}
	wrapped, err := encryption.EncryptKey(&storj.Key{8}, storj.EncAESGCM, derived, &nonce)
	must(t, err)
	return metaclient.SegmentEncryption{EncryptedKeyNonce: nonce, EncryptedKey: wrapped}
}

// uploadID is how the library writes a stream ID.
func uploadID(id storj.StreamID) string { return base58.CheckEncode(id, 1) }

func newDB(t *testing.T) *metaclient.DB {
	t.Helper()
	db := metaclient.New(newRaw(t), aesGCM, encryptionStore())
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// foreignKey is an API key of nobody the satellite knows.
func foreignKey(t *testing.T) *macaroon.APIKey {
	t.Helper()
	secret, err := macaroon.NewSecret()
	must(t, err)
	key, err := macaroon.NewAPIKey(secret)
	must(t, err)
	return key
}

func foreignGrant(t *testing.T) string {
	t.Helper()
	g := grant.Access{
		SatelliteAddress: sharedAccess(t).SatelliteAddress(),
		APIKey:           foreignKey(t),
		EncAccess:        grant.NewEncryptionAccessWithDefaultKey(&storj.Key{1}),
	}
	text, err := g.Serialize()
	must(t, err)
	return text
}

func rawForeign(t *testing.T) *metaclient.Client {
	t.Helper()
	client, err := metaclient.DialNodeURLWithOpts(context.Background(), newDialer(t), sharedAccess(t).SatelliteAddress(),
		foreignKey(t), metaclient.DialNodeURLOpts{UserAgent: "interop"})
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
