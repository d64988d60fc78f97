package ops

import (
	"math"
	"math/bits"

	"turbo/core"
	"turbo/state"
)

// Rows is a block of input rows with their slots: row i is Sel[i], or From+i when Sel is nil. Slots may repeat.
type Rows struct {
	Slots []uint32
	Sel   []int32
	From  int
	// Distinct are the slots among them that the batch had not met before the block; nil: not known.
	Distinct []uint32
	present  bool // the table's mark has made the argument's field not null, for arguments without nulls
}

// row returns the physical row of the i-th one.
func (r *Rows) row(i int) int {
	if r.Sel != nil {
		return int(r.Sel[i])
	}
	return r.From + i
}

// accumulator is one aggregate: its state is some fields of the table.
type accumulator interface {
	// update adds the block's rows, in order. The slots have been announced to the table.
	update(in *core.Vector, r Rows) error
	// merge adds the state of src[i] in from, an accumulator of the same call, to dst[i], in order. dst may repeat and has been announced.
	merge(dst []uint32, from accumulator, src []uint32) error
	// clear makes the state of slots that of no row. They have been announced.
	clear(slots []uint32)
	// emit appends the results of slots to out.
	emit(out *core.Vector, slots []uint32) error
}

// present returns the rows of the block whose argument is not null, using the scratch of n.
type present struct {
	slots []uint32
	sel   []int32
}

func (n *present) of(in *core.Vector, r Rows) Rows {
	n.slots, n.sel = n.slots[:0], n.sel[:0]
	for i, s := range r.Slots {
		row := int32(r.row(i))
		if !in.Null(int(row)) {
			n.slots, n.sel = append(n.slots, s), append(n.sel, row)
		}
	}
	return Rows{Slots: n.slots, Sel: n.sel, Distinct: n.slots}
}

// at is where an accumulator's values are: words[slot*stride+offset].
type at[T int64 | uint64 | float64] = state.Column[T]

// countRows is COUNT(*), and COUNT(x) of an x that cannot be null.
type countRows struct {
	table *state.Table
	field int
}

func (a *countRows) update(_ *core.Vector, r Rows) error {
	increment(a.table.Ints(a.field), r.Slots)
	return nil
}

func increment(c at[int64], slots []uint32) {
	words, stride, offset := c.Words, c.Stride, c.Offset
	for _, s := range slots {
		words[int(s)*stride+offset]++
	}
}

func (a *countRows) emit(out *core.Vector, slots []uint32) error {
	return a.table.AppendValues(out, a.field, slots)
}

// countValues is COUNT(x).
type countValues struct {
	countRows
	present present
}

func (a *countValues) update(in *core.Vector, r Rows) error {
	if in.HasNulls() {
		r = a.present.of(in, r)
	}
	return a.countRows.update(in, r)
}

// single is what the accumulators whose state is one field of the result's type have in common. The field is null until the first value; the
// word of a null one is zero.
type single struct {
	table    *state.Table
	field    int
	kind     core.Kind
	required bool // the field is never null
	present  present
}

func (a *single) emit(out *core.Vector, slots []uint32) error {
	return a.table.AppendValues(out, a.field, slots)
}

// begin leaves the rows with a value, and makes the fields of their slots not null: those that were null get first as their value.
func (a *single) begin(in *core.Vector, r Rows, first uint64) Rows {
	if in.HasNulls() {
		r = a.present.of(in, r)
	} else if r.present && first == 0 {
		return r
	}
	slots := r.Distinct
	if slots == nil {
		slots = r.Slots
	}
	switch {
	case first != 0:
		ensure(a.table.Words(a.field, 0), a.table.Validity(a.field), slots, first)
	case !a.required:
		validate(a.table.Validity(a.field), slots)
	}
	return r
}

func validate(v state.Validity, slots []uint32) {
	words, stride, offset, mask := v.Words, v.Stride, v.Offset, v.Mask
	for _, s := range slots {
		words[int(s)*stride+offset] |= mask
	}
}

