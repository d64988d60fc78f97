package ops

import (
	"fmt"

	"turbo/core"
	"turbo/core/hash"
	"turbo/state"
)

// AggregateConfig describes a running aggregate.
type AggregateConfig struct {
	Keys  []int // input columns; none: one group of all rows, which the exchange must bring to worker 0
	Calls []Call
	// EveryRow emits one update a row; otherwise one a changed key and input batch.
	EveryRow bool
	// Before emits the -U row of what an update replaces, too.
	Before bool
}

// Schema returns the output: the key columns, then one column a call. It is a changelog: +I first, then +U, with -U when asked for; -D when an input that is a changelog itself
// has taken back the key's last row.
func (c *AggregateConfig) Schema(input *core.Schema) (*core.Schema, error) {
	out := &core.Schema{TimeColumn: -1, Changelog: true}
	for _, k := range c.Keys {
		if k < 0 || k >= len(input.Fields) {
			return nil, fmt.Errorf("aggregate: key column %d of %d", k, len(input.Fields))
		}
		out.Fields = append(out.Fields, input.Fields[k])
	}
	for _, call := range c.Calls {
		var argument core.Type
		if call.Argument >= len(input.Fields) || call.Argument < 0 && call.Function != Count {
			return nil, fmt.Errorf("aggregate %s: %v of column %d of %d", call.Name, call.Function, call.Argument, len(input.Fields))
		}
		if call.Argument >= 0 {
			argument = input.Fields[call.Argument].Type
		}
		t, err := call.Function.ResultType(argument)
		if err != nil {
			return nil, fmt.Errorf("aggregate %s: %w", call.Name, err)
		}
		out.Fields = append(out.Fields, core.Field{Name: call.Name, Type: t})
	}
	if input.Changelog {
		if _, err := c.overChangelog(input); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Aggregate keeps running aggregates by key. Accumulators are columns of a keyed table.
//
// A batch goes through in blocks: keys to slots, the slots not met before in this batch (found by a stamp in the row), then each
// accumulator's loop over the block. At the end, one output row for each of them.
type Aggregate struct {
	core.BaseOperator
	config       AggregateConfig
	ctx          *core.OperatorContext
	table        *state.Table
	accumulators *Accumulators
	changelog    *changelog // nil unless the input is one
	pool         *core.BatchPool

	keys     []*core.Vector // of the batch at hand
	hashes   []uint64       // when the batch has none
	groups   []int32        // without keys: key group 0
	slots    []uint32
	created  []bool
	distinct []uint32
	first    []int32 // where in the selected rows each of distinct appears first
	updates  []uint32
	rowOf    []int32
	present  []bool // by accumulator: the mark makes its field not null
}

// aggregateBlock is the rows that go through the stages together: enough to spread the cost of calls, few enough for their table rows
// to stay in the caches from the probe to the last accumulator.
const aggregateBlock = 1024

// NewAggregate returns an instance for one worker.
func NewAggregate(config AggregateConfig) *Aggregate { return &Aggregate{config: config} }

// Open implements core.Operator.
func (a *Aggregate) Open(ctx *core.OperatorContext) error {
	a.ctx = ctx
	input := ctx.Inputs[0]
	want, err := a.config.Schema(input)
	if err != nil {
		return err
	}
	for i, f := range want.Fields {
		if i >= len(ctx.Output.Fields) || !ctx.Output.Fields[i].Type.Same(f.Type) {
			return fmt.Errorf("aggregate: the output is declared %v, it is %v", ctx.Output, want)
		}
	}
	var keys []core.Field
	for _, k := range a.config.Keys {
		keys = append(keys, input.Fields[k])
	}
	a.pool = core.NewBatchPool(ctx.Account, ctx.Output, ctx.BatchRows, 8)
	if input.Changelog {
		return a.openChangelog(keys)
	}
	if err := a.openTable(keys, StateFields(a.config.Calls, input)); err != nil {
		return err
	}
	a.accumulators, err = NewAccumulators(a.config.Calls, input, a.table, len(keys))
	return err
}

func (a *Aggregate) openTable(keys, values []core.Field) error {
	table, err := a.ctx.Tables.Table("aggregate", keys, values)
	if err != nil {
		return err
	}
	t, ok := table.(*state.Table)
	if !ok {
		return fmt.Errorf("aggregate: its table is a %T", table)
	}
	a.table = t
	return nil
}

// Close implements core.Operator.
func (a *Aggregate) Close() error {
	if a.pool != nil {
		a.pool.Close()
	}
	if a.changelog != nil {
		a.changelog.close()
	}
	return nil
}

// Process implements core.Operator.
func (a *Aggregate) Process(_ int, b *core.Batch, out core.Emitter) error {
	n := b.Rows()
	if n == 0 {
		b.Release()
		return nil
	}
	made, err := a.process(b, n)
	a.keys = clearVectors(a.keys)
	b.Release()
	if err != nil {
		return fmt.Errorf("aggregate: %w", err)
	}
	if made.Len == 0 { // all of a changelog's rows took each other back
		made.Release()
		return nil
	}
	return out.Emit(made)
}

func clearVectors(list []*core.Vector) []*core.Vector {
	clear(list)
	return list[:0]
}

func (a *Aggregate) process(b *core.Batch, n int) (*core.Batch, error) {
	for _, k := range a.config.Keys {
		a.keys = append(a.keys, b.Columns[k])
	}
	var hashes []uint64
	hashes, a.hashes = keyHashes(b, a.keys, a.hashes)
	a.slots, a.created = resize(a.slots, n), resize(a.created, n)
	a.distinct, a.first = resize(a.distinct, n), resize(a.first, n)
	if err := a.table.BeginDistinct(); err != nil {
		return nil, err
	}
	made := a.pool.Get()
	var err error
	if a.changelog != nil {
		err = a.changes(b, n, hashes, made)
	} else if a.config.EveryRow {
		err = a.everyRow(b, n, hashes, made)
	} else {
		err = a.perBatch(b, n, hashes, made)
	}
	if err != nil {
		made.Release()
		return nil, err
	}
	return made, nil
}

// upsert finds the slots of the selected rows [from, to).
func (a *Aggregate) upsert(b *core.Batch, hashes []uint64, from, to int) (created int, err error) {
	if len(a.keys) > 0 {
		return a.table.UpsertRange(a.keys, hashes, b.Sel, from, to, a.slots[from:to], a.created[from:to])
	}
	a.groups = resize(a.groups, to-from) // any row's hash is that of no key
	clear(a.groups)
	hashes = resize(a.hashes, b.Len)
	hash.Columns(nil, to-from, nil, hashes)
	return a.table.UpsertGrouped(a.groups, nil, hashes, nil, to-from, a.slots[from:to], a.created[from:to])
}

// mark gives the table what it can do on its way through the rows for some of the accumulators: count for one COUNT (returned, or -1), and
// make sums not null. When -U rows are wanted, the rows must stay as they are until these are read.
func (a *Aggregate) mark(b *core.Batch) (mark state.Mark, counted int) {
	counted = -1
	a.present = resize(a.present, len(a.config.Calls))
	clear(a.present)
	if a.config.Before {
		return mark, counted
	}
	for i, c := range a.config.Calls {
		if c.Argument >= 0 && b.Columns[c.Argument].HasNulls() {
			continue
		}
		switch {
		case c.Function == Count && counted < 0:
			mark.Count(a.table, a.accumulators.fields[i])
			counted = i
		case c.Function == Sum || c.Function == Avg:
			a.present[i] = mark.Present(a.table, a.accumulators.fields[i])
		}
	}
	return mark, counted
}

// perBatch adds the batch and fills made with one row a changed key (and one for what it was, when that is wanted).
func (a *Aggregate) perBatch(b *core.Batch, n int, hashes []uint64, made *core.Batch) error {
	changed, created := 0, 0
	a.rowOf = a.rowOf[:0]
	mark, counted := a.mark(b)
	for from := 0; from < n; from += aggregateBlock {
		to := min(from+aggregateBlock, n)
		fresh, err := a.upsert(b, hashes, from, to)
		if err != nil {
			return err
		}
		created += fresh
		block := Rows{Slots: a.slots[from:to], From: from}
		if b.Sel != nil {
			block.Sel = b.Sel[from:to]
		}
		more, err := a.table.TouchDistinct(block.Slots, from, a.distinct[changed:changed+to-from], a.first[changed:changed+to-from], mark)
		if err != nil {
			return err
		}
		block.Distinct = a.distinct[changed : changed+more]
		if a.config.Before {
			if err := a.before(b, block.Distinct, a.first[changed:changed+more], made); err != nil {
				return err
			}
		}
		changed += more
		for i := range a.config.Calls {
			if i == counted {
				continue
			}
			block.present = a.present[i]
			if err := a.accumulators.update(i, b.Columns, block); err != nil {
				return err
			}
		}
	}
	first, old := a.first[:changed], len(a.rowOf)
	kinds := made.MakeKinds(old + changed)
	for i := range kinds[:old] {
		kinds[i] = core.UpdateBefore
	}
	for i := range kinds[old:] {
		kinds[old+i] = core.UpdateAfter
	}
	if created > 0 {
		for i, at := range first {
			if a.created[at] {
				kinds[old+i] = core.Insert
			}
		}
	}
	if b.Sel != nil {
		for i, at := range first {
			first[i] = b.Sel[at]
		}
	}
	return a.fill(b, made, a.distinct[:changed], first, old+changed)
}

// fill appends one row for each slot, with the keys of a row of b.
func (a *Aggregate) fill(b *core.Batch, made *core.Batch, slots []uint32, keyRows []int32, total int) error {
	for i, k := range a.config.Keys {
		made.Columns[i].AppendSelected(b.Columns[k], keyRows)
	}
	if err := a.accumulators.Emit(made.Columns[len(a.config.Keys):], slots); err != nil {
		return err
	}
	made.Len = total
	return nil
}

// before appends the rows that the updates of slots will replace, those of new keys left out. It notes them in rowOf.
func (a *Aggregate) before(b *core.Batch, slots []uint32, first []int32, made *core.Batch) error {
	a.updates = a.updates[:0]
	start := len(a.rowOf)
	for i, s := range slots {
		if !a.created[first[i]] {
			a.updates = append(a.updates, s)
			a.rowOf = append(a.rowOf, int32(b.Row(int(first[i]))))
		}
	}
	return a.fill(b, made, a.updates, a.rowOf[start:], 0)
}

// everyRow adds the rows one after the other and fills made with one row each, after what it replaces when that is wanted.
func (a *Aggregate) everyRow(b *core.Batch, n int, hashes []uint64, made *core.Batch) error {
	if _, err := a.upsert(b, hashes, 0, n); err != nil {
		return err
	}
	if err := a.table.Touch(a.slots[:n]); err != nil {
		return err
	}
	total := n
	if a.config.Before {
		for _, c := range a.created[:n] {
			if !c {
				total++
			}
		}
	}
	kinds := made.MakeKinds(total)
	at := 0
	keyRow := a.first[:1]
	for i := range n {
		keyRow[0] = int32(b.Row(i))
		one := Rows{Slots: a.slots[i : i+1], From: i, Distinct: a.slots[i : i+1]}
		if b.Sel != nil {
			one.Sel = b.Sel[i : i+1]
		}
		kinds[at] = core.Insert
		if !a.created[i] {
			if a.config.Before {
				if err := a.fill(b, made, one.Slots, keyRow, 0); err != nil {
					return err
				}
				kinds[at] = core.UpdateBefore
				at++
			}
			kinds[at] = core.UpdateAfter
		}
		if err := a.accumulators.Update(b.Columns, one); err != nil {
			return err
		}
		if err := a.fill(b, made, one.Slots, keyRow, total); err != nil {
			return err
		}
		at++
	}
	return nil
}

// keyHashes returns the key hashes of a batch by physical row: its own, or computed into scratch.
func keyHashes(b *core.Batch, keys []*core.Vector, scratch []uint64) (hashes, kept []uint64) {
	if b.Hashes != nil && len(keys) > 0 {
		return b.Hashes, scratch
	}
	scratch = resize(scratch, b.Len)
	hash.Columns(keys, b.Len, b.Sel, scratch)
	return scratch, scratch
}

// resize returns a slice of length n, of undefined contents, in place if it fits.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
