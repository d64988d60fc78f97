package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"turbo/ckpt"
)

// Harness is one store under test with its disk.
type Harness interface {
	// Open opens the store; any former one is closed or dead.
	Open(t testing.TB) *ckpt.Store
	// Kill ends the store as a SIGKILL does.
	Kill(t testing.TB)
	// Damage changes stored content of the given page's newest version and reports whether it could.
	Damage(t testing.TB, page ckpt.PageID) bool
}

// PowerLosser is a Harness that can also forget what was not synced.
type PowerLosser interface {
	PowerLoss(seed uint64)
}

// Run runs the suite. steps is the length of each random walk.
func Run(t *testing.T, steps int, make func(t testing.TB) Harness) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("random/%d", seed), func(t *testing.T) { randomWalk(t, make(t), seed, steps) })
	}
	t.Run("protocol", func(t *testing.T) { protocol(t, make(t)) })
	t.Run("damage", func(t *testing.T) { damage(t, make(t)) })
	t.Run("missing", func(t *testing.T) { missing(t, make(t)) })
	t.Run("selection", func(t *testing.T) { selection(t, make(t)) })
	t.Run("unfinished", func(t *testing.T) { unfinished(t, make(t)) })
}

// content is a page as the walk's table has it: slot to value. Its encoding is as naive.
type content map[int]uint32

type world map[ckpt.PageID]content

func (w world) clone() world {
	c := world{}
	for id, p := range w {
		c[id] = maps.Clone(p)
	}
	return c
}

// encodeWhole and encodeDelta write (slot, value) pairs; padding makes the sizes those of small and of large pages.
// A delta has the value 0 for slots that are gone.
func encodeWhole(p content, padding int) []byte {
	return encodeDelta(content{}, p, padding)
}

