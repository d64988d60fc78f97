package ops

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/state"
)

// merge merges call i, or takes it back.
func (a *Accumulators) merge(i int, dst []uint32, from *Accumulators, src []uint32, back bool) error {
	to, of := pair{a.table, a.fields[i]}, pair{from.table, from.fields[i]}
	field := a.table.Fields()[a.fields[i]]
	switch f := a.calls[i].Function; f {
	case Count:
		return mergeInts(to, dst, of, src, back)
	case Sum:
		return mergeSums(field, to, dst, of, src, back)
	case Avg:
		if err := mergeMeans(field, to, dst, of, src, back); err != nil {
			return err
		}
		return mergeInts(pair{a.table, a.fields[i] + 1}, dst, pair{from.table, from.fields[i] + 1}, src, back)
	case Min, Max:
		return mergeLeast(field, to, dst, of, src, f == Max)
	case FirstValue:
		return mergeValues(field, to, dst, of, src, func(int) bool { return false })
	case LastValue:
		return mergeValues(field, to, dst, of, src, func(int) bool { return true })
	default:
		return fmt.Errorf("%v cannot be merged", f)
	}
}

// pair is a field of a table.
type pair struct {
	table *state.Table
	field int
}

func mergeInts(to pair, dst []uint32, of pair, src []uint32, back bool) error {
	d, s := to.table.Ints(to.field), of.table.Ints(of.field)
	src = src[:len(dst)]
	if back {
		for i, slot := range dst {
			d.Words[int(slot)*d.Stride+d.Offset] -= s.Words[int(src[i])*s.Stride+s.Offset]
		}
		return nil
	}
	for i, slot := range dst {
		d.Words[int(slot)*d.Stride+d.Offset] += s.Words[int(src[i])*s.Stride+s.Offset]
	}
	return nil
}

// mergeSums merges sums: null where nothing was added.
func mergeSums(field core.Field, to pair, dst []uint32, of pair, src []uint32, back bool) error {
	switch field.Type.Kind {
	case core.Decimal:
		return mergeDecimals(field, to, dst, of, src, back)
	case core.Float32, core.Float64:
		d, s := to.table.Floats(to.field), of.table.Floats(of.field)
		dv, sv := to.table.Validity(to.field), of.table.Validity(of.field)
		for i, slot := range dst {
			if !field.Type.NotNull {
				if sv.Null(src[i]) {
					continue
				}
				if dv.Null(slot) {
					dv.SetValid(slot)
					d.Set(slot, 0)
				}
			}
			if back {
				d.Set(slot, d.At(slot)-s.At(src[i]))
			} else {
				d.Set(slot, d.At(slot)+s.At(src[i]))
			}
		}
		return nil
	}
	d, s := to.table.Ints(to.field), of.table.Ints(of.field)
	dv, sv := to.table.Validity(to.field), of.table.Validity(of.field)
	nullable, over := !field.Type.NotNull, int64(0)
	for i, slot := range dst {
		if nullable {
			if sv.Null(src[i]) {
				continue
			}
			if dv.Null(slot) {
				dv.SetValid(slot)
				d.Set(slot, 0)
			}
		}
		p, x := &d.Words[int(slot)*d.Stride+d.Offset], s.At(src[i])
		if back {
			*p -= x // it was added: no overflow
			continue
		}
		sum := *p + x
		over |= (*p ^ sum) & (x ^ sum)
		*p = sum
	}
	if over < 0 {
		return errors.New("SUM: the sum does not fit BIGINT; cast the argument to DECIMAL")
	}
	return nil
}

// mergeMeans merges the sums of means: those of integers are 128 bits without a bound of digits.
func mergeMeans(field core.Field, to pair, dst []uint32, of pair, src []uint32, back bool) error {
	if field.Type.Kind != core.Decimal || field.Type.Scale > 0 {
		return mergeSums(field, to, dst, of, src, back)
	}
	dl, dh, sl, sh := to.table.Words(to.field, 0), to.table.Words(to.field, 1), of.table.Words(of.field, 0), of.table.Words(of.field, 1)
	dv, sv := to.table.Validity(to.field), of.table.Validity(of.field)
	for i, slot := range dst {
		if !field.Type.NotNull {
			if sv.Null(src[i]) {
				continue
			}
			if dv.Null(slot) {
				dv.SetValid(slot)
				dl.Set(slot, 0)
				dh.Set(slot, 0)
			}
		}
		if back {
			lo, borrow := bits.Sub64(dl.At(slot), sl.At(src[i]), 0)
			hi, _ := bits.Sub64(dh.At(slot), sh.At(src[i]), borrow)
			dl.Set(slot, lo)
			dh.Set(slot, hi)
			continue
		}
		lo, carry := bits.Add64(dl.At(slot), sl.At(src[i]), 0)
		hi, _ := bits.Add64(dh.At(slot), sh.At(src[i]), carry)
		dl.Set(slot, lo)
		dh.Set(slot, hi)
	}
	return nil
}

