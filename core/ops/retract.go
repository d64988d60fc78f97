package ops

import (
	"fmt"
	"math/bits"

	"turbo/core"
	"turbo/state"
)

// Running is accumulators from which merged state can be taken back exactly: COUNT, and SUM and AVG of integers and decimals (sums of floats would drift),
// quantiles, and functions of programs that say so. A SUM that can be null has a count of the states in it that are not.
type Running struct {
	*Accumulators
	counts []int // by call: the field of the count, or -1
}

// retracter is an accumulator that takes back what merge has added.
type retracter interface {
	accumulator
	run(dst []uint32, from accumulator, src []uint32, o runOptions) error
}

// runOptions are how states are added or taken back.
type runOptions struct {
	count int  // the table's field for the count of merged states that are not null, or -1
	nulls bool // some of the states may be null
	back  bool
}

// Retracts reports whether NewRunning can be made for the calls.
func Retracts(calls []Call, input *core.Schema) bool {
	for _, c := range calls {
		if takes := c.Function.spec().retracts; takes == nil || !takes(c.argument(input)) {
			return false
		}
	}
	return true
}

// RunningFields returns the fields that NewRunning needs.
func RunningFields(calls []Call, input *core.Schema) []core.Field {
	out := StateFields(calls, input)
	for _, c := range calls {
		if c.countsStates(input) {
			out = append(out, core.Field{Name: c.Name + " states", Type: core.Of(core.Int64).Required()})
		}
	}
	return out
}

// countsStates reports whether a running state has a count of the merged states that are not null.
func (c Call) countsStates(input *core.Schema) bool {
	return (c.Function == Sum || c.encoding() != nil) && !c.argument(input).NotNull
}

// NewRunning returns the accumulators whose RunningFields stand in table from the field first on.
func NewRunning(calls []Call, input *core.Schema, table *state.Table, first int) (*Running, error) {
	a, err := NewAccumulators(calls, input, table, first)
	if err != nil {
		return nil, err
	}
	r := &Running{Accumulators: a}
	next := first + len(StateFields(calls, input))
	for i, c := range calls {
		if _, ok := a.list[i].(retracter); !ok {
			return nil, fmt.Errorf("%v of %v cannot be taken back", c.Function, c.argument(input))
		}
		r.counts = append(r.counts, -1)
		if c.countsStates(input) {
			r.counts[i] = next
			next++
		}
	}
	return r, nil
}

// Add merges the state of src[i] in from into dst[i]. nulls says that some of the sums may be null: that no row came with a value.
func (r *Running) Add(dst []uint32, from *Accumulators, src []uint32, nulls bool) error {
	return r.run(dst, from, src, nulls, false)
}

// Retract takes the state of src[i] in from, which was added, back from dst[i].
func (r *Running) Retract(dst []uint32, from *Accumulators, src []uint32, nulls bool) error {
	return r.run(dst, from, src, nulls, true)
}

func (r *Running) run(dst []uint32, from *Accumulators, src []uint32, nulls, back bool) error {
	for i, acc := range r.list {
		if err := acc.(retracter).run(dst, from.list[i], src, runOptions{r.counts[i], nulls, back}); err != nil {
			return fmt.Errorf("%s: %w", r.calls[i].Name, err)
		}
	}
	return nil
}

// Clear makes the state of slots that of no row.
func (r *Running) Clear(slots []uint32) {
	r.Accumulators.Clear(slots)
	for i, f := range r.counts {
		if f >= 0 {
			zero(r.list[i].(nullable).of().table.Words(f, 0), slots)
		}
	}
}

// nullable is an accumulator with a count of states.
type nullable interface{ of() *single }

func (a *single) of() *single { return a }

func (a *countRows) run(dst []uint32, from accumulator, src []uint32, o runOptions) error {
	if !o.back {
		return a.merge(dst, from, src)
	}
	f := from.(counter).counts()
	takeCounts(a.table.Ints(a.field), dst, f.table.Ints(f.field), src)
	return nil
}

func takeCounts(to at[int64], dst []uint32, from at[int64], src []uint32) {
	src = src[:len(dst)]
	for i, d := range dst {
		to.Words[int(d)*to.Stride+to.Offset] -= from.Words[int(src[i])*from.Stride+from.Offset]
	}
}

