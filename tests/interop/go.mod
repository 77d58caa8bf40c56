module acre.test/interop

go 1.25.0

require (
	storj.io/common v0.0.0-20260903112600-b776c2238d07
	storj.io/uplink v1.14.5
)
