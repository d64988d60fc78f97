package shuffle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/hash"
)

// The threshold on the hash that two receivers use is the border of the key groups, for any number of groups.
func TestFirstHash(t *testing.T) {
	for _, groups := range []int{2, 3, 7, 128, 1000, 32768} {
		for g := 1; g < groups; g++ {
			h := firstHash(g, groups)
			if core.KeyGroup(h, groups) != g || core.KeyGroup(h-1, groups) != g-1 {
				t.Fatalf("group %d of %d begins at %x: groups %d and %d", g, groups, h, core.KeyGroup(h-1, groups), core.KeyGroup(h, groups))
			}
		}
	}
}

// Batches of every type, selection and kind through every kind of exchange, against a row at a time.
func TestScatterAgainstNaive(t *testing.T) {
	s := seed(t)
	schema := wide()
	for round := range 60 {
		rng := rand.New(rand.NewPCG(s, uint64(round)))
		pool := newPool(t)
		account := pool.Account("exchange")
		receivers := 1 + rng.IntN(4)
		kind := []Kind{Hash, Hash, Hash, Rebalance, Broadcast, Forward}[rng.IntN(6)]
		if kind == Forward {
			receivers = 1
		}
		var channels []*Channel
		for range receivers {
			channels = append(channels, NewChannel(Budget{Slots: 1 << 10, Bytes: 1 << 30}, sleepless(), sleepless()))
		}
		var keys []int
		for range 1 + rng.IntN(3) {
			keys = append(keys, rng.IntN(len(schema.Fields)))
		}
		groups := 4 + rng.IntN(200)
		o, err := NewOutput(OutputConfig{
			Kind: kind, Schema: schema, Account: account, Channels: channels, Keys: keys, KeyGroups: groups,
			BatchRows: 1 + rng.IntN(50), BatchBytes: 1 << rng.IntN(16), BufferTimeout: time.Duration(rng.IntN(3)-1) * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		want := make([][]string, receivers) // Rebalance: all in the first, unordered
		for range 1 + rng.IntN(8) {
			b := randomBatch(rng, pool.Account("input"), schema, rng.IntN(70))
			var keyColumns []*core.Vector
			for _, k := range keys {
				keyColumns = append(keyColumns, b.Columns[k])
			}
			for i := range b.Rows() {
				row := b.Row(i)
				text := renderRow(b, row)
				switch kind {
				case Broadcast:
					for r := range want {
						want[r] = append(want[r], text)
					}
				case Hash:
					hashes := make([]uint64, b.Len)
					hash.Columns(keyColumns, b.Len, []int32{int32(row)}, hashes)
					r := core.WorkerOf(core.KeyGroup(hashes[row], groups), groups, receivers)
					want[r] = append(want[r], fmt.Sprintf("%s #%x", text, hashes[row]))
				default:
					want[0] = append(want[0], text)
				}
			}
			o.Emit(b)
			o.Poll(int64(rng.IntN(3)) * int64(time.Second))
		}
		if !o.Control(core.Message{Kind: core.EndMessage}) {
			t.Fatal("the rings are full")
		}
		got := make([][]string, receivers)
		for r, c := range channels {
			for {
				m, ok := c.pop()
				if !ok {
					t.Fatal("no end")
				}
				if m.Kind == core.EndMessage {
					break
				}
				to := r
				if kind == Rebalance {
					to = 0
				}
				for i := range m.Batch.Rows() {
					text := renderRow(m.Batch, m.Batch.Row(i))
					if kind == Hash {
						text += fmt.Sprintf(" #%x", m.Batch.Hashes[m.Batch.Row(i)])
					}
					got[to] = append(got[to], text)
				}
				m.Batch.Release()
			}
		}
		if kind == Rebalance {
			slices.Sort(got[0])
			slices.Sort(want[0])
		}
		for r := range want {
			if !slices.Equal(got[r], want[r]) {
				t.Fatalf("round %d, %v to %d, receiver %d:\ngot  %q\nwant %q", round, kind, receivers, r, got[r], want[r])
			}
		}
		o.Close()
	}
}

// Rows of one key go to one receiver, whatever the number of senders, in the order of core.WorkerOf; a one-row batch too.
func TestAssignMatchesWorkerOf(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 0))
	for range 200 {
		groups := 1 + rng.IntN(300)
		receivers := 1 + rng.IntN(min(groups, 9))
		sc := newScatter(groups, receivers)
		n := rng.IntN(100)
		hashes := make([]uint64, n)
		var sel []int32
		for i := range hashes {
			hashes[i] = rng.Uint64()
			if rng.IntN(2) == 0 {
				sel = append(sel, int32(i))
			}
		}
		rows := sel
		if rng.IntN(2) == 0 || sel == nil {
			rows, sel = nil, nil
			for i := range n {
				rows = append(rows, int32(i))
			}
		}
		sc.assign(hashes, sel, n)
		want := make([][]int32, receivers)
		for _, i := range rows {
			r := core.WorkerOf(core.KeyGroup(hashes[i], groups), groups, receivers)
			if sc.receiverOf(hashes[i]) != r {
				t.Fatal("receiverOf")
			}
			want[r] = append(want[r], i)
		}
		for r := range want {
			if !slices.Equal(sc.selection(r), want[r]) {
				t.Fatalf("%d groups, receiver %d of %d: got %v, want %v", groups, r, receivers, sc.selection(r), want[r])
			}
		}
	}
}