func (a *sumInts[T]) run(dst []uint32, from accumulator, src []uint32, o runOptions) error {
	f := &from.(*sumInts[T]).single
	if o.count < 0 && !o.back {
		return a.merge(dst, from, src)
	}
	sign := int64(0)
	if o.back {
		sign = -1
	}
	to, in := a.table.Ints(a.field), f.table.Ints(f.field)
	toWords, toStride, toOffset, inWords, inStride, inOffset := to.Words, to.Stride, to.Offset, in.Words, in.Stride, in.Offset
	src = src[:len(dst)]
	over := int64(0)
	if o.count < 0 {
		for i, d := range dst {
			p, x := &toWords[int(d)*toStride+toOffset], inWords[int(src[i])*inStride+inOffset]
			sum := *p - x
			over |= (*p ^ x) & (*p ^ sum)
			*p = sum
		}
		return overflowed(over)
	}
	n, valid := a.table.Ints(o.count).Offset, a.table.Validity(a.field)
	validAt, mask := valid.Offset, int64(valid.Mask)
	if !o.nulls { // the rows of src have their validity in another cache line than the sum
		one := (1 ^ sign) - sign
		for i, d := range dst {
			row, x := toWords[int(d)*toStride:][:toStride], (inWords[int(src[i])*inStride+inOffset]^sign)-sign
			p := row[toOffset]
			sum := p + x
			over |= (p ^ sum) & (x ^ sum)
			row[toOffset] = sum
			states := row[n] + one
			row[n] = states
			row[validAt] |= mask
			if states == 0 {
				row[validAt] &^= mask
			}
		}
		return overflowed(over)
	}
	inValid := f.table.Validity(f.field)
	at, inMask := inValid.Offset, int64(inValid.Mask)
	for i, d := range dst {
		row, from := toWords[int(d)*toStride:][:toStride], inWords[int(src[i])*inStride:][:inStride]
		x := (from[inOffset] ^ sign) - sign // negated when taken back
		p := row[toOffset]
		sum := p + x
		over |= (p ^ sum) & (x ^ sum)
		row[toOffset] = sum
		one := int64(0)
		if from[at]&inMask != 0 {
			one = 1
		}
		states := row[n] + (one ^ sign) - sign
		row[n] = states
		if states != 0 {
			row[validAt] |= mask
		} else {
			row[validAt] &^= mask
		}
	}
	return overflowed(over)
}

func overflowed(over int64) error {
	if over < 0 {
		return errSumOverflow
	}
	return nil
}

func (a *meanInts[T]) run(dst []uint32, from accumulator, src []uint32, o runOptions) error {
	if !o.back {
		return a.merge(dst, from, src)
	}
	f := from.(*meanInts[T])
	lo, hi := a.table.Words(a.field, 0), a.table.Words(a.field, 1)
	inLo, inHi := f.table.Words(f.field, 0), f.table.Words(f.field, 1)
	for i, d := range dst {
		sum, borrow := bits.Sub64(lo.At(d), inLo.At(src[i]), 0)
		lo.Set(d, sum)
		hi.Set(d, hi.At(d)-inHi.At(src[i])-borrow)
	}
	takeCounts(a.table.Ints(a.count), dst, f.table.Ints(f.count), src)
	return nil
}

func (a *sumDecimals) run(dst []uint32, from accumulator, src []uint32, o runOptions) error {
	return a.runSums(dst, &from.(*sumDecimals).single, src, o)
}

func (a *sumDecimals) runSums(dst []uint32, f *single, src []uint32, o runOptions) error {
	if !o.back {
		if err := a.mergeSums(dst, f, src); err != nil {
			return err
		}
	} else {
		lo, hi := a.table.Words(a.field, 0), a.table.Words(a.field, 1)
		for i, d := range dst {
			sum := a.decimal(d).Sub(f.decimal(src[i]))
			if !sum.Abs().Less(maxDecimal) {
				return errDecimalOverflow
			}
			lo.Set(d, sum.LowBits())
			hi.Set(d, uint64(sum.HighBits()))
		}
	}
	if o.count < 0 {
		return nil
	}
	n, valid, inValid := a.table.Ints(o.count), a.table.Validity(a.field), f.table.Validity(f.field)
	for i, d := range dst {
		states := n.At(d)
		if !inValid.Null(src[i]) {
			if states++; o.back {
				states -= 2
			}
		}
		if n.Set(d, states); states == 0 {
			valid.SetNull(d)
		} else { // dst may repeat: an earlier one may have made it null
			valid.Words[int(d)*valid.Stride+valid.Offset] |= valid.Mask
		}
	}
	return nil
}

func (a *meanDecimals) run(dst []uint32, from accumulator, src []uint32, o runOptions) error {
	f := from.(*meanDecimals)
	if err := a.runSums(dst, &f.single, src, runOptions{-1, true, o.back}); err != nil {
		return err
	}
	if o.back {
		takeCounts(a.table.Ints(a.count), dst, f.table.Ints(f.count), src)
	} else {
		mergeCounts(a.table.Ints(a.count), dst, f.table.Ints(f.count), src)
	}
	return nil
}
