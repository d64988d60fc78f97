package process

import (
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
)

// Output takes the rows that a user function emits: the main output, or a side output. A row is one value for each column, in any
// order, and then End. Rows go on in batches of the job's size, at the latest when the input batch at hand is done. It belongs to one
// operator instance, and the methods are called during a call of the user function only.
type Output struct {
	schema  *core.Schema
	pool    *core.BatchPool
	batch   *core.Batch
	columns []*core.Vector // of batch; one that is open in fast is longer than its rows
	fast    []fastColumn
	n       int // complete rows of batch
	limit   int
	kinds   []core.RowKind // of batch, in a changelog
	ready   []*core.Batch
	sent    int // of ready, the first ones
	name    string
	some    *bool // of all outputs of the operator: set when a batch is ready
}

// fastColumn is a column of eight-byte values whose vector has been extended in advance, so that appending is a store. It is open while words
// is not nil.
type fastColumn struct {
	words []uint64
	n     int // values
}

// fastRows bounds the rows of a batch whose columns are extended in advance.
const fastRows = 1 << 16

func newOutput(ctx *core.OperatorContext, name string, schema *core.Schema, some *bool) *Output {
	o := &Output{some: some, schema: schema, pool: core.NewBatchPool(ctx.Account, schema, ctx.BatchRows, 8), limit: max(ctx.BatchRows, 1), name: name}
	o.open()
	return o
}

func (o *Output) open() {
	o.batch = o.pool.Get()
	o.columns, o.n = o.batch.Columns, 0
	o.fast = resize(o.fast, len(o.columns))
	clear(o.fast)
}

// column returns the vector of a column with exactly its values.
func (o *Output) column(c int) *core.Vector {
	v := o.columns[c]
	if f := &o.fast[c]; f.words != nil {
		v.Truncate(f.n)
		*f = fastColumn{}
	}
	return v
}

// all returns all columns like column.
func (o *Output) all() []*core.Vector {
	for c := range o.columns {
		o.column(c)
	}
	return o.columns
}

// rows returns the number of values of a column.
func (o *Output) rows(c int) int {
	if f := &o.fast[c]; f.words != nil {
		return f.n
	}
	return o.columns[c].Len()
}

// word appends the bits of an eight-byte value to a column whose fast form is closed or full, and opens it if that pays. It reports false, and
// does nothing, when the column is of another width.
func (o *Output) word(c int, x uint64) bool {
	v := o.column(c)
	if v.Type.Kind.Width() != 8 {
		return false
	}
	n := v.Len()
	if o.limit > fastRows || n >= o.limit || v.HasNulls() {
		v.AppendInt64(int64(x))
		return true
	}
	v.Extend(o.limit - n)
	f := &o.fast[c]
	f.words, f.n = core.Values[uint64](v), n+1
	f.words[n] = x
	return true
}

// Schema returns the schema of the rows.
func (o *Output) Schema() *core.Schema { return o.schema }

// Column returns the vector of a column, to append a value of any type to.
func (o *Output) Column(c int) *core.Vector { return o.column(c) }

// Bool appends a BOOLEAN to column c.
func (o *Output) Bool(c int, x bool) { o.column(c).AppendBool(x) }

// Int64 appends to a column of an integer kind or one of date and time; x is cut to its width.
func (o *Output) Int64(c int, x int64) {
	if f := &o.fast[c]; f.n < len(f.words) {
		f.words[f.n] = uint64(x)
		f.n++
		return
	}
	if !o.word(c, uint64(x)) {
		appendInt(o.columns[c], x)
	}
}

// Float64 appends to a FLOAT or DOUBLE column.
func (o *Output) Float64(c int, x float64) {
	if f := &o.fast[c]; f.n < len(f.words) {
		f.words[f.n] = math.Float64bits(x)
		f.n++
		return
	}
	if !o.word(c, math.Float64bits(x)) {
		appendFloat(o.columns[c], x)
	}
}

// Decimal appends the unscaled value of a DECIMAL.
func (o *Output) Decimal(c int, x decimal128.Num) { o.column(c).AppendDecimal(x) }

// String appends to a STRING column.
func (o *Output) String(c int, x string) { o.column(c).AppendString(x) }

// Bytes appends to a STRING or BYTES column.
func (o *Output) Bytes(c int, x []byte) { o.column(c).AppendBytes(x) }

// Null appends a null.
func (o *Output) Null(c int) { o.column(c).AppendNull() }

// Copy appends a row of a vector that has the column's type.
func (o *Output) Copy(c int, v *core.Vector, i int) { o.column(c).AppendRow(v, i) }

// Row appends all columns of r, which has the output's columns, and ends the row.
func (o *Output) Row(r Row) {
	for c, v := range o.all() {
		v.AppendRow(r.batch.Columns[c], r.row)
	}
	o.EndAs(r.Kind())
}

// End completes a row. It panics, as a fault of the user function, when a column has no value or more than one.
func (o *Output) End() { o.EndAs(core.Insert) }

// EndAs is End of a row of a changelog.
func (o *Output) EndAs(kind core.RowKind) {
	o.n++
	for c := range o.columns {
		if o.rows(c) != o.n {
			o.uneven()
		}
	}
	if o.kinds != nil || kind != core.Insert {
		o.addKind(kind)
	}
	if o.n >= o.limit {
		o.finish()
	}
}

