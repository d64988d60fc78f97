package process

import (
	"container/heap"
	"slices"

	"turbo/core"
	"turbo/core/hash"
	"turbo/timers"
)

// timerSet is the timers of one kind of time: a set of (key, time).
//
// What functions register and delete is collected, the last word on a timer winning, and goes to the service in one go when the batch at
// hand is done. While a batch of timers fires, those registered for a time before the batch's end join it, and those deleted leave it:
// so timers fire in the order of their times, as if they came one by one.
type timerSet struct {
	service *timers.Service
	k       *keyed
	// collected
	slots   []uint32
	times   []core.Time
	deleted []bool
	index   []int32 // open addressing over the three: position + 1
	groups  []int32
	some    []uint32
	someAt  []core.Time
	keys    []*core.Vector
	// firing
	active    bool
	until     core.Time
	fired     *timers.Fired
	batch     *core.Batch // the keys of fired, as rows
	firedAt   []core.Time
	firedSlot []uint32
	cancelled []bool
	at        int
	row       int // of the timer at hand
	joined    joinedTimers
}

// joinedTimers is a heap of timers that join a batch which fires.
type joinedTimers []joinedTimer

type joinedTimer struct {
	time core.Time
	slot uint32
	row  int // of the batch that fires: where the key is
}

func (j joinedTimers) Len() int           { return len(j) }
func (j joinedTimers) Less(a, b int) bool { return j[a].time < j[b].time }
func (j joinedTimers) Swap(a, b int)      { j[a], j[b] = j[b], j[a] }
func (j *joinedTimers) Push(x any)        { *j = append(*j, x.(joinedTimer)) }
func (j *joinedTimers) Pop() any {
	old := *j
	x := old[len(old)-1]
	*j = old[:len(old)-1]
	return x
}

func openTimers(ctx *core.OperatorContext, k *keyed, name string) (*timerSet, error) {
	s, err := timers.NewService(ctx.Tables, ctx.Account, name, k.fields)
	if err != nil {
		return nil, err
	}
	t := &timerSet{service: s, k: k}
	for _, f := range k.fields {
		t.keys = append(t.keys, core.NewVector(ctx.Account, f.Type, 0))
	}
	return t, nil
}

// register sets a timer of the current key.
func (t *timerSet) register(slot uint32, at core.Time) {
	if t.fired != nil {
		if i := t.pending(slot, at); i >= 0 {
			t.cancelled[i] = false
			return
		}
		if t.joins(slot, at) >= 0 {
			return
		}
		if n := len(t.firedAt); at < t.firedAt[n-1] {
			heap.Push(&t.joined, joinedTimer{at, slot, t.row})
			return
		}
	}
	t.collect(slot, at, false)
}

// remove deletes a timer of the current key, if it is set.
func (t *timerSet) remove(slot uint32, at core.Time) {
	if t.fired != nil {
		if i := t.pending(slot, at); i >= 0 {
			t.cancelled[i] = true
		}
		if i := t.joins(slot, at); i >= 0 {
			heap.Remove(&t.joined, i)
		}
	}
	t.collect(slot, at, true)
}

// pending returns where in the batch that fires a timer is that has not fired yet, cancelled or not, or -1.
func (t *timerSet) pending(slot uint32, at core.Time) int {
	i, _ := slices.BinarySearch(t.firedAt[t.at:], at)
	for i += t.at; i < len(t.firedAt) && t.firedAt[i] == at; i++ {
		if t.firedSlot[i] == slot {
			return i
		}
	}
	return -1
}

func (t *timerSet) joins(slot uint32, at core.Time) int {
	return slices.IndexFunc(t.joined, func(j joinedTimer) bool { return j.time == at && j.slot == slot })
}

// collect notes what is to be done in the service.
func (t *timerSet) collect(slot uint32, at core.Time, deleted bool) {
	if 2*len(t.slots) >= len(t.index) {
		t.rehash()
	}
	mask := uint64(len(t.index) - 1)
	p := t.place(slot, at)
	for ; t.index[p] != 0; p = (p + 1) & mask {
		if i := t.index[p] - 1; t.slots[i] == slot && t.times[i] == at {
			t.deleted[i] = deleted
			return
		}
	}
	t.slots, t.times, t.deleted = append(t.slots, slot), append(t.times, at), append(t.deleted, deleted)
	t.index[p] = int32(len(t.slots))
}

