package ops

import (
	"bytes"
	"errors"
	"math"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/state"
)

var (
	errSumOverflow     = errors.New("SUM: the sum does not fit BIGINT; cast the argument to DECIMAL")
	errDecimalOverflow = errors.New("SUM, AVG: the sum has more than the 38 digits of a DECIMAL")
)

func (a *countRows) merge(dst []uint32, from accumulator, src []uint32) error {
	f := from.(counter).counts()
	mergeCounts(a.table.Ints(a.field), dst, f.table.Ints(f.field), src)
	return nil
}

// counter is both kinds of COUNT.
type counter interface{ counts() *countRows }

func (a *countRows) counts() *countRows { return a }

func mergeCounts(to at[int64], dst []uint32, from at[int64], src []uint32) {
	src = src[:len(dst)]
	for i, d := range dst {
		to.Words[int(d)*to.Stride+to.Offset] += from.Words[int(src[i])*from.Stride+from.Offset]
	}
}

func (a *countRows) clear(slots []uint32) { zero(a.table.Words(a.field, 0), slots) }

func zero(c at[uint64], slots []uint32) {
	words, stride, offset := c.Words, c.Stride, c.Offset
	for _, s := range slots {
		words[int(s)*stride+offset] = 0
	}
}

// clear makes a field of one word zero, and null unless it never is.
func (a *single) clear(slots []uint32) {
	zero(a.table.Words(a.field, 0), slots)
	if !a.required {
		invalidate(a.table.Validity(a.field), slots)
	}
}

func invalidate(v state.Validity, slots []uint32) {
	words, stride, offset, mask := v.Words, v.Stride, v.Offset, v.Mask
	for _, s := range slots {
		words[int(s)*stride+offset] &^= mask
	}
}

func (a *sumInts[T]) merge(dst []uint32, from accumulator, src []uint32) error {
	f := &from.(*sumInts[T]).single
	to, in := a.table.Ints(a.field), f.table.Ints(f.field)
	src = src[:len(dst)]
	over := int64(0)
	for i, d := range dst {
		p, x := &to.Words[int(d)*to.Stride+to.Offset], in.Words[int(src[i])*in.Stride+in.Offset] // of a null: zero
		sum := *p + x
		over |= (*p ^ sum) & (x ^ sum)
		*p = sum
	}
	a.mergeValidity(dst, f, src)
	if over < 0 {
		return errSumOverflow
	}
	return nil
}

// mergeValidity makes dst[i] not null where src[i] of from is not.
func (a *single) mergeValidity(dst []uint32, from *single, src []uint32) {
	if a.required {
		return
	}
	to, in := a.table.Validity(a.field), from.table.Validity(from.field)
	src = src[:len(dst)]
	for i, d := range dst {
		if in.Words[int(src[i])*in.Stride+in.Offset]&in.Mask != 0 {
			to.Words[int(d)*to.Stride+to.Offset] |= to.Mask
		}
	}
}

func (a *sumFloats[T]) merge(dst []uint32, from accumulator, src []uint32) error {
	a.mergeFloats(dst, &from.(*sumFloats[T]).single, src)
	return nil
}

func (a *single) mergeFloats(dst []uint32, from *single, src []uint32) {
	to, in := a.table.Floats(a.field), from.table.Floats(from.field)
	src = src[:len(dst)]
	for i, d := range dst {
		to.Words[int(d)*to.Stride+to.Offset] += in.Words[int(src[i])*in.Stride+in.Offset]
	}
	a.mergeValidity(dst, from, src)
}

func (a *meanFloats[T]) merge(dst []uint32, from accumulator, src []uint32) error {
	f := from.(*meanFloats[T])
	a.mergeFloats(dst, &f.single, src)
	mergeCounts(a.table.Ints(a.count), dst, f.table.Ints(f.count), src)
	return nil
}

func (a *meanFloats[T]) clear(slots []uint32) {
	a.single.clear(slots)
	zero(a.table.Words(a.count, 0), slots)
}

func (a *meanInts[T]) merge(dst []uint32, from accumulator, src []uint32) error {
	f := from.(*meanInts[T])
	lo, hi := a.table.Words(a.field, 0), a.table.Words(a.field, 1)
	inLo, inHi := f.table.Words(f.field, 0), f.table.Words(f.field, 1)
	for i, d := range dst {
		sum, carry := bits.Add64(lo.At(d), inLo.At(src[i]), 0)
		lo.Set(d, sum)
		hi.Set(d, hi.At(d)+inHi.At(src[i])+carry)
	}
	a.mergeValidity(dst, &f.single, src)
	mergeCounts(a.table.Ints(a.count), dst, f.table.Ints(f.count), src)
	return nil
}

func (a *meanInts[T]) clear(slots []uint32) {
	a.single.clear(slots)
	zero(a.table.Words(a.field, 1), slots)
	zero(a.table.Words(a.count, 0), slots)
}

