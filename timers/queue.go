package timers

import (
	"math/bits"

	"turbo/core"
	"turbo/memory"
)

// Entry is a timer of a Queue: Ref is whatever the owner finds the rest by, usually a slot.
type Entry struct {
	Time core.Time
	Ref  uint64
}

const entryBytes = 16

// Queue is a priority queue of timers: a radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990). It uses that time advances: an entry's bucket is
// the highest bit in which its time differs from the last time popped, so registering is an append to an array, and entries
// move to lower buckets a few times in their life, in runs. A binary heap compares its way through memory instead. A few entries that are all due
// are sorted at once: moving them one bit at a time costs more.
type Queue struct {
	account  *memory.Account
	last     uint64 // key of the last time popped: no entry in buckets 1 and up is below it
	buckets  [65][]Entry
	minimum  [65]uint64 // smallest key of the bucket, when it is not empty
	head     int        // entries of bucket 0 before it are popped
	n        int
	reserved int64
}

// key maps times to unsigned numbers in the same order.
func key(t core.Time) uint64 { return uint64(t) ^ 1<<63 }

// NewQueue returns an empty queue that reserves its memory from account.
func NewQueue(account *memory.Account) *Queue { return &Queue{account: account} }

// Len returns the number of timers.
func (q *Queue) Len() int { return q.n }

// Push registers timers. An error is the memory limit's; entries before it are registered.
func (q *Queue) Push(entries ...Entry) error {
	for _, e := range entries {
		if err := q.put(e); err != nil {
			return err
		}
		q.n++
	}
	return nil
}

// PushSlots registers the same time for many slots, or a time each: times has one element or as many as slots.
func (q *Queue) PushSlots(times []core.Time, slots []uint32) error {
	for i, s := range slots {
		if err := q.Push(Entry{times[min(i, len(times)-1)], uint64(s)}); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) put(e Entry) error {
	k := max(key(e.Time), q.last) // what is late is due at once
	b := bits.Len64(k ^ q.last)
	list := q.buckets[b]
	if len(list) == cap(list) {
		size := max(64, 2*cap(list))
		more := int64(size-cap(list)) * entryBytes
		if err := q.account.Reserve(more); err != nil {
			return err
		}
		q.reserved += more
		list = append(make([]Entry, 0, size), list...)
	}
	if len(list) == 0 || k < q.minimum[b] {
		q.minimum[b] = k
	}
	q.buckets[b] = append(list, e)
	return nil
}

// Next returns the earliest time, or false when the queue is empty. A late timer counts as due at the last time popped.
func (q *Queue) Next() (core.Time, bool) {
	for b := range q.buckets {
		if len(q.buckets[b]) > 0 {
			return core.Time(q.minimum[b] ^ 1<<63), true
		}
	}
	return 0, false
}

// Pop takes up to len(out) timers that are due at now (time <= now), earliest first, and returns how many. An error is the memory limit's, and
// nothing is lost.
func (q *Queue) Pop(now core.Time, out []Entry) (int, error) {
	limit := key(now)
	n := 0
	for n < len(out) && q.n > 0 {
		if len(q.buckets[0]) == 0 {
			b := 1
			for len(q.buckets[b]) == 0 {
				b++
			}
			if q.minimum[b] > limit {
				break
			}
			if len(q.buckets[b]) <= few && q.last|(1<<b-1) <= limit {
				q.take(b)
			} else if err := q.spread(b); err != nil {
				return n, err
			}
		}
		if q.last > limit {
			break
		}
		taken := copy(out[n:], q.buckets[0][q.head:])
		n += taken
		q.n -= taken
		if q.head += taken; q.head == len(q.buckets[0]) {
			q.head = 0
			q.empty(0)
		}
	}
	if q.n == 0 && q.reserved > keepEntries*entryBytes {
		last := q.last
		q.Clear()
		q.last = last
	}
	return n, nil
}

// few is how many entries, all due, are sorted instead of divided further.
const few = 64

// take makes bucket b, all of whose entries are due, bucket 0.
func (q *Queue) take(b int) {
	list := q.buckets[b]
	for i, e := range list {
		for ; i > 0 && list[i-1].Time > e.Time; i-- {
			list[i] = list[i-1]
		}
		list[i] = e
	}
	q.last, q.minimum[0] = q.minimum[b], q.minimum[b]
	q.buckets[0], q.buckets[b] = list, q.buckets[0]
}

// spread advances to the smallest time of bucket b and moves its entries to lower buckets; those of that time come to bucket 0.
func (q *Queue) spread(b int) error {
	list := q.buckets[b]
	before := q.last
	q.last = q.minimum[b]
	for _, e := range list {
		if err := q.put(e); err != nil {
			for low := range b { // they were empty, and list still has every entry
				q.empty(low)
			}
			q.last = before
			return err
		}
	}
	q.empty(b)
	return nil
}

// keepEntries is the largest capacity that an empty bucket keeps.
const keepEntries = 16384

func (q *Queue) empty(b int) {
	list := q.buckets[b]
	if cap(list) > keepEntries {
		n := int64(cap(list)) * entryBytes
		q.account.Unreserve(n)
		q.reserved -= n
		q.buckets[b] = nil
		return
	}
	q.buckets[b] = list[:0]
}

// Clear removes every timer and gives the memory back. The queue may be used again.
func (q *Queue) Clear() {
	q.account.Unreserve(q.reserved)
	*q = Queue{account: q.account}
}