func ensure(c at[uint64], v state.Validity, slots []uint32, first uint64) {
	for _, s := range slots {
		base := int(s) * c.Stride
		if word := &v.Words[base+v.Offset]; *word&v.Mask == 0 {
			*word |= v.Mask
			c.Words[base+c.Offset] = first
		}
	}
}

type integer interface {
	int8 | int16 | int32 | int64 | uint8
}

// sumInts is SUM of integers of one width.
type sumInts[T integer] struct{ single }

func (a *sumInts[T]) update(in *core.Vector, r Rows) error {
	r = a.begin(in, r, 0)
	if overflow := addInts(a.table.Ints(a.field), r, core.Values[T](in)); overflow {
		return errSumOverflow
	}
	return nil
}

func addInts[T integer](c at[int64], r Rows, values []T) bool {
	words, stride, offset := c.Words, c.Stride, c.Offset
	over := int64(0)
	if r.Sel == nil {
		values = values[r.From:][:len(r.Slots)]
		for i, s := range r.Slots {
			p := &words[int(s)*stride+offset]
			x := int64(values[i])
			sum := *p + x
			over |= (*p ^ sum) & (x ^ sum)
			*p = sum
		}
		return over < 0
	}
	sel := r.Sel[:len(r.Slots)]
	for i, s := range r.Slots {
		p := &words[int(s)*stride+offset]
		x := int64(values[sel[i]])
		sum := *p + x
		over |= (*p ^ sum) & (x ^ sum)
		*p = sum
	}
	return over < 0
}

// sumFloats is SUM of FLOAT or DOUBLE.
type sumFloats[T float32 | float64] struct{ single }

func (a *sumFloats[T]) update(in *core.Vector, r Rows) error {
	r = a.begin(in, r, 0)
	addFloats(a.table.Floats(a.field), r, core.Values[T](in))
	return nil
}

func addFloats[T integer | float32 | float64](c at[float64], r Rows, values []T) {
	words, stride, offset := c.Words, c.Stride, c.Offset
	if r.Sel == nil {
		values = values[r.From:][:len(r.Slots)]
		for i, s := range r.Slots {
			words[int(s)*stride+offset] += float64(values[i])
		}
		return
	}
	sel := r.Sel[:len(r.Slots)]
	for i, s := range r.Slots {
		words[int(s)*stride+offset] += float64(values[sel[i]])
	}
}

// leastInts is MIN, and with sign -1 MAX, of anything stored as integers of one width.
type leastInts[T integer] struct {
	single
	max bool
}

func (a *leastInts[T]) update(in *core.Vector, r Rows) error {
	first := int64(math.MaxInt64)
	if a.max {
		first = math.MinInt64
	}
	r = a.begin(in, r, uint64(first))
	c, values := a.table.Ints(a.field), core.Values[T](in)
	words, stride, offset := c.Words, c.Stride, c.Offset
	for i, s := range r.Slots {
		row := r.row(i)
		p := &words[int(s)*stride+offset]
		if x := int64(values[row]); a.max {
			*p = max(*p, x)
		} else {
			*p = min(*p, x)
		}
	}
	return nil
}

// leastFloats is MIN or MAX of FLOAT or DOUBLE. NaN is larger than every number.
type leastFloats[T float32 | float64] struct {
	single
	max bool
}

func (a *leastFloats[T]) update(in *core.Vector, r Rows) error {
	first := math.NaN()
	if a.max {
		first = math.Inf(-1)
	}
	r = a.begin(in, r, math.Float64bits(first))
	c, values := a.table.Floats(a.field), core.Values[T](in)
	for i, s := range r.Slots {
		row := r.row(i)
		p := &c.Words[int(s)*c.Stride+c.Offset]
		x := float64(values[row])
		if less := x < *p || x == x && *p != *p; less && !a.max {
			*p = x
		}
		if more := x > *p || x != x; more && a.max {
			*p = x
		}
	}
	return nil
}