func (t *timerSet) place(slot uint32, at core.Time) uint64 {
	return hash.Mix(uint64(at)^uint64(slot)<<40) & uint64(len(t.index)-1)
}

func (t *timerSet) rehash() {
	t.index = make([]int32, max(256, 2*len(t.index)))
	mask := uint64(len(t.index) - 1)
	for i := range t.slots {
		p := t.place(t.slots[i], t.times[i])
		for t.index[p] != 0 {
			p = (p + 1) & mask
		}
		t.index[p] = int32(i + 1)
	}
}

// flush brings what was collected to the service. It comes before keys are dropped: the timers' keys are read from the table.
func (t *timerSet) flush() error {
	if len(t.slots) == 0 {
		return nil
	}
	if 8*len(t.slots) < len(t.index) {
		for i := range t.slots {
			for p, mask := t.place(t.slots[i], t.times[i]), uint64(len(t.index)-1); t.index[p] != 0; p = (p + 1) & mask {
				t.index[p] = 0
			}
		}
	} else {
		clear(t.index)
	}
	for _, deleted := range [...]bool{true, false} {
		t.some, t.someAt, t.groups = t.some[:0], t.someAt[:0], t.groups[:0]
		for i, s := range t.slots {
			if t.deleted[i] == deleted {
				t.some, t.someAt, t.groups = append(t.some, s), append(t.someAt, t.times[i]), append(t.groups, int32(t.k.table.Group(s)))
			}
		}
		if len(t.some) == 0 {
			continue
		}
		for _, v := range t.keys {
			v.Reset()
		}
		if err := t.k.table.AppendKeys(t.keys, t.some); err != nil {
			return err
		}
		var err error
		if deleted {
			err = t.service.Delete(t.groups, t.someAt, t.keys)
		} else {
			err = t.service.Register(t.groups, t.someAt, t.keys)
		}
		if err != nil {
			return err
		}
	}
	t.slots, t.times, t.deleted = t.slots[:0], t.times[:0], t.deleted[:0]
	return nil
}

// start begins to fire what is due at until.
func (t *timerSet) start(until core.Time) { t.active, t.until = true, until }

// fetch takes the next batch of due timers from the service; afterwards fired is nil when there is none.
func (t *timerSet) fetch(ctx *core.OperatorContext) error {
	f, err := t.service.Fire(t.until)
	if err != nil || f == nil {
		t.active = false
		return err
	}
	t.fired, t.at = f, 0
	t.firedAt = append(t.firedAt[:0], core.Values[core.Time](f.Times)...)
	t.batch = core.NewBatch(ctx.Account, t.k.schema)
	t.batch.Len = f.Len()
	for _, v := range f.Namespace {
		t.batch.Columns = append(t.batch.Columns, v.Retain())
	}
	hashes := t.batch.MakeHashes()
	hash.Columns(t.batch.Columns, t.batch.Len, nil, hashes)
	if err := t.k.find(t.batch.Columns, hashes, nil, 0, t.batch.Len); err != nil {
		return err
	}
	t.firedSlot = append(t.firedSlot[:0], t.k.slots...)
	t.cancelled = resize(t.cancelled, t.batch.Len)
	clear(t.cancelled)
	return nil
}

// next returns the next timer of the batch that fires, and takes it out: row of the set is then where its key is in the batch.
func (t *timerSet) next() (at core.Time, slot uint32, ok bool) {
	for t.at < len(t.firedAt) && t.cancelled[t.at] {
		t.at++
	}
	if len(t.joined) > 0 && (t.at == len(t.firedAt) || t.joined[0].time < t.firedAt[t.at]) {
		j := heap.Pop(&t.joined).(joinedTimer)
		t.row = j.row
		return j.time, j.slot, true
	}
	if t.at == len(t.firedAt) {
		return 0, 0, false
	}
	t.row = t.at
	t.at++
	return t.firedAt[t.at-1], t.firedSlot[t.at-1], true
}

// done ends the batch that fires.
func (t *timerSet) done() {
	if t.batch != nil {
		t.batch.Release()
		t.batch = nil
	}
	if t.fired != nil {
		t.fired.Release()
		t.fired = nil
	}
	t.firedAt, t.firedSlot, t.joined, t.at = t.firedAt[:0], t.firedSlot[:0], t.joined[:0], 0
}

func (t *timerSet) close() {
	t.done()
	t.service.Close()
	for _, v := range t.keys {
		v.Release()
	}
	t.keys = nil
}