func encodeDelta(old, p content, padding int) []byte {
	slots := map[int]bool{}
	for s, v := range p {
		if old[s] != v {
			slots[s] = true
		}
	}
	for s := range old {
		if _, ok := p[s]; !ok {
			slots[s] = true
		}
	}
	out := []byte{byte(len(slots))}
	for _, s := range slices.Sorted(maps.Keys(slots)) {
		v := p[s]
		out = append(out, byte(s), byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	for i := range padding {
		out = append(out, byte(i))
	}
	return out
}

func decode(p content, data []byte) {
	n := int(data[0])
	for i := range n {
		d := data[1+5*i:]
		if v := uint32(d[1]) | uint32(d[2])<<8 | uint32(d[3])<<16 | uint32(d[4])<<24; v == 0 {
			delete(p, int(d[0]))
		} else {
			p[int(d[0])] = v
		}
	}
}

// walk is the state of a random walk.
type walk struct {
	t        *testing.T
	h        Harness
	random   *rand.Rand
	store    *ckpt.Store
	now      world                   // the tables of the running job
	complete map[uint64]world        // what every retained checkpoint must restore to
	sums     map[uint64]ckpt.Summary // and what its manifest says
	ids      []uint64                // retained checkpoints, oldest first
	next     uint64
}

func randomWalk(t *testing.T, h Harness, seed uint64, steps int) {
	w := &walk{t: t, h: h, random: rand.New(rand.NewPCG(seed, 1)), now: world{}, complete: map[uint64]world{0: {}}, sums: map[uint64]ckpt.Summary{0: {}}}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	w.reopen(0)
	for step := 0; step < steps && !t.Failed(); step++ {
		w.change()
		switch n := w.random.IntN(20); {
		case n < 10:
			w.checkpoint(3)
		case n < 13: // abandoned somewhere on the way
			w.checkpoint(w.random.IntN(3))
			w.store.Abandon(w.next - 1)
		case n < 15: // the process dies somewhere on the way
			w.checkpoint(w.random.IntN(3))
			h.Kill(t)
			w.reopen(w.last())
		case n < 16:
			w.checkpoint(w.random.IntN(3))
			if p, ok := h.(PowerLosser); ok {
				p.PowerLoss(w.random.Uint64())
			} else {
				h.Kill(t)
			}
			w.reopen(w.last())
		case n < 17:
			w.fallBack()
		case n < 19:
			w.retain()
		default:
			w.verify(w.ids)
		}
	}
	w.verify(w.ids)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func (w *walk) last() uint64 {
	if len(w.ids) == 0 {
		return 0
	}
	return w.ids[len(w.ids)-1]
}

// reopen opens the store as a restart does, and continues from a checkpoint.
func (w *walk) reopen(at uint64) {
	w.t.Helper()
	w.store = w.h.Open(w.t)
	w.recover(at)
}

func (w *walk) recover(at uint64) {
	w.t.Helper()
	if _, err := w.store.Recover(at, w.sums[at]); err != nil {
		w.t.Fatalf("recover at %d: %v", at, err)
	}
	last, err := w.store.LastID()
	if err != nil {
		w.t.Fatal(err)
	}
	w.next = max(w.next, last+1)
	w.now = w.complete[at].clone()
	w.verify([]uint64{at})
}

// change lets the job run for a while.
func (w *walk) change() {
	for range w.random.IntN(12) {
		id := ckpt.PageID{
			Operator: fmt.Sprintf("op%d", w.random.IntN(2)),
			Table:    []string{"t", "t2"}[w.random.IntN(2)],
			KeyGroup: uint16(w.random.IntN(3)),
			Number:   uint32(w.random.IntN(4)),
		}
		switch page := w.now[id]; {
		case page == nil:
			w.now[id] = content{w.random.IntN(8): w.random.Uint32() | 1}
		case w.random.IntN(8) == 0:
			delete(w.now, id)
		case w.random.IntN(4) == 0:
			delete(page, w.random.IntN(8))
		default:
			page[w.random.IntN(8)] = w.random.Uint32() | 1
		}
	}
}

// checkpoint goes as far as told: 0 begin, 1 some writes, 2 seal, 3 complete.
func (w *walk) checkpoint(upTo int) {
	w.t.Helper()
	id := w.next
	w.next++
	if err := w.store.Begin(id, 1<<10); err != nil {
		w.t.Fatal(err)
	}
	if upTo == 0 {
		return
	}
	pages := w.dirty()
	if upTo == 1 {
		pages = pages[:w.random.IntN(len(pages)+1)]
	}
	for len(pages) > 0 {
		n := 1 + w.random.IntN(len(pages))
		if err := w.store.Write(id, pages[:n]); err != nil {
			w.t.Fatal(err)
		}
		pages = pages[n:]
	}
	if upTo == 1 {
		return
	}
	sum, err := w.store.Seal(id)
	if err != nil {
		w.t.Fatal(err)
	}
	if upTo == 2 {
		return
	}
	if err := w.store.Complete(id); err != nil {
		w.t.Fatal(err)
	}
	if int(sum.Pages) != len(w.now) {
		w.t.Fatalf("checkpoint %d: summary has %d pages, the job %d", id, sum.Pages, len(w.now))
	}
	w.complete[id], w.sums[id] = w.now.clone(), sum
	w.ids = append(w.ids, id)
}

// dirty is what a task writes: every page that differs from the last completed checkpoint, and some that do not.
func (w *walk) dirty() []ckpt.Page {
	base := w.complete[w.last()]
	var pages []ckpt.Page
	padding := func() int { return []int{0, 10, 5000}[w.random.IntN(3)] }
	for id, p := range w.now {
		old, existed := base[id]
		switch {
		case !existed || w.random.IntN(6) == 0:
			pages = append(pages, ckpt.Page{ID: id, Kind: ckpt.Whole, Data: encodeWhole(p, padding())})
		case !maps.Equal(old, p):
			pages = append(pages, ckpt.Page{ID: id, Kind: ckpt.Delta, Data: encodeDelta(old, p, padding())})
		}
	}
	for id := range base {
		if w.now[id] == nil {
			pages = append(pages, ckpt.Page{ID: id, Kind: ckpt.Tombstone})
		}
	}
	slices.SortFunc(pages, func(a, b ckpt.Page) int { return cmpID(a.ID, b.ID) }) // maps have no order, seeds must replay
	w.random.Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
	return pages
}

func cmpID(a, b ckpt.PageID) int {
	if s, o := a.String(), b.String(); s < o {
		return -1
	} else if s > o {
		return 1
	}
	return 0
}

func (w *walk) fallBack() {
	if len(w.ids) < 2 {
		return
	}
	w.ids = w.ids[:len(w.ids)-1]
	w.h.Kill(w.t)
	w.reopen(w.last())
}

func (w *walk) retain() {
	if len(w.ids) < 2 {
		return
	}
	drop := w.random.IntN(len(w.ids))
	for _, id := range w.ids[:drop] {
		delete(w.complete, id)
	}
	w.ids = w.ids[drop:]
	if err := w.store.Retain(w.ids[0]); err != nil {
		w.t.Fatal(err)
	}
	w.verify(w.ids)
}

// verify restores whole checkpoints and compares.
func (w *walk) verify(ids []uint64) {
	w.t.Helper()
	for _, id := range ids {
		got := restore(w.t, w.store, id)
		if diff := compare(got, w.complete[id]); diff != "" {
			w.t.Fatalf("checkpoint %d: %s", id, diff)
		}
	}
}

func compare(got, want world) string {
	for id, p := range want {
		if !maps.Equal(got[id], p) {
			return fmt.Sprintf("page %v is %v, want %v", id, got[id], p)
		}
	}
	for id := range got {
		if want[id] == nil {
			return fmt.Sprintf("page %v should not exist", id)
		}
	}
	return ""
}

// restore reads everything at a checkpoint.
func restore(t testing.TB, store *ckpt.Store, at uint64) world {
	t.Helper()
	got := world{}
	for op := range 2 {
		for _, table := range []string{"t", "t2"} {
			sel := ckpt.Selection{Operator: fmt.Sprintf("op%d", op), Table: table, ToGroup: math.MaxUint16}
			err := store.Restore(at, sel, func(id ckpt.PageID, chain []ckpt.Version) error {
				if got[id] != nil {
					return errors.New("visited twice")
				}
				p := content{}
				for i, v := range chain {
					if (v.Kind == ckpt.Whole) != (i == 0) || v.Checkpoint > at {
						return fmt.Errorf("chain of %v at %d: version %d is %v of %d", id, at, i, v.Kind, v.Checkpoint)
					}
					decode(p, v.Data)
				}
				got[id] = p
				return nil
			})
			if err != nil {
				t.Fatalf("restore at %d: %v", at, err)
			}
		}
	}
	return got
}