// lastInts is LAST_VALUE of anything stored as integers of one width.
type lastInts[T integer] struct{ single }

func (a *lastInts[T]) update(in *core.Vector, r Rows) error {
	r = a.begin(in, r, 0)
	c, values := a.table.Ints(a.field), core.Values[T](in)
	for i, s := range r.Slots {
		row := r.row(i)
		c.Words[int(s)*c.Stride+c.Offset] = int64(values[row])
	}
	return nil
}

// anyValue is the aggregates that keep one of the values, for every type, a row at a time: better says whether row i of v
// replaces what the slot holds.
type anyValue struct {
	single
	better func(t *state.Table, slot uint32, field int, v *core.Vector, i int) bool
	wins   func(a *single, slot uint32, from *single, src uint32) bool // better, for the value of another slot
}

func (a *anyValue) update(in *core.Vector, r Rows) error {
	for i, s := range r.Slots {
		row := r.row(i)
		if in.Null(row) {
			continue
		}
		if a.table.Null(s, a.field) || a.better(a.table, s, a.field, in, row) {
			if err := a.table.SetValue(s, a.field, in, row); err != nil {
				return err
			}
		}
	}
	return nil
}

func never(*state.Table, uint32, int, *core.Vector, int) bool  { return false }
func always(*state.Table, uint32, int, *core.Vector, int) bool { return true }

// meanNumbers is AVG of numbers but DECIMAL: a sum and a count. Integers are summed exactly, in 128 bits.
type meanFloats[T float32 | float64] struct {
	single // the sum
	count  int
}

func (a *meanFloats[T]) update(in *core.Vector, r Rows) error {
	r = a.begin(in, r, 0)
	addFloats(a.table.Floats(a.field), r, core.Values[T](in))
	increment(a.table.Ints(a.count), r.Slots)
	return nil
}

func (a *meanFloats[T]) emit(out *core.Vector, slots []uint32) error {
	sum, count := a.table.Floats(a.field), a.table.Ints(a.count)
	for _, s := range slots {
		if n := count.At(s); n == 0 {
			out.AppendNull()
		} else {
			out.AppendFloat64(sum.At(s) / float64(n))
		}
	}
	return nil
}

// meanInts is AVG of integers: the sum is exact, in 128 bits.
type meanInts[T integer] struct {
	single
	count int
}

func (a *meanInts[T]) update(in *core.Vector, r Rows) error {
	r = a.begin(in, r, 0)
	lo, hi, values := a.table.Words(a.field, 0), a.table.Words(a.field, 1), core.Values[T](in)
	for i, s := range r.Slots {
		row := r.row(i)
		base, x := int(s)*lo.Stride, int64(values[row])
		sum, carry := bits.Add64(lo.Words[base+lo.Offset], uint64(x), 0)
		lo.Words[base+lo.Offset] = sum
		hi.Words[base+hi.Offset] += uint64(x>>63) + carry
	}
	increment(a.table.Ints(a.count), r.Slots)
	return nil
}

func (a *meanInts[T]) emit(out *core.Vector, slots []uint32) error {
	lo, hi, count := a.table.Words(a.field, 0), a.table.Words(a.field, 1), a.table.Ints(a.count)
	for _, s := range slots {
		n := count.At(s)
		if n == 0 {
			out.AppendNull()
			continue
		}
		// The sum and the count are exact; the quotient's integer part is too, and only the rest is rounded.
		l, h := lo.At(s), hi.At(s)
		negative := int64(h) < 0
		if negative {
			var borrow uint64
			l, borrow = bits.Sub64(0, l, 0)
			h, _ = bits.Sub64(0, h, borrow)
		}
		q, rest := bits.Div64(h, l, uint64(n)) // |sum| <= n * 2^63, so h < n
		mean := float64(q) + float64(rest)/float64(n)
		if negative {
			mean = -mean
		}
		out.AppendFloat64(mean)
	}
	return nil
}
