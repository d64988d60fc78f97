package join

import (
	"math"
	"slices"

	"turbo/memory"
)

// buckets are slots by time, in buckets of a power of two of microseconds: what is due at a watermark, and the rows of a slice. Adding is an
// append. It is derived from tables. What a slot stands for may have gone meanwhile: whoever takes it looks.
type buckets struct {
	account  *memory.Account
	shift    int               // buckets are 1<<shift microseconds; -1: number and last say
	number   func(int64) int64 // the bucket of a time; monotonous
	last     func(int64) int64 // the last time of a bucket
	lists    map[int64]*bucket
	order    []int64 // numbers, ascending
	cache    [64]*bucket
	spare    []*bucket
	ready    []*bucket // due, not taken yet
	reserved int64
}

type bucket struct {
	number int64
	slots  []uint32
}

// keepSlots and keepBuckets bound what spare buckets keep.
const (
	keepSlots   = 1 << 15
	keepBuckets = 16
)

// newBuckets returns buckets of about width microseconds.
func newBuckets(account *memory.Account, width int64) *buckets {
	shift := 0
	for int64(1)<<shift < width && shift < 62 {
		shift++
	}
	return &buckets{account: account, shift: shift, lists: map[int64]*bucket{}, number: func(t int64) int64 { return t >> shift },
		last: func(n int64) int64 { return n<<shift | (1<<shift - 1) }}
}

func (b *buckets) close() {
	if b == nil {
		return
	}
	b.account.Unreserve(b.reserved)
	b.reserved, b.lists, b.order, b.spare, b.ready = 0, nil, nil, nil, nil
	b.cache = [64]*bucket{}
}

// of returns the bucket of that number.
func (b *buckets) of(number int64) *bucket {
	if c := b.cache[number&63]; c != nil && c.number == number {
		return c
	}
	c := b.lists[number]
	if c == nil {
		c = b.fresh(number)
		b.lists[number] = c
		i, _ := slices.BinarySearch(b.order, number)
		b.order = slices.Insert(b.order, i, number)
	}
	b.cache[number&63] = c
	return c
}

// fresh returns an empty bucket.
func (b *buckets) fresh(number int64) *bucket {
	n := len(b.spare)
	if n == 0 {
		return &bucket{number: number}
	}
	c := b.spare[n-1]
	b.spare = b.spare[:n-1]
	c.number = number
	return c
}

// add enters slots at their times.
func (b *buckets) add(slots []uint32, times []int64) error {
	times = times[:len(slots)]
	if b.shift < 0 {
		return b.addSlices(slots, times)
	}
	for i, x := range slots {
		n := times[i] >> (b.shift & 63)
		c := b.cache[n&63]
		if c == nil || c.number != n {
			c = b.of(n)
		}
		if len(c.slots) == cap(c.slots) {
			if err := b.grow(c); err != nil {
				return err
			}
		}
		c.slots = append(c.slots, x)
	}
	return nil
}

// addSlices is add for buckets that are not a power of two long.
func (b *buckets) addSlices(slots []uint32, times []int64) error {
	// Neighbours are mostly of one bucket, or of two: c and d.
	var c, d *bucket
	from, to := int64(0), int64(-1)
	start, end := from, to
	for i, x := range slots {
		if t := times[i]; t < from || t > to {
			c, d, from, to, start, end = d, c, start, end, from, to
			if t < from || t > to {
				n := b.number(t)
				c = b.of(n)
				from, to = b.last(n-1)+1, b.last(n)
				if n == math.MinInt64 || from > t { // at the edge of time
					from, to = t, t
				}
			}
		}
		if len(c.slots) == cap(c.slots) {
			if err := b.grow(c); err != nil {
				return err
			}
		}
		c.slots = append(c.slots, x)
	}
	return nil
}

func (b *buckets) grow(c *bucket) error {
	size := max(64, 2*cap(c.slots))
	more := int64(size-cap(c.slots)) * 4
	if err := b.account.Reserve(more); err != nil {
		return err
	}
	b.reserved += more
	c.slots = append(make([]uint32, 0, size), c.slots...)
	return nil
}

// free takes back a bucket that is not in lists any more.
func (b *buckets) free(c *bucket) {
	if n := cap(c.slots); n > keepSlots || len(b.spare) >= keepBuckets {
		b.account.Unreserve(int64(n) * 4)
		b.reserved -= int64(n) * 4
		return
	}
	c.slots = c.slots[:0]
	b.spare = append(b.spare, c)
}

// remove takes the first bucket in order out.
func (b *buckets) remove() *bucket {
	c := b.lists[b.order[0]]
	delete(b.lists, c.number)
	b.order = slices.Delete(b.order, 0, 1)
	if b.cache[c.number&63] == c {
		b.cache[c.number&63] = nil
	}
	return c
}

// advance makes ready what is due at limit (time <= limit): whole buckets, and those slots of the one around limit whose time has come.
func (b *buckets) advance(limit int64, time func(slot uint32) int64) error {
	for len(b.order) > 0 && b.last(b.order[0]) <= limit {
		b.ready = append(b.ready, b.remove())
	}
	if len(b.order) == 0 || b.order[0] > b.number(limit) {
		return nil
	}
	c, due := b.lists[b.order[0]], b.fresh(0)
	kept := 0
	for _, x := range c.slots {
		if t := time(x); t > limit {
			c.slots[kept] = x
			kept++
			continue
		}
		if len(due.slots) == cap(due.slots) {
			if err := b.grow(due); err != nil {
				return err
			}
		}
		due.slots = append(due.slots, x)
	}
	c.slots = c.slots[:kept]
	b.ready = append(b.ready, due)
	return nil
}

// take moves up to n slots that are ready to out, and reports whether there may be more.
func (b *buckets) take(out []uint32, n int) ([]uint32, bool) {
	for n > 0 && len(b.ready) > 0 {
		c := b.ready[0]
		k := min(n, len(c.slots))
		out = append(out, c.slots[len(c.slots)-k:]...)
		c.slots = c.slots[:len(c.slots)-k]
		n -= k
		if len(c.slots) == 0 {
			b.ready = slices.Delete(b.ready, 0, 1)
			b.free(c)
		}
	}
	return out, len(b.ready) > 0
}
