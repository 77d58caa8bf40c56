package interop

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"storj.io/uplink"
)

// firstBytes remembers what every connection began with.
type firstBytes struct {
	mu    sync.Mutex
	began map[string][]string // by address
}

type watchedConn struct {
	net.Conn
	watch   *firstBytes
	address string
	once    sync.Once
}

func (w *watchedConn) Write(b []byte) (int, error) {
	w.once.Do(func() {
		w.watch.mu.Lock()
		defer w.watch.mu.Unlock()
		w.watch.began[w.address] = append(w.watch.began[w.address], string(b[:min(len(b), 8)]))
	})
	return w.Conn.Write(b)
}

func (w *firstBytes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: conn, watch: w, address: address}, nil
}

// The Go library calls nodes by Noise when the satellite hands out their keys, and has no way back
// to TLS: what it stores and reads here came over Noise.
func TestNoiseIsUsed(t *testing.T) {
	ctx := context.Background()
	watch := &firstBytes{began: map[string][]string{}}
	client := openGo(t, shared.grant, uplink.Config{DialContext: watch.dial})
	bucket := newBucket(t)
	data := content("noise", 300_000)
	must(t, client.Put(ctx, bucket, "noise", data, putOptions{}))
	got, err := client.Get(ctx, bucket, "noise", 0, -1)
	must(t, err)
	if !bytes.Equal(got, data) {
		t.Fatal("other bytes came back")
	}
	_, satellite, _ := strings.Cut(shared.satellite, "@")
	byNoise := 0
	watch.mu.Lock()
	defer watch.mu.Unlock()
	for address, began := range watch.began {
		if address == satellite {
			continue
		}
		for _, magic := range began {
			if magic != "DRPC!N!1" {
				t.Errorf("a connection to the node at %s began with %q", address, magic)
			}
			byNoise++
		}
	}
	if byNoise < 4 {
		t.Fatalf("only %d connections by Noise: %v", byNoise, watch.began)
	}
}
