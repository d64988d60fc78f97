package ops

import (
	"math"

	"turbo/core"
	"turbo/state"
)

// variance is VAR_POP and its kin: the count, the mean, and the sum of squared deviations from it (Welford; Chan's rule merges two).
type variance struct {
	table   *state.Table
	field   int // count, then mean, then squares
	sample  bool
	root    bool
	scale   float64 // of decimals: 10^scale
	present present
	values  []float64
}

func newVariance(t *state.Table, field int, f Function, argument core.Type) *variance {
	return &variance{table: t, field: field, sample: f == VarSamp || f == StddevSamp, root: f == StddevPop || f == StddevSamp, scale: math.Pow10(int(argument.Scale))}
}

func (a *variance) columns() (n at[int64], mean, squares at[float64]) {
	return a.table.Ints(a.field), a.table.Floats(a.field + 1), a.table.Floats(a.field + 2)
}

func (a *variance) update(in *core.Vector, r Rows) error {
	if in.HasNulls() {
		r = a.present.of(in, r)
	}
	a.values = resize(a.values, len(r.Slots))
	floats(in, &r, a.scale, a.values)
	n, mean, squares := a.columns()
	for i, s := range r.Slots {
		x := a.values[i]
		count := n.At(s) + 1
		m := mean.At(s)
		d := x - m
		m += d / float64(count)
		n.Set(s, count)
		mean.Set(s, m)
		squares.Set(s, squares.At(s)+d*(x-m))
	}
	return nil
}

// floats writes the numbers of rows that are not null to out. scale is that of decimals, as a power of ten.
func floats(in *core.Vector, r *Rows, scale float64, out []float64) {
	switch in.Type.Kind {
	case core.Int8:
		convert(in.Int8s(), r, out)
	case core.Int16:
		convert(in.Int16s(), r, out)
	case core.Int32:
		convert(in.Int32s(), r, out)
	case core.Int64:
		convert(in.Int64s(), r, out)
	case core.Float32:
		convert(in.Float32s(), r, out)
	case core.Float64:
		convert(in.Float64s(), r, out)
	case core.Decimal:
		values := in.Decimals()
		for i := range out {
			out[i] = values[r.row(i)].ToFloat64(0) / scale
		}
	}
}

func convert[T integer | float32 | float64](values []T, r *Rows, out []float64) {
	for i := range out {
		out[i] = float64(values[r.row(i)])
	}
}

func (a *variance) merge(dst []uint32, from accumulator, src []uint32) error {
	n, mean, squares := a.columns()
	fromN, fromMean, fromSquares := from.(*variance).columns()
	for i, d := range dst {
		s := src[i]
		more, old := fromN.At(s), n.At(d)
		switch {
		case more == 0:
			continue
		case old == 0:
			mean.Set(d, fromMean.At(s))
			squares.Set(d, fromSquares.At(s))
		default:
			x, y := float64(old), float64(more)
			delta := fromMean.At(s) - mean.At(d)
			mean.Set(d, mean.At(d)+delta*(y/(x+y)))
			squares.Set(d, squares.At(d)+fromSquares.At(s)+delta*delta*(x*(y/(x+y))))
		}
		n.Set(d, old+more)
	}
	return nil
}

func (a *variance) clear(slots []uint32) {
	for i := range 3 {
		zero(a.table.Words(a.field+i, 0), slots)
	}
}

func (a *variance) emit(out *core.Vector, slots []uint32) error {
	n, _, squares := a.columns()
	for _, s := range slots {
		count := n.At(s)
		if a.sample {
			count--
		}
		if count <= 0 {
			out.AppendNull()
			continue
		}
		x := squares.At(s) / float64(count)
		if a.root {
			x = math.Sqrt(x)
		}
		out.AppendFloat64(x)
	}
	return nil
}
