package ops

import (
	"errors"
	"math/big"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/state"
)

// maxDecimal is 10^38: the magnitude of a DECIMAL is less.
var maxDecimal = decimal128.GetMaxValue(38).Add(decimal128.FromI64(1))

// sumDecimals is SUM of DECIMAL.
type sumDecimals struct{ single }

func (a *sumDecimals) update(in *core.Vector, r Rows) error {
	return a.add(in, a.begin(in, r, 0))
}

func (a *sumDecimals) add(in *core.Vector, r Rows) error {
	lo, hi, values := a.table.Words(a.field, 0), a.table.Words(a.field, 1), in.Decimals()
	for i, s := range r.Slots {
		row := r.row(i)
		sum := decimal128.New(int64(hi.At(s)), lo.At(s)).Add(values[row]) // two of 38 digits fit 128 bits
		if !sum.Abs().Less(maxDecimal) {
			return errDecimalOverflow
		}
		lo.Set(s, sum.LowBits())
		hi.Set(s, uint64(sum.HighBits()))
	}
	return nil
}

// meanDecimals is AVG of DECIMAL: sum and count, divided when it is asked for.
type meanDecimals struct {
	sumDecimals
	count int
	grow  int // digits behind the point that the result has more than the argument
}

func (a *meanDecimals) update(in *core.Vector, r Rows) error {
	r = a.begin(in, r, 0)
	if err := a.add(in, r); err != nil {
		return err
	}
	increment(a.table.Ints(a.count), r.Slots)
	return nil
}

func (a *meanDecimals) emit(out *core.Vector, slots []uint32) error {
	lo, hi, count := a.table.Words(a.field, 0), a.table.Words(a.field, 1), a.table.Ints(a.count)
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(a.grow)), nil)
	var n, half, rest big.Int
	for _, s := range slots {
		if count.At(s) == 0 {
			out.AppendNull()
			continue
		}
		sum := decimal128.New(int64(hi.At(s)), lo.At(s)).BigInt()
		sum.Mul(sum, factor)
		n.SetInt64(count.At(s))
		half.Rsh(&n, 1) // half away from zero: (|sum| + n/2) / n
		if sum.Sign() < 0 {
			sum.Sub(sum, &half)
		} else {
			sum.Add(sum, &half)
		}
		sum.QuoRem(sum, &n, &rest)
		mean := decimal128.FromBigInt(sum)
		if sum.BitLen() > 127 || !mean.Abs().Less(maxDecimal) {
			return errors.New("AVG: the mean has more than the 38 digits of a DECIMAL")
		}
		out.AppendDecimal(mean)
	}
	return nil
}

// decimalBetter compares for MIN (sign -1) and MAX (sign 1).
func decimalBetter(sign int) func(*state.Table, uint32, int, *core.Vector, int) bool {
	return func(t *state.Table, slot uint32, field int, v *core.Vector, i int) bool {
		old := decimal128.New(int64(t.Words(field, 1).At(slot)), t.Words(field, 0).At(slot))
		return v.Decimals()[i].Cmp(old) == sign
	}
}