func (a *leastInts[T]) merge(dst []uint32, from accumulator, src []uint32) error {
	f := &from.(*leastInts[T]).single
	to, in := a.table.Ints(a.field), f.table.Ints(f.field)
	toValid, inValid := a.table.Validity(a.field), f.table.Validity(f.field)
	for i, d := range dst {
		if inValid.Null(src[i]) {
			continue
		}
		x := in.At(src[i])
		switch old := to.At(d); {
		case toValid.Null(d):
			toValid.SetValid(d)
		case a.max:
			x = max(x, old)
		default:
			x = min(x, old)
		}
		to.Set(d, x)
	}
	return nil
}

func (a *leastFloats[T]) merge(dst []uint32, from accumulator, src []uint32) error {
	f := &from.(*leastFloats[T]).single
	to, in := a.table.Floats(a.field), f.table.Floats(f.field)
	toValid, inValid := a.table.Validity(a.field), f.table.Validity(f.field)
	for i, d := range dst {
		if inValid.Null(src[i]) {
			continue
		}
		x, old := in.At(src[i]), to.At(d)
		if toValid.Null(d) {
			toValid.SetValid(d)
			to.Set(d, x)
		} else if more := x > old || math.IsNaN(x); more && a.max {
			to.Set(d, x)
		} else if less := x < old || !math.IsNaN(x) && math.IsNaN(old); less && !a.max {
			to.Set(d, x)
		}
	}
	return nil
}

func (a *lastInts[T]) merge(dst []uint32, from accumulator, src []uint32) error {
	f := &from.(*lastInts[T]).single
	to, in := a.table.Ints(a.field), f.table.Ints(f.field)
	toValid, inValid := a.table.Validity(a.field), f.table.Validity(f.field)
	for i, d := range dst {
		if !inValid.Null(src[i]) {
			to.Set(d, in.At(src[i]))
			toValid.SetValid(d)
		}
	}
	return nil
}

func (a *anyValue) merge(dst []uint32, from accumulator, src []uint32) error {
	f := &from.(*anyValue).single
	for i, d := range dst {
		s := src[i]
		if f.table.Null(s, f.field) || !a.table.Null(d, a.field) && !a.wins(&a.single, d, f, s) {
			continue
		}
		if err := a.copyValue(d, f, s); err != nil {
			return err
		}
	}
	return nil
}

// copyValue copies a value that is not null, of any type.
func (a *single) copyValue(dst uint32, from *single, src uint32) error {
	if a.kind.Width() == 0 { // in the table's heap, nested ones encoded
		return a.table.SetBytes(dst, a.field, from.table.BytesAt(src, from.field))
	}
	a.table.Words(a.field, 0).Set(dst, from.table.Words(from.field, 0).At(src))
	if a.kind == core.Decimal {
		a.table.Words(a.field, 1).Set(dst, from.table.Words(from.field, 1).At(src))
	}
	a.table.Validity(a.field).SetValid(dst)
	return nil
}

func (a *anyValue) clear(slots []uint32) {
	for _, s := range slots {
		a.table.SetNull(s, a.field)
	}
}

func neverWins(*single, uint32, *single, uint32) bool  { return false }
func alwaysWins(*single, uint32, *single, uint32) bool { return true }

func (a *single) decimal(slot uint32) decimal128.Num {
	return decimal128.New(int64(a.table.Words(a.field, 1).At(slot)), a.table.Words(a.field, 0).At(slot))
}

// decimalWins is decimalBetter between slots.
func decimalWins(sign int) func(*single, uint32, *single, uint32) bool {
	return func(a *single, slot uint32, from *single, src uint32) bool {
		return from.decimal(src).Cmp(a.decimal(slot)) == sign
	}
}

// bytesWins is bytesBetter between slots.
func bytesWins(sign int) func(*single, uint32, *single, uint32) bool {
	return func(a *single, slot uint32, from *single, src uint32) bool {
		return bytes.Compare(from.table.BytesAt(src, from.field), a.table.BytesAt(slot, a.field)) == sign
	}
}

func (a *sumDecimals) merge(dst []uint32, from accumulator, src []uint32) error {
	return a.mergeSums(dst, &from.(*sumDecimals).single, src)
}

func (a *sumDecimals) mergeSums(dst []uint32, from *single, src []uint32) error {
	lo, hi := a.table.Words(a.field, 0), a.table.Words(a.field, 1)
	for i, d := range dst {
		sum := a.decimal(d).Add(from.decimal(src[i]))
		if !sum.Abs().Less(maxDecimal) {
			return errDecimalOverflow
		}
		lo.Set(d, sum.LowBits())
		hi.Set(d, uint64(sum.HighBits()))
	}
	a.mergeValidity(dst, from, src)
	return nil
}

func (a *sumDecimals) clear(slots []uint32) {
	a.single.clear(slots)
	zero(a.table.Words(a.field, 1), slots)
}

func (a *meanDecimals) merge(dst []uint32, from accumulator, src []uint32) error {
	f := from.(*meanDecimals)
	if err := a.mergeSums(dst, &f.single, src); err != nil {
		return err
	}
	mergeCounts(a.table.Ints(a.count), dst, f.table.Ints(f.count), src)
	return nil
}

func (a *meanDecimals) clear(slots []uint32) {
	a.sumDecimals.clear(slots)
	zero(a.table.Words(a.count, 0), slots)
}
