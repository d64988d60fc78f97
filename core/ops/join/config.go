package join

import (
	"fmt"
	"math"

	"turbo/core"
	"turbo/core/expr"
)

// Kind says which rows a join emits.
type Kind uint8

// The kinds. Semi emits the left rows that have a partner, anti those that have none; both emit left columns only.
const (
	Inner Kind = iota
	Left
	Right
	Full
	Semi
	Anti
)

// String returns "inner", "left", "right", "full", "semi" or "anti".
func (k Kind) String() string {
	if k > Anti {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return [...]string{"inner", "left", "right", "full", "semi", "anti"}[k]
}

// outer reports whether rows of side (0 left, 1 right) without a partner are emitted, with nulls for the other side.
func (k Kind) outer(side int) bool {
	return k == Full || k == Left && side == 0 || k == Right && side == 1
}

// half reports whether only left columns come out.
func (k Kind) half() bool { return k == Semi || k == Anti }

// alone reports whether rows of side without a partner are emitted.
func (k Kind) alone(side int) bool { return k.outer(side) || k == Anti && side == 0 }

// Column is an output column: column Index of input Side (0 left, 1 right), renamed when Name is not empty.
type Column struct {
	Side, Index int
	Name        string
}

// Config is what all joins have in common.
type Config struct {
	Kind Kind
	// Keys are the columns of the left and of the right input that must be equal, pairwise of the same type. Null is equal to nothing. With no keys
	// every row meets every other one; the exchange must then bring all rows to worker 0.
	Keys [2][]int
	// Residual is a further condition, BOOLEAN over the left input's columns followed by the right one's (see Joined); nil: none. A pair
	// for which it is not true is no match. Every instance uses a clone.
	Residual *expr.Program
	// Output is the columns of the result. They become nullable where the join may put nulls.
	Output []Column
}

// Joined is the schema over which residual conditions are compiled: the columns of left, then those of right. A name that is taken already gets a
// number, as in Flink: id, then id0.
func Joined(left, right *core.Schema) *core.Schema {
	out := core.NewSchema(append(append([]core.Field(nil), left.Fields...), right.Fields...)...)
	taken := map[string]bool{}
	for i := range out.Fields {
		f := &out.Fields[i]
		name := f.Name
		for n := 0; taken[name]; n++ {
			name = fmt.Sprint(f.Name, n)
		}
		f.Name = name
		taken[name] = true
	}
	return out
}

// schema checks the configuration and returns the output columns.
func (c *Config) schema(what string, left, right *core.Schema) (*core.Schema, error) {
	inputs := [2]*core.Schema{left, right}
	if c.Kind > Anti {
		return nil, fmt.Errorf("%s: there is no %v join", what, c.Kind)
	}
	if len(c.Keys[0]) != len(c.Keys[1]) {
		return nil, fmt.Errorf("%s: %d key columns on the left, %d on the right", what, len(c.Keys[0]), len(c.Keys[1]))
	}
	for i := range c.Keys[0] {
		var f [2]core.Field
		for s, in := range inputs {
			k := c.Keys[s][i]
			if k < 0 || k >= len(in.Fields) {
				return nil, fmt.Errorf("%s: key column %d of %d", what, k, len(in.Fields))
			}
			f[s] = in.Fields[k]
		}
		if !f[0].Type.Same(f[1].Type) {
			return nil, fmt.Errorf("%s: %s is %v and %s is %v: keys must have the same type, so CAST one of them", what, f[0].Name, f[0].Type.Optional(),
				f[1].Name, f[1].Type.Optional())
		}
	}
	if p := c.Residual; p != nil {
		if p.Type().Kind != core.Boolean {
			return nil, fmt.Errorf("%s: the condition %s is %v, not BOOLEAN", what, p, p.Type().Optional())
		}
		for _, i := range p.Columns() {
			if i >= len(left.Fields)+len(right.Fields) {
				return nil, fmt.Errorf("%s: the condition %s reads column %d of %d", what, p, i, len(left.Fields)+len(right.Fields))
			}
		}
	}
	out := core.NewSchema()
	for _, col := range c.Output {
		if col.Side < 0 || col.Side > 1 || col.Index < 0 || col.Index >= len(inputs[col.Side].Fields) {
			return nil, fmt.Errorf("%s: output column %d of input %d does not exist", what, col.Index, col.Side)
		}
		if c.Kind.half() && col.Side == 1 {
			return nil, fmt.Errorf("%s: a join of kind %v has columns of the left input only, not %s", what, c.Kind, inputs[1].Fields[col.Index].Name)
		}
		f := inputs[col.Side].Fields[col.Index]
		if col.Name != "" {
			f.Name = col.Name
		}
		if c.Kind.outer(1 - col.Side) {
			f.Type = f.Type.Optional()
		}
		if out.Index(f.Name) >= 0 {
			return nil, fmt.Errorf("%s: two output columns have the name %s: rename one", what, f.Name)
		}
		out.Fields = append(out.Fields, f)
	}
	return out, nil
}

// appendOnly refuses inputs that are changelogs.
func appendOnly(what string, inputs ...*core.Schema) error {
	for i, in := range inputs {
		if in.Changelog {
			return fmt.Errorf("%s: the %s input is a changelog, and rows once joined cannot be taken back here; use a regular join, or make it append-only first",
				what, [...]string{"left", "right"}[i])
		}
	}
	return nil
}

// timed refuses inputs without event time.
func timed(what string, inputs ...*core.Schema) error {
	for i, in := range inputs {
		if in.TimeColumn < 0 || in.TimeColumn >= len(in.Fields) {
			return fmt.Errorf("%s: the %s input has no time column", what, [...]string{"left", "right"}[i])
		}
	}
	return nil
}

// addTime appends the column with the rows' event time.
func addTime(what string, out *core.Schema, name string, left *core.Schema) error {
	if out.Index(name) >= 0 {
		return fmt.Errorf("%s: the time column %s has the name of another output column", what, name)
	}
	out.TimeColumn = len(out.Fields)
	out.Fields = append(out.Fields, core.Field{Name: name, Type: left.Fields[left.TimeColumn].Type.Required()})
	return nil
}

// add is a + b, saturating.
func add(a, b int64) int64 {
	s := a + b
	switch {
	case b > 0 && s < a:
		return math.MaxInt64
	case b < 0 && s > a:
		return math.MinInt64
	}
	return s
}
