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

// Queue is a priority queue of timers: a radix heap (Ahuja, Mehlhorn, Orlin, Tarjan 1990) with digits of four bits. It uses that time advances: an entry's bucket is
// the highest digit in which its time differs from the last time popped, and its value there, so registering is an append to an array, and entries
// move to lower buckets a few times in their life, in runs. A binary heap compares its way through memory instead. A few entries that are all due
// are sorted at once: moving them one digit at a time costs more.
type Queue struct {
	account  *memory.Account
	last     uint64    // key of the last time popped: no entry of a level is below it
	first    []Entry   // of the last time, or sorted ones that are due
	head     int       // those before it are popped
	levels   [16]level // by digit, the lowest first
	n        int
	reserved int64
}

// level is the buckets of a digit.
type level struct {
	buckets [16][]Entry
	minimum [16]uint64 // smallest key of the bucket, when it is not empty
	some    uint16     // the buckets that are not empty
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
	if k == q.last {
		return q.append(&q.first, e)
	}
	at := (bits.Len64(k^q.last) - 1) / digit
	l, d := &q.levels[at], k>>(digit*at)&(1<<digit-1)
	if err := q.append(&l.buckets[d], e); err != nil {
		return err
	}
	if l.some&(1<<d) == 0 || k < l.minimum[d] {
		l.minimum[d] = k
		l.some |= 1 << d
	}
	return nil
}

// append adds an entry to a bucket.
func (q *Queue) append(bucket *[]Entry, e Entry) error {
	list := *bucket
	if len(list) == cap(list) {
		size := max(16, 2*cap(list))
		more := int64(size-cap(list)) * entryBytes
		if err := q.account.Reserve(more); err != nil {
			return err
		}
		q.reserved += more
		list = append(make([]Entry, 0, size), list...)
	}
	*bucket = append(list, e)
	return nil
}

// lowest returns the level and the bucket with the earliest times behind the first, if there are any.
func (q *Queue) lowest() (at, d int, ok bool) {
	for at := range q.levels {
		if some := q.levels[at].some; some != 0 {
			return at, bits.TrailingZeros16(some), true
		}
	}
	return 0, 0, false
}

// Next returns the earliest time, or false when the queue is empty. A late timer counts as due at the last time popped.
func (q *Queue) Next() (core.Time, bool) {
	if q.head < len(q.first) {
		return core.Time(max(key(q.first[q.head].Time), q.last) ^ 1<<63), true
	}
	if at, d, ok := q.lowest(); ok {
		return core.Time(q.levels[at].minimum[d] ^ 1<<63), true
	}
	return 0, false
}

// Pop takes up to len(out) timers that are due at now (time <= now), earliest first, and returns how many. An error is the memory limit's, and
// nothing is lost.
func (q *Queue) Pop(now core.Time, out []Entry) (int, error) {
	limit := key(now)
	n := 0
	for n < len(out) && q.n > 0 {
		if len(q.first) == 0 {
			at, d, _ := q.lowest()
			l := &q.levels[at]
			if l.minimum[d] > limit {
				break
			}
			if end := l.minimum[d] | (1<<(digit*at) - 1); end <= limit && len(l.buckets[d]) <= few {
				q.take(l, d)
			} else if err := q.spread(l, d); err != nil {
				return n, err
			}
		}
		if q.last > limit {
			break
		}
		taken := copy(out[n:], q.first[q.head:])
		n += taken
		q.n -= taken
		if q.head += taken; q.head == len(q.first) {
			q.head = 0
			q.empty(&q.first)
		}
	}
	if q.n == 0 && q.reserved > keepEntries*entryBytes {
		last := q.last
		q.Clear()
		q.last = last
	}
	return n, nil
}

const (
	// digit is the number of bits of a level.
	digit = 4
	// few is how many entries, all due, are sorted instead of divided further.
	few = 64
	// keepEntries is the largest capacity that an empty bucket keeps.
	keepEntries = 4096
)

// take makes a bucket, all of whose entries are due, the first.
func (q *Queue) take(l *level, d int) {
	list := l.buckets[d]
	for i, e := range list {
		for ; i > 0 && list[i-1].Time > e.Time; i-- {
			list[i] = list[i-1]
		}
		list[i] = e
	}
	q.last = l.minimum[d]
	l.buckets[d], q.first = q.first, list
	l.some &^= 1 << d
}

// spread advances to the smallest time of a bucket and moves its entries to lower levels; those of that time come first.
func (q *Queue) spread(l *level, d int) error {
	list, before := l.buckets[d], q.last
	q.last = l.minimum[d]
	for _, e := range list {
		if err := q.put(e); err != nil {
			q.empty(&q.first) // it and the levels below were empty, and list still has every entry
			for low := range q.levels {
				if &q.levels[low] == l {
					break
				}
				for d := range q.levels[low].buckets {
					q.empty(&q.levels[low].buckets[d])
				}
				q.levels[low].some = 0
			}
			q.last = before
			return err
		}
	}
	q.empty(&l.buckets[d])
	l.some &^= 1 << d
	return nil
}

func (q *Queue) empty(bucket *[]Entry) {
	list := *bucket
	if cap(list) > keepEntries {
		n := int64(cap(list)) * entryBytes
		q.account.Unreserve(n)
		q.reserved -= n
		*bucket = nil
		return
	}
	*bucket = list[:0]
}

// Clear removes every timer and gives the memory back. The queue may be used again.
func (q *Queue) Clear() {
	q.account.Unreserve(q.reserved)
	*q = Queue{account: q.account}
}
