package process

import (
	"encoding/binary"
	"time"

	"turbo/core"
)

// CacheConfig bounds the results that a lookup join keeps, each worker for itself. Nothing of it is part of a checkpoint.
type CacheConfig struct {
	Rows   int           // keys whose results are kept; 0: none
	Bytes  int64         // of keys and results, about; 0: no bound
	TTL    time.Duration // how long a result is used, in processing time; 0: until it is displaced
	Misses bool          // keys without a match are kept too
}

// cached is the result of a key: some rows of the cache's store. It is in flight first, then settled, and stays while the cache or a
// waiting row needs it.
type cached struct {
	key        string
	from, n    int // rows of the store
	bytes      int64
	until      core.Time
	refs       int // the cache's, and one a row that waits
	call       *call
	err        error // of the request
	kept       bool  // in the list of the cache
	prev, next *cached
}

// cache keeps results by key: a map over rows in columns, in the order of their last use. Rows that nobody needs any more are left behind in the store and
// squeezed out when they are more than the others.
type cache struct {
	config  CacheConfig
	ctx     *core.OperatorContext
	byKey   map[string]*cached
	list    cached // ring: next is the one used last
	others  map[*cached]bool
	store   []*core.Vector
	rows    int // of the store
	garbage int
	count   int // kept
	bytes   int64
	key     []byte
	moving  func() // called before rows of the store move
}

func (c *cache) open(ctx *core.OperatorContext, table *core.Schema, moving func()) {
	c.ctx, c.moving = ctx, moving
	c.byKey, c.others = map[string]*cached{}, map[*cached]bool{}
	c.list.next, c.list.prev = &c.list, &c.list
	c.store = newColumns(ctx, table)
}

func newColumns(ctx *core.OperatorContext, s *core.Schema) []*core.Vector {
	var out []*core.Vector
	for _, f := range s.Fields {
		out = append(out, core.NewVector(ctx.Account, f.Type, 0))
	}
	return out
}

// encode renders the key of a row; null says that a part of it is.
func (c *cache) encode(b *core.Batch, keys []int, row int) (key []byte, null bool) {
	k := c.key[:0]
	for _, i := range keys {
		v := b.Columns[i]
		if v.Null(row) {
			return nil, true
		}
		switch w := v.Type.Kind.Width(); {
		case w == 8 && v.Type.Kind != core.Float64:
			k = binary.LittleEndian.AppendUint64(k, uint64(v.Int64s()[row]))
		case w > 0 && v.Type.Kind != core.Float32 && v.Type.Kind != core.Float64:
			k = append(k, v.Data()[row*w:row*w+w]...)
		case v.Type.Kind == core.String || v.Type.Kind == core.Bytes:
			s := v.BytesAt(row)
			k = append(binary.AppendUvarint(k, uint64(len(s))), s...)
		default: // by value: 0 and -0 are one key, and so are equal nested values
			at := len(k)
			k = v.AppendJSON(k, row)
			if v.Type.Kind == core.Float32 || v.Type.Kind == core.Float64 {
				if string(k[at:]) == "-0" {
					k = append(k[:at], '0')
				}
			}
			k = append(k, 0)
		}
	}
	c.key = k
	return k, false
}

// get returns the entry of a key, in flight or not, or nil.
func (c *cache) get(key []byte, now core.Time) *cached {
	e := c.byKey[string(key)]
	if e == nil || e.call != nil {
		return e
	}
	if e.until <= now {
		c.remove(e)
		return nil
	}
	if c.list.next != e {
		e.unlink()
		e.linkAfter(&c.list)
	}
	return e
}

// add returns a new entry of a key, in flight, with the cache's reference.
func (c *cache) add(key []byte, call *call) *cached {
	e := &cached{key: string(key), call: call, refs: 1}
	c.byKey[e.key] = e
	return e
}

// settle gives an entry its result, and keeps it if it is to be kept.
func (c *cache) settle(e *cached, out *Output, err error) {
	e.call, e.err = nil, err
	if err == nil {
		e.from, e.n = c.rows, out.n
		e.bytes = int64(len(e.key)) + 128
		for i, v := range c.store {
			if out.n > 0 {
				before := len(v.Data())
				v.AppendRange(out.column(i), 0, out.n)
				e.bytes += int64(len(v.Data()) - before)
			}
		}
		c.rows += out.n
	}
	if err != nil || c.config.Rows == 0 || e.n == 0 && !c.config.Misses {
		delete(c.byKey, e.key)
		c.others[e] = true
		c.unref(e)
		return
	}
	e.until = core.MaxTime
	if c.config.TTL > 0 {
		e.until = c.ctx.Now().Add(c.config.TTL)
	}
	e.kept = true
	e.linkAfter(&c.list)
	c.count++
	c.bytes += e.bytes
	for c.count > c.config.Rows || c.config.Bytes > 0 && c.bytes > c.config.Bytes && c.count > 1 {
		c.remove(c.list.prev)
	}
}

// remove takes a settled entry out of the cache.
func (c *cache) remove(e *cached) {
	delete(c.byKey, e.key)
	e.unlink()
	e.kept = false
	c.count--
	c.bytes -= e.bytes
	c.others[e] = true
	c.unref(e)
}

// unref gives up a reference; the last one leaves the rows behind.
func (c *cache) unref(e *cached) {
	if e.refs--; e.refs > 0 {
		return
	}
	delete(c.others, e)
	if c.garbage += e.n; c.garbage > 4096 && 2*c.garbage > c.rows {
		c.squeeze()
	}
}

// squeeze copies the rows that are needed to a new store.
func (c *cache) squeeze() {
	c.moving()
	old := c.store
	c.store = nil
	for _, v := range old {
		c.store = append(c.store, core.NewVector(c.ctx.Account, v.Type, c.rows-c.garbage))
	}
	c.rows, c.garbage = 0, 0
	move := func(e *cached) {
		for i, v := range c.store {
			v.AppendRange(old[i], e.from, e.n)
		}
		e.from = c.rows
		c.rows += e.n
	}
	for e := c.list.next; e != &c.list; e = e.next {
		move(e)
	}
	for e := range c.others {
		move(e)
	}
	for _, v := range old {
		v.Release()
	}
}

func (e *cached) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (e *cached) linkAfter(at *cached) {
	e.prev, e.next = at, at.next
	at.next.prev = e
	at.next = e
}

func (c *cache) close() {
	for _, v := range c.store {
		v.Release()
	}
	c.store, c.byKey, c.others = nil, nil, nil
}
