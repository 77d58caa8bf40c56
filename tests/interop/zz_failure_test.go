package interop

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// Nodes die; what was stored before is read, and what is stored meanwhile goes to others.
// The tests run in the order of the files' names, so nothing else is under way.
func TestDeadNodes(t *testing.T) {
	clients := allClients(t, shared.grant)
	bucket := newBucket(t)
	ctx := t.Context()
	data := map[string][]byte{}
	for _, writer := range clients {
		for i, size := range []int{5000, 9*mebi + 1} {
			key := fmt.Sprintf("before/%s/%d", writer.Name(), i)
			data[key] = content(key, size)
			must(t, writer.Put(ctx, bucket, key, data[key], putOptions{}))
		}
	}
	order := rand.Perm(shared.nodes)
	dead := func(i int) int { return order[i] + 1 }
	for i := range 2 {
		node := dead(i)
		shared.control(t, "kill", node)
		defer shared.control(t, "start", node)
	}
	// Eight pieces must be stored and ten nodes are left of twelve: every upload that was given a dead
	// node has to ask for another.
	t.Run("upload", func(t *testing.T) {
		for _, writer := range clients {
			for i := range 2 {
				key := fmt.Sprintf("during/%s/%d", writer.Name(), i)
				data[key] = content(key, 100000)
				if err := writer.Put(ctx, bucket, key, data[key], putOptions{}); err != nil {
					t.Errorf("%s: %v", key, err)
					delete(data, key)
				}
			}
		}
	})
	for i := 2; i < 4; i++ {
		node := dead(i)
		shared.control(t, "kill", node)
		defer shared.control(t, "start", node)
	}
	t.Run("download", func(t *testing.T) {
		// A satellite that does not know yet who is dead names a few nodes more than are needed, other
		// ones each time; so a reader may have to try again.
		var again atomic.Int32
		var readers sync.WaitGroup
		for key, want := range data {
			for _, reader := range clients {
				if reader.Name() == "rclone" && key != "before/acre/1" {
					continue // the Go library again
				}
				readers.Go(func() {
					var got []byte
					var err error
					for range 40 {
						if got, err = reader.Get(ctx, bucket, key, 0, -1); err == nil {
							sameBytes(t, reader.Name()+" reads "+key, got, want)
							return
						}
						again.Add(1)
					}
					t.Errorf("%s reads %s: %v", reader.Name(), key, err)
				})
			}
		}
		readers.Wait()
		t.Logf("%d objects, %d downloads had to be tried again", len(data), again.Load())
	})
}
