package ops

import (
	"fmt"
	"time"

	"turbo/core"
	"turbo/state"
	"turbo/timers"
)

// DeduplicateConfig describes a deduplication.
type DeduplicateConfig struct {
	Keys []int // input columns
	// TTL is how long a key is remembered, from the row that was kept; 0: for ever.
	TTL time.Duration
	// ProcessingTime counts the TTL by the clock, else by the input's time column.
	ProcessingTime bool
}

// Deduplicate keeps the first row of each key and drops the others that come within the TTL of it. A row whose time is the TTL or more
// after the one that was kept is kept in turn, and counts from then on. So in event time the result follows from the rows' times, not from when
// state is dropped: once the watermark has passed kept + TTL - 1, no row in time can be a duplicate any more. Late rows of a key that is
// forgotten are kept. A row without a time counts as one of the watermark's.
//
// State is one row a key, with the time until which it counts. Expiry needs no state of its own: its timers are found again in
// the table after a restore.
type Deduplicate struct {
	core.BaseOperator
	config    DeduplicateConfig
	ctx       *core.OperatorContext
	table     *state.Table
	timers    *timers.Queue
	until     int // the table's field: until when a key counts
	time      int // input column, -1 none
	watermark core.Time
	expiring  bool // rows that are due may be left

	keys    []*core.Vector
	hashes  []uint64
	slots   []uint32
	created []bool
	due     []timers.Entry
	dropped []uint32
}

// expireRows bounds how many rows are dropped in one go.
const expireRows = 8192

// NewDeduplicate returns an instance for one worker.
func NewDeduplicate(config DeduplicateConfig) *Deduplicate { return &Deduplicate{config: config} }

