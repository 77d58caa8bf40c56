module acre.test/interop/old

go 1.25.0

require storj.io/uplink v1.0.0

require (
	github.com/btcsuite/btcutil v1.0.1 // indirect
	github.com/calebcase/tmpfile v1.0.1 // indirect
	github.com/gogo/protobuf v1.2.1 // indirect
	github.com/golang/protobuf v1.3.2 // indirect
	github.com/minio/sha256-simd v0.0.0-20190328051042-05b4dd3047e5 // indirect
	github.com/skyrings/skyring-common v0.0.0-20160929130248-d1c0bb1cbd5e // indirect
	github.com/spacemonkeygo/errors v0.0.0-20171212215202-9064522e9fd1 // indirect
	github.com/spacemonkeygo/monkit/v3 v3.0.4 // indirect
	github.com/spacemonkeygo/monotime v0.0.0-20180824235756-e3f48a95f98a // indirect
	github.com/vivint/infectious v0.0.0-20190108171102-2455b059135b // indirect
	github.com/zeebo/admission/v2 v2.0.0 // indirect
	github.com/zeebo/admission/v3 v3.0.1 // indirect
	github.com/zeebo/errs v1.2.2 // indirect
	github.com/zeebo/float16 v0.1.0 // indirect
	github.com/zeebo/incenc v0.0.0-20180505221441-0d92902eec54 // indirect
	go.uber.org/atomic v1.4.0 // indirect
	go.uber.org/multierr v1.1.0 // indirect
	go.uber.org/zap v1.10.0 // indirect
	golang.org/x/crypto v0.0.0-20200220183623-bac4c82f6975 // indirect
	golang.org/x/net v0.0.0-20190923162816-aa69164e4478 // indirect
	golang.org/x/sync v0.0.0-20190911185100-cd5d95a43a6e // indirect
	golang.org/x/sys v0.0.0-20200107144601-ef85f5a75ddf // indirect
	storj.io/common v0.0.0-20200318103328-b7e942ff9304 // indirect
	storj.io/drpc v0.0.7-0.20191115031725-2171c57838d2 // indirect
)