// addKind notes the kind of the row just ended.
func (o *Output) addKind(kind core.RowKind) {
	if !o.schema.Changelog {
		panic(fmt.Errorf("a row of kind %v for output %s, which is no changelog", kind, o.name))
	}
	for len(o.kinds) < o.n-1 {
		o.kinds = append(o.kinds, core.Insert)
	}
	o.kinds = append(o.kinds, kind)
}

// EndRows completes n rows at once: as many values were appended to each column.
func (o *Output) EndRows(n int) {
	if n == 0 {
		return
	}
	o.n += n
	for c := range o.columns {
		if o.rows(c) != o.n {
			o.uneven()
		}
	}
	if o.kinds != nil {
		for range n {
			o.kinds = append(o.kinds, core.Insert)
		}
	}
	if o.n >= o.limit {
		o.finish()
	}
}

// Batch takes b, a batch of the output's schema, as it is: the fast way on for rows that need no copy.
func (o *Output) Batch(b *core.Batch) {
	if b.Rows() == 0 {
		b.Release()
		return
	}
	o.finish()
	o.ready = append(o.ready, b)
	*o.some = true
}

func (o *Output) uneven() {
	for c := range o.columns {
		if n := o.rows(c); n != o.n {
			panic(fmt.Errorf("row %d of output %s has %d values for column %s: give each column one value before End",
				o.n, o.name, n-o.n+1, o.schema.Fields[c].Name))
		}
	}
}

// finish moves the open rows to the ready batches.
func (o *Output) finish() {
	if o.n == 0 {
		return
	}
	o.all()
	b := o.batch
	b.Len = o.n
	if o.kinds != nil {
		copy(b.MakeKinds(o.n), o.kinds)
		o.kinds = o.kinds[:0]
	}
	o.ready = append(o.ready, b)
	*o.some = true
	o.open()
}

// emit sends ready batches on until to is full, and reports whether some are left.
func (o *Output) emit(to core.Emitter) (left bool, err error) {
	for o.sent < len(o.ready) {
		if to.Full() {
			return true, nil
		}
		b := o.ready[o.sent]
		o.ready[o.sent] = nil
		o.sent++
		if err := to.Emit(b); err != nil {
			return false, err
		}
	}
	o.ready, o.sent = o.ready[:0], 0
	return false, nil
}

func (o *Output) close() {
	for _, b := range o.ready[o.sent:] {
		b.Release()
	}
	o.ready = nil
	o.batch.Release()
	o.pool.Close()
}

// outputs are the main output and the side outputs of an operator.
type outputs struct {
	list []*Output
	to   []core.Emitter // of the sides
	some bool           // a batch may be ready: the user function is not called until it is gone
}

func newOutputs(ctx *core.OperatorContext) *outputs {
	o := &outputs{to: ctx.Sides}
	o.list = append(o.list, newOutput(ctx, "main", ctx.Output, &o.some))
	for i, s := range ctx.SideSchemas {
		o.list = append(o.list, newOutput(ctx, fmt.Sprint("side ", i), s, &o.some))
	}
	return o
}

// emit sends on what is ready, and reports whether some is left because its taker is full.
func (o *outputs) emit(out core.Emitter) (left bool, err error) {
	if !o.some {
		return false, nil
	}
	for i, x := range o.list {
		to := out
		if i > 0 {
			to = o.to[i-1]
		}
		more, err := x.emit(to)
		if err != nil {
			return false, err
		}
		left = left || more
	}
	o.some = left
	return left, nil
}

// finish makes the open rows ready.
func (o *outputs) finish() {
	for _, x := range o.list {
		x.finish()
	}
}

func (o *outputs) close() {
	if o == nil {
		return
	}
	for _, x := range o.list {
		x.close()
	}
}

// reset drops all rows.
func (o *Output) reset() {
	for _, b := range o.ready {
		b.Release()
	}
	clear(o.ready)
	o.ready, o.n = o.ready[:0], 0
	if o.kinds != nil {
		o.kinds = o.kinds[:0]
	}
	clear(o.fast)
	for _, v := range o.columns {
		v.Reset()
	}
}

// take appends the rows of from, which has the same columns.
func (o *Output) take(from *Output) {
	for i, b := range from.ready {
		from.ready[i] = nil
		o.Batch(b)
	}
	from.ready = from.ready[:0]
	if from.n == 0 {
		return
	}
	for c, v := range o.all() {
		v.AppendRange(from.column(c), 0, from.n)
	}
	if len(from.kinds) == 0 {
		o.EndRows(from.n)
		return
	}
	for len(o.kinds) < o.n {
		o.kinds = append(o.kinds, core.Insert)
	}
	o.kinds = append(o.kinds, from.kinds[:from.n]...)
	o.n += from.n
	if o.n >= o.limit {
		o.finish()
	}
}

// compact brings rows that were emitted as batches into the open columns, so that all are there.
func (o *Output) compact() {
	if len(o.ready) == 0 {
		return
	}
	for i, b := range o.ready {
		for k := range b.Rows() {
			for c, v := range o.all() {
				v.AppendRow(b.Columns[c], b.Row(k))
			}
		}
		o.n += b.Rows()
		b.Release()
		o.ready[i] = nil
	}
	o.ready = o.ready[:0]
}
