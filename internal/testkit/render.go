package testkit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"turbo/core"
)

// Format renders row i of v: two values render alike exactly if they are equal as keys (-0.0 as 0, maps sorted).
func Format(v *core.Vector, i int) string {
	if v.Null(i) {
		return "null"
	}
	switch k := v.Type.Kind; k {
	case core.Boolean:
		return strconv.FormatBool(v.Bools()[i] != 0)
	case core.Int8:
		return strconv.Itoa(int(v.Int8s()[i]))
	case core.Int16:
		return strconv.Itoa(int(v.Int16s()[i]))
	case core.Int32, core.Date, core.IntervalMonth:
		return strconv.Itoa(int(v.Int32s()[i]))
	case core.Float32:
		return strconv.FormatFloat(float64(v.Float32s()[i])+0, 'g', -1, 32)
	case core.Float64:
		return strconv.FormatFloat(v.Float64s()[i]+0, 'g', -1, 64)
	case core.Decimal:
		return v.Decimals()[i].ToString(int32(v.Type.Scale))
	case core.String, core.Bytes:
		return strconv.Quote(v.StringAt(i))
	case core.Array, core.Map:
		o := v.Offsets()
		var parts []string
		for j := int(o[i]); j < int(o[i+1]); j++ {
			p := Format(v.Child(0), j)
			if k == core.Map {
				p += ": " + Format(v.Child(1), j)
			}
			parts = append(parts, p)
		}
		if k == core.Map {
			slices.Sort(parts)
			return "{" + strings.Join(parts, ", ") + "}"
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case core.Row:
		var parts []string
		for c := range v.Type.Elements {
			parts = append(parts, Format(v.Child(c), i))
		}
		return "(" + strings.Join(parts, ", ") + ")"
	default:
		return strconv.FormatInt(v.Int64s()[i], 10)
	}
}

// FormatRow renders physical row i of b without its kind.
func FormatRow(columns []*core.Vector, i int) string {
	parts := make([]string, len(columns))
	for c, v := range columns {
		parts[c] = Format(v, i)
	}
	return strings.Join(parts, " | ")
}

// Rows renders the live rows of a batch, with their kinds when it has any: "+U 1 | 2".
func Rows(b *core.Batch) []string {
	out := make([]string, 0, b.Rows())
	for i := range b.Rows() {
		r := b.Row(i)
		s := FormatRow(b.Columns, r)
		if b.Schema.Changelog {
			s = b.Kind(r).String() + " " + s
		}
		out = append(out, s)
	}
	return out
}

// Table is a changelog applied: the rows of a result, by key.
type Table struct{ rows map[string]string }

// Apply adds a changelog row: key tells what it replaces. It refuses what no changelog may say.
func (t *Table) Apply(kind core.RowKind, key, row string) error {
	if t.rows == nil {
		t.rows = map[string]string{}
	}
	old, there := t.rows[key]
	switch kind {
	case core.Insert:
		if there {
			return fmt.Errorf("+I of key %s, which is there as %s", key, old)
		}
		t.rows[key] = row
	case core.UpdateBefore, core.Delete:
		if !there || old != row {
			return fmt.Errorf("%v of %s, but the row is %q", kind, row, old)
		}
		if kind == core.Delete {
			delete(t.rows, key)
		}
	case core.UpdateAfter:
		if !there {
			return fmt.Errorf("+U of key %s, which is not there", key)
		}
		t.rows[key] = row
	}
	return nil
}

// Rows returns the rows, sorted.
func (t *Table) Rows() []string {
	out := make([]string, 0, len(t.rows))
	for _, r := range t.rows {
		out = append(out, r)
	}
	slices.Sort(out)
	return out
}
