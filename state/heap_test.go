package state

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"turbo/memory"
)

// TestHeapModel: values that are put, replaced, extended and dropped are what they should be, and what was there when the heap was pinned stays readable until it is not.
func TestHeapModel(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 9))
		pool := memory.NewPool(0)
		var h heap
		h.init(pool.Account("heap"))
		random := func() []byte {
			b := make([]byte, rng.IntN(1<<rng.IntN(17)))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			return b
		}
		handles := make([]handle, 30)
		want := make([][]byte, len(handles))
		var pinned []handle // what a reader reads, while there is one
		var data [][]byte
		var read [][]byte
		for step := range 2000 {
			i := rng.IntN(len(handles))
			var err error
			switch k := rng.IntN(20); {
			case k < 8:
				more := random()
				handles[i], err = h.extend(handles[i], more)
				want[i] = append(bytes.Clone(want[i]), more...)
			case k < 14:
				want[i] = random()
				handles[i], err = h.replace(handles[i], want[i])
			case k < 18 || pinned == nil && k < 19:
				h.drop(handles[i])
				handles[i], want[i] = 0, nil
			case pinned == nil:
				h.pins.Add(1)
				pinned, data, read = append([]handle{}, handles...), append([][]byte{}, h.data...), append([][]byte{}, want...)
			default:
				for k, x := range pinned {
					if !bytes.Equal(valueAt(data, x), read[k]) {
						t.Fatalf("seed %d, step %d: value %d has changed while it was read", seed, step, k)
					}
				}
				h.pins.Add(-1)
				h.trySettle()
				pinned = nil
			}
			if err != nil {
				t.Fatal(err)
			}
			for k, x := range handles {
				if (step%50 == 0 || k == i) && !bytes.Equal(h.at(x), want[k]) {
					t.Fatalf("seed %d, step %d: value %d is %d bytes, not %d as it should be", seed, step, k, x.length(), len(want[k]))
				}
			}
		}
		h.close()
		if err := pool.CheckZero(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHeapExtend: appending moves a value a logarithmic number of times.
func TestHeapExtend(t *testing.T) {
	var h heap
	h.init(memory.NewPool(0).Account("heap"))
	var x handle
	moves := 0
	for n := range 100_000 {
		fresh, err := h.extend(x, []byte{byte(n)})
		if err != nil {
			t.Fatal(err)
		}
		if fresh>>27 != x>>27 {
			moves++
		}
		x = fresh
	}
	for n, b := range h.at(x) {
		if b != byte(n) {
			t.Fatal(n)
		}
	}
	if moves > 30 {
		t.Errorf("%d moves", moves)
	}
	for class := range uint8(heapClasses) {
		if c, cell := classOf(cellOf(class)); c != class || cell != cellOf(class) {
			t.Errorf("class %d: %d bytes", class, cellOf(class))
		}
	}
	h.close()
}