func mergeDecimals(field core.Field, to pair, dst []uint32, of pair, src []uint32, back bool) error {
	dl, dh, sl, sh := to.table.Words(to.field, 0), to.table.Words(to.field, 1), of.table.Words(of.field, 0), of.table.Words(of.field, 1)
	dv, sv := to.table.Validity(to.field), of.table.Validity(of.field)
	for i, slot := range dst {
		if !field.Type.NotNull {
			if sv.Null(src[i]) {
				continue
			}
			if dv.Null(slot) {
				dv.SetValid(slot)
				dl.Set(slot, 0)
				dh.Set(slot, 0)
			}
		}
		x := decimal128.New(int64(sh.At(src[i])), sl.At(src[i]))
		if back {
			x = x.Negate()
		}
		sum := decimal128.New(int64(dh.At(slot)), dl.At(slot)).Add(x)
		if !sum.Abs().Less(maxDecimal) {
			return errors.New("SUM, AVG: the sum has more than the 38 digits of a DECIMAL")
		}
		dl.Set(slot, sum.LowBits())
		dh.Set(slot, uint64(sum.HighBits()))
	}
	return nil
}

// mergeLeast merges MIN and MAX.
func mergeLeast(field core.Field, to pair, dst []uint32, of pair, src []uint32, largest bool) error {
	sign := -1
	if largest {
		sign = 1
	}
	switch k := field.Type.Kind; {
	case k == core.Decimal:
		value := func(p pair, slot uint32) decimal128.Num {
			return decimal128.New(int64(p.table.Words(p.field, 1).At(slot)), p.table.Words(p.field, 0).At(slot))
		}
		return mergeValues(field, to, dst, of, src, func(i int) bool { return value(of, src[i]).Cmp(value(to, dst[i])) == sign })
	case k == core.String || k == core.Bytes:
		return mergeValues(field, to, dst, of, src, func(i int) bool {
			return bytes.Compare(of.table.BytesAt(src[i], of.field), to.table.BytesAt(dst[i], to.field)) == sign
		})
	case k == core.Float32 || k == core.Float64:
		d, s := to.table.Floats(to.field), of.table.Floats(of.field)
		return mergeValues(field, to, dst, of, src, func(i int) bool {
			x, y := s.At(src[i]), d.At(dst[i])
			if largest {
				return x > y || x != x
			}
			return x < y || x == x && y != y
		})
	}
	d, s := to.table.Ints(to.field), of.table.Ints(of.field)
	return mergeValues(field, to, dst, of, src, func(i int) bool {
		x, y := s.At(src[i]), d.At(dst[i])
		return largest && x > y || !largest && x < y
	})
}

// mergeValues takes over the values that are not null where there is none yet, or better says that it replaces the one that is there.
func mergeValues(field core.Field, to pair, dst []uint32, of pair, src []uint32, better func(i int) bool) error {
	dv, sv := to.table.Validity(to.field), of.table.Validity(of.field)
	wide := field.Type.Kind == core.Decimal
	heap := field.Type.Kind.Width() == 0
	for i, slot := range dst {
		if sv.Null(src[i]) || !dv.Null(slot) && !better(i) {
			continue
		}
		if heap {
			if err := to.table.SetBytes(slot, to.field, of.table.BytesAt(src[i], of.field)); err != nil {
				return err
			}
			continue
		}
		dv.SetValid(slot)
		to.table.Words(to.field, 0).Set(slot, of.table.Words(of.field, 0).At(src[i]))
		if wide {
			to.table.Words(to.field, 1).Set(slot, of.table.Words(of.field, 1).At(src[i]))
		}
	}
	return nil
}
