package generator

import (
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/io/connector"
)

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection whose output looks random.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draw returns the random value of row n for one purpose.
func draw(seed uint64, purpose uint64, n int64) uint64 {
	return mix(mix(seed^purpose*0xd6e8feb86659fd93) + uint64(n))
}

// unit maps a random value to [0, 1).
func unit(r uint64) float64 { return float64(r>>11) / (1 << 53) }

// eventTimes gives rows their event time.
type eventTimes struct {
	base, step, disorder int64 // µs
	seed                 uint64
}

func (e eventTimes) at(n int64) int64 {
	t := e.base + n*e.step
	if e.disorder > 0 {
		t -= int64(draw(e.seed, 1<<40, n) % uint64(e.disorder+1))
	}
	return t
}

type distribution uint8

const (
	uniform distribution = iota
	normal
	zipf
	sequence
)

// columnSpec makes the values of one column.
type columnSpec struct {
	at       int // column of the schema
	typ      core.Type
	how      distribution
	min, max float64
	nulls    float64
	explicit bool // the spec says how
}

// columns returns the fill function of random and sequence data.
func columns(ctx *connector.SourceContext, times eventTimes, sequences bool) (func(*core.Builder, []int64), error) {
	var specs []columnSpec
	byName := map[string]*connector.Config{}
	for _, o := range ctx.Config.Objects("columns") {
		if ctx.Record.Index(o.Name) < 0 {
			return nil, ctx.Config.Errorf("columns", "there is no column %s in the schema%s", o.Name, nearest(o.Name, ctx.Record.Names()))
		}
		byName[o.Name] = o.Config
	}
	for i, f := range ctx.Record.Fields {
		s := columnSpec{at: ctx.Columns[i], typ: f.Type, max: 1e6}
		if sequences {
			s.how, s.max = sequence, math.MaxInt64
		}
		if c := byName[f.Name]; c != nil {
			s.explicit = true
			s.how = map[string]distribution{"uniform": uniform, "normal": normal, "zipf": zipf, "sequence": sequence}[c.String("distribution")]
			s.min, s.max, s.nulls = c.Float("min"), c.Float("max"), c.Float("nulls")
			if s.max < s.min {
				return nil, c.Errorf("max", "max %v is below min %v", s.max, s.min)
			}
			if s.nulls > 0 && f.Type.NotNull {
				return nil, c.Errorf("nulls", "column %s is NOT NULL", f.Name)
			}
		}
		if f.Type.Kind.IsNested() {
			return nil, ctx.Config.Errorf("data", "column %s: the generator makes no values of type %s", f.Name, f.Type)
		}
		if s.at >= 0 {
			specs = append(specs, s)
		}
	}
	seed := times.seed
	return func(b *core.Builder, rows []int64) {
		for c := range specs {
			s := &specs[c]
			v := b.Column(s.at)
			for _, n := range rows {
				s.append(v, seed, uint64(c), n, times)
			}
		}
	}, nil
}

// value returns a number by the distribution.
func (s *columnSpec) value(r uint64, n int64) float64 {
	width := s.max - s.min
	switch s.how {
	case normal:
		// The sum of four uniform values: close to normal, with both ends cut.
		sum := 0.0
		for i := range uint64(4) {
			sum += unit(mix(r + i))
		}
		return s.min + width*sum/4
	case zipf:
		// The inverse of a continuous 1/x distribution: value k is about twice as frequent as value 2k.
		return s.min + math.Pow(width+1, unit(r)) - 1
	case sequence:
		return s.min + math.Mod(float64(n), width+1)
	}
	return s.min + width*unit(r)
}

func (s *columnSpec) append(v *core.Vector, seed, column uint64, n int64, times eventTimes) {
	r := draw(seed, column, n)
	if s.nulls > 0 && unit(mix(r^0x5555)) < s.nulls {
		v.AppendNull()
		return
	}
	switch s.typ.Kind {
	case core.Timestamp, core.TimestampLTZ:
		v.AppendInt64(times.at(n))
	case core.String, core.Bytes:
		v.AppendBytes(strconv.AppendInt([]byte("v"), int64(s.value(r, n)), 10))
	case core.Boolean:
		v.AppendBool(r&1 == 1)
	case core.Int8:
		v.AppendInt8(int8(s.value(r, n)))
	case core.Int16:
		v.AppendInt16(int16(s.value(r, n)))
	case core.Int32, core.Date, core.IntervalMonth:
		v.AppendInt32(int32(s.value(r, n)))
	case core.Float32:
		v.AppendFloat32(float32(s.value(r, n)))
	case core.Float64:
		v.AppendFloat64(s.value(r, n))
	case core.Decimal:
		v.AppendDecimal(decimal128.FromI64(int64(s.value(r, n))))
	default:
		if s.how == sequence && !s.explicit {
			v.AppendInt64(n)
			return
		}
		v.AppendInt64(int64(s.value(r, n)))
	}
}

func nearest(name string, names []string) string {
	if near := core.Nearest(name, names); near != "" {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	return ""
}