// Open implements core.Operator.
func (d *Deduplicate) Open(ctx *core.OperatorContext) error {
	d.ctx = ctx
	d.watermark = core.MinTime
	input := ctx.Inputs[0]
	d.time = -1
	switch {
	case input.Changelog:
		return fmt.Errorf("deduplicate: the input is a changelog")
	case len(d.config.Keys) == 0:
		return fmt.Errorf("deduplicate: it needs a key")
	case d.config.TTL < 0:
		return fmt.Errorf("deduplicate: the time to live %v is negative", d.config.TTL)
	case d.config.TTL > 0 && !d.config.ProcessingTime:
		if d.time = input.TimeColumn; d.time < 0 {
			return fmt.Errorf("deduplicate: the time to live counts in event time, and the input has no time column")
		}
	}
	var keys []core.Field
	for _, k := range d.config.Keys {
		if k < 0 || k >= len(input.Fields) {
			return fmt.Errorf("deduplicate: key column %d of %d", k, len(input.Fields))
		}
		keys = append(keys, input.Fields[k])
	}
	d.until = len(keys)
	t, err := ctx.Tables.Table("keys", keys, []core.Field{{Name: "until", Type: core.Of(core.TimestampLTZ).Required()}})
	if err != nil {
		return err
	}
	var ok bool
	if d.table, ok = t.(*state.Table); !ok {
		return fmt.Errorf("deduplicate: its table is a %T", t)
	}
	d.timers = timers.NewQueue(ctx.Account)
	if d.config.TTL == 0 {
		return nil
	}
	d.due = make([]timers.Entry, expireRows)
	return d.table.Scan(func(slots []uint32) error {
		until := d.table.Ints(d.until)
		for _, s := range slots {
			if err := d.timers.Push(timers.Entry{Time: core.Time(until.At(s)), Ref: uint64(s)}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Close implements core.Operator.
func (d *Deduplicate) Close() error {
	if d.timers != nil {
		d.timers.Clear()
	}
	return nil
}

// Process implements core.Operator.
func (d *Deduplicate) Process(_ int, b *core.Batch, out core.Emitter) error {
	n := b.Rows()
	if n == 0 {
		b.Release()
		return nil
	}
	kept, err := d.process(b, n)
	d.keys = clearVectors(d.keys)
	if err != nil {
		b.Release()
		return fmt.Errorf("deduplicate: %w", err)
	}
	d.ctx.Counters.Deduplicated += int64(n - kept)
	if kept == 0 {
		b.Release()
		return nil
	}
	return out.Emit(b)
}

// process narrows the selection to the rows that are kept.
func (d *Deduplicate) process(b *core.Batch, n int) (int, error) {
	if d.config.ProcessingTime && d.config.TTL > 0 {
		if err := d.expire(d.ctx.Now()); err != nil {
			return 0, err
		}
	}
	for _, k := range d.config.Keys {
		d.keys = append(d.keys, b.Columns[k])
	}
	var hashes []uint64
	hashes, d.hashes = keyHashes(b, d.keys, d.hashes)
	clock := d.ctx.Now()
	d.slots, d.created = resize(d.slots, n), resize(d.created, n)
	if _, err := d.table.Upsert(d.keys, hashes, b.Sel, b.Len, d.slots, d.created); err != nil {
		return 0, err
	}
	sel := b.SelBuffer(n)
	kept := 0
	if d.config.TTL == 0 {
		for i, isNew := range d.created {
			row := b.Row(i)
			sel[kept] = int32(row)
			if isNew {
				kept++
			}
		}
	} else {
		until := d.table.Ints(d.until)
		for i, isNew := range d.created {
			row := b.Row(i)
			now := d.timeOf(b, row, clock)
			s := d.slots[i]
			if !isNew {
				if int64(now) < until.At(s) {
					continue
				}
				if err := d.table.Touch(d.slots[i : i+1]); err != nil {
					return 0, err
				}
			}
			end := now.Add(d.config.TTL)
			until.Set(s, int64(end))
			if err := d.timers.Push(timers.Entry{Time: end, Ref: uint64(s)}); err != nil {
				return 0, err
			}
			sel[kept] = int32(row)
			kept++
		}
	}
	if kept < b.Len {
		b.Sel = sel[:kept]
	}
	return kept, nil
}

// timeOf is the time of a physical row.
func (d *Deduplicate) timeOf(b *core.Batch, row int, clock core.Time) core.Time {
	switch {
	case d.time < 0:
		return clock
	case b.Columns[d.time].Null(row):
		return d.watermark
	}
	return core.Time(b.Columns[d.time].Int64s()[row])
}

// Advance implements core.Operator: keys that no row in time can meet any more are forgotten, by Resume.
func (d *Deduplicate) Advance(t core.Time, _ core.Emitter) error {
	d.watermark = t
	d.expiring = d.config.TTL > 0
	return nil
}

// Flush implements core.Operator: what has expired by the clock need not be saved.
func (d *Deduplicate) Flush(core.Emitter) error {
	d.expiring = d.config.TTL > 0
	return nil
}

// Resume implements core.Operator.
func (d *Deduplicate) Resume(core.Emitter) (bool, error) {
	if !d.expiring {
		return false, nil
	}
	limit := d.watermark.Add(time.Microsecond) // rows in time are later than the watermark
	if d.config.ProcessingTime {
		limit = d.ctx.Now()
	}
	if err := d.expire(limit); err != nil {
		return false, fmt.Errorf("deduplicate: %w", err)
	}
	return d.expiring, nil
}

// expire drops the keys that count until limit or less, a bounded number of them; expiring says whether there may be more.
func (d *Deduplicate) expire(limit core.Time) error {
	n, err := d.timers.Pop(limit, d.due)
	if err != nil {
		return err
	}
	d.expiring = n == len(d.due)
	// A timer may be that of a key that was kept again since, or whose slot another key has by now: the row decides. A row is dropped
	// once, so it is marked.
	until := d.table.Ints(d.until)
	d.dropped = d.dropped[:0]
	for _, e := range d.due[:n] {
		if s := uint32(e.Ref); d.table.Live(s) && until.At(s) <= int64(limit) {
			d.dropped = append(d.dropped, s)
		}
	}
	if err := d.table.Touch(d.dropped); err != nil {
		return err
	}
	distinct := d.dropped[:0]
	for _, s := range d.dropped {
		if until.At(s) != marked {
			until.Set(s, marked)
			distinct = append(distinct, s)
		}
	}
	return d.table.Drop(distinct)
}

// marked is until when no key counts: any time plus a TTL is later.
const marked = int64(core.MinTime)

var (
	_ core.Operator = (*Calc)(nil)
	_ core.Operator = (*Aggregate)(nil)
	_ core.Operator = (*Deduplicate)(nil)
)
