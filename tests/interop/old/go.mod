module acre.test/interop/old

go 1.25.0

require storj.io/uplink v1.7.0

require (
	github.com/btcsuite/btcutil v1.0.3-0.20201208143702-a53e38424cce // indirect
	github.com/calebcase/tmpfile v1.0.3 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/spacemonkeygo/monkit/v3 v3.0.15 // indirect
	github.com/vivint/infectious v0.0.0-20200605153912-25a574ae18a3 // indirect
	github.com/zeebo/errs v1.2.2 // indirect
	golang.org/x/crypto v0.0.0-20210817164053-32db794688a5 // indirect
	golang.org/x/sync v0.0.0-20210220032951-036812b2e83c // indirect
	golang.org/x/sys v0.0.0-20210831042530-f4d43177bf5e // indirect
	storj.io/common v0.0.0-20210916151047-6aaeb34bb916 // indirect
	storj.io/drpc v0.0.26 // indirect
)
