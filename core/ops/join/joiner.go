package join

import (
	"fmt"

	"turbo/core"
	"turbo/core/expr"
)

// joiner is what the joins have in common: the two sides, the condition, and the making of output.
type joiner struct {
	what      string
	config    *Config
	ctx       *core.OperatorContext
	sides     [2]*side
	pool      *core.BatchPool
	watermark int64
	batch     *core.Batch // at hand, of input port
	port      int

	residual *expr.Program
	needed   []int // columns that the residual reads
	probe    *core.Batch
	scratch  []*core.Vector // by needed
	eval     expr.Context

	keys   []*core.Vector
	hashed []uint64
	rows   []int32 // of the batch at hand: on time, with a key
	single []int32 // ... and without one
	late   []int32
	none   []int32
	groups []int32
	slots  []uint32
}

// rows are rows of one side: physical rows of a batch, or slots of the table; neither: nulls.
type rows struct {
	batch *core.Batch
	at    []int32
	slots []uint32
}

func (j *joiner) open(what string, config *Config, ctx *core.OperatorContext, want *core.Schema) error {
	j.what, j.config, j.ctx, j.watermark = what, config, ctx, int64(core.MinTime)
	if len(want.Fields) != len(ctx.Output.Fields) || want.TimeColumn != ctx.Output.TimeColumn || want.Changelog != ctx.Output.Changelog {
		return fmt.Errorf("%s: the output is declared %v, it is %v", what, ctx.Output, want)
	}
	for i, f := range want.Fields {
		if !ctx.Output.Fields[i].Type.Same(f.Type) {
			return fmt.Errorf("%s: the output is declared %v, it is %v", what, ctx.Output, want)
		}
	}
	j.pool = core.NewBatchPool(ctx.Account, ctx.Output, ctx.BatchRows, 8)
	if config.Residual != nil {
		j.residual = config.Residual.Clone()
		j.needed = j.residual.Columns()
		j.eval.Account = ctx.Account
		joined := Joined(ctx.Inputs[0], ctx.Inputs[1])
		j.probe = core.NewBatch(ctx.Account, joined)
		j.probe.Columns = make([]*core.Vector, len(joined.Fields))
		for _, c := range j.needed {
			v := core.NewVector(ctx.Account, joined.Fields[c].Type, ctx.BatchRows)
			j.probe.Columns[c] = v
			j.scratch = append(j.scratch, v)
		}
	}
	return nil
}

// reads returns the columns of a side that output and condition need.
func (j *joiner) reads(which int) (out []int) {
	for _, c := range j.config.Output {
		if c.Side == which {
			out = append(out, c.Index)
		}
	}
	left := len(j.ctx.Inputs[0].Fields)
	for _, c := range j.needed {
		if which == 0 && c < left {
			out = append(out, c)
		} else if which == 1 && c >= left {
			out = append(out, c-left)
		}
	}
	return out
}

func (j *joiner) close() {
	j.release()
	if j.pool != nil {
		j.pool.Close()
		j.pool = nil
	}
	for _, s := range j.sides {
		if s != nil {
			s.close()
		}
	}
	if j.probe != nil {
		j.probe.Release()
		j.probe = nil
	}
}

// release lets go of the batch at hand.
func (j *joiner) release() {
	if j.batch != nil {
		j.batch.Release()
		j.batch = nil
	}
}

// fail ends the batch at hand.
func (j *joiner) fail(err error) error {
	j.release()
	return fmt.Errorf("%s: %w", j.what, err)
}

// worker is a join with work to do in pieces, each of which makes at most a batch of output.
type worker interface {
	idle() bool
	work(out core.Emitter) error
}

// run works while the outputs take more, and reports whether there is work left.
func (j *joiner) run(w worker, out core.Emitter) (bool, error) {
	for !w.idle() {
		if j.full(out) {
			return true, nil
		}
		if err := w.work(out); err != nil {
			return false, j.fail(err)
		}
	}
	return false, nil
}

// appendRows appends a column of side s for n rows.
func (s *side) appendRows(v *core.Vector, column int, r *rows, n int) error {
	switch {
	case r == nil:
		appendNulls(v, n)
	case r.batch != nil:
		v.AppendSelected(r.batch.Columns[column], r.at[:n])
	default:
		return s.table.AppendValues(v, s.field[column], r.slots[:n])
	}
	return nil
}

// appendNulls appends n nulls to an empty vector.
func appendNulls(v *core.Vector, n int) {
	if v.Type.Kind.Width() == 0 || v.Len() > 0 {
		v.AppendNulls(n)
		return
	}
	v.Extend(n)
	clear(v.Data())
	v.SetValidity(zeros[:min((n+7)/8, len(zeros))])
}

var zeros [8192]byte

// make returns a batch of n rows: left[i] with right[i], nil for nulls. times is their event time, when the output has a column for it.
func (j *joiner) make(left, right *rows, n int, times []int64) (*core.Batch, error) {
	made := j.pool.Get()
	for i, c := range j.config.Output {
		from := left
		if c.Side == 1 {
			from = right
		}
		if err := j.sides[c.Side].appendRows(made.Columns[i], c.Index, from, n); err != nil {
			made.Release()
			return nil, err
		}
	}
	if k := len(j.config.Output); k < len(made.Columns) && times != nil {
		made.Columns[k].Extend(n)
		copy(made.Columns[k].Int64s(), times[:n])
	}
	made.Len = n
	return made, nil
}

// matches narrows n candidate pairs to those for which the residual condition is true: it returns their positions, ascending, or all true when
// there is no condition or every pair passes.
func (j *joiner) matches(left, right *rows, n int) (kept []int32, all bool, err error) {
	if j.residual == nil {
		return nil, true, nil
	}
	fields := len(j.ctx.Inputs[0].Fields)
	for _, c := range j.needed {
		v := j.probe.Columns[c]
		if v.Shared() { // a column as it is may have been handed out
			v.Release()
			v = core.NewVector(j.ctx.Account, v.Type, n)
			j.probe.Columns[c] = v
		}
		v.Reset()
		if c < fields {
			err = j.sides[0].appendRows(v, c, left, n)
		} else {
			err = j.sides[1].appendRows(v, c-fields, right, n)
		}
		if err != nil {
			return nil, false, err
		}
	}
	j.probe.Len, j.probe.Sel = n, nil
	j.eval.Now = j.ctx.Now()
	if err := j.residual.Filter(&j.eval, j.probe); err != nil {
		return nil, false, core.Permanent(err)
	}
	if j.probe.Sel == nil {
		return nil, true, nil
	}
	return j.probe.Sel, false, nil
}

// hash gives the key columns of b and the hashes of its rows by physical row. The key columns are valid until forget.
func (j *joiner) hash(which int, b *core.Batch) (keys []*core.Vector, hashes []uint64) {
	s := j.sides[which]
	j.keys = j.keys[:0]
	for _, k := range s.keys {
		j.keys = append(j.keys, b.Columns[k])
	}
	hashes, j.hashed = s.hashes(b, j.keys, j.hashed)
	return j.keys, hashes
}

// admit divides the rows of b: those that take part to rows, those whose key has a null to single. Rows without event time, and rows for which isLate,
// are counted and go to the output for late rows of their input, when there is one. dense reports that rows are all physical rows in order.
// A nil isLate asks for no time.
func (j *joiner) admit(which int, b *core.Batch, isLate func(t int64) bool) (dense bool, err error) {
	s := j.sides[which]
	j.rows, j.single, j.late, j.none = j.rows[:0], j.single[:0], j.late[:0], j.none[:0]
	nulls := false
	for _, k := range s.keys {
		nulls = nulls || b.Columns[k].HasNulls()
	}
	n := b.Rows()
	if cap(j.rows) < n {
		j.rows = make([]int32, 0, n+n/4)
	}
	if !nulls && (isLate == nil || s.punctual(b, isLate)) {
		j.rows = j.rows[:n]
		if b.Sel == nil {
			for i := range j.rows {
				j.rows[i] = int32(i)
			}
			return true, nil
		}
		copy(j.rows, b.Sel)
		return false, nil
	}
	for i := range n {
		r := b.Row(i)
		if isLate != nil {
			if b.Columns[s.time].Null(r) {
				j.none = append(j.none, int32(r))
				continue
			}
			if isLate(b.Columns[s.time].Int64s()[r] + s.schema.TimeShift) {
				j.late = append(j.late, int32(r))
				continue
			}
		}
		if nulls && s.nullKey(b, r) {
			j.single = append(j.single, int32(r))
			continue
		}
		j.rows = append(j.rows, int32(r))
	}
	j.ctx.Counters.NoTime += int64(len(j.none))
	j.ctx.Counters.Late += int64(len(j.late))
	return false, j.aside(which, b)
}

// punctual reports that all rows have a time and none is late. Lateness is monotonous: the earliest decides.
func (s *side) punctual(b *core.Batch, isLate func(int64) bool) bool {
	v := b.Columns[s.time]
	if v.HasNulls() {
		return false
	}
	if b.Rows() == 0 {
		return true
	}
	earliest, _ := core.Extremes(v.Int64s(), b.Sel)
	return !isLate(earliest + s.schema.TimeShift)
}

func (s *side) nullKey(b *core.Batch, row int) bool {
	for _, k := range s.keys {
		if b.Columns[k].Null(row) {
			return true
		}
	}
	return false
}

// aside gives late rows and rows without time to their output, when it is declared.
func (j *joiner) aside(which int, b *core.Batch) error {
	if which >= len(j.ctx.Sides) || j.ctx.Sides[which] == nil || len(j.late)+len(j.none) == 0 {
		return nil
	}
	o := b.Share()
	o.Schema = j.ctx.SideSchemas[which]
	sel := o.SelBuffer(len(j.late) + len(j.none))
	for i, x, y := 0, 0, 0; i < len(sel); i++ { // both ascend
		if y == len(j.none) || x < len(j.late) && j.late[x] < j.none[y] {
			sel[i] = j.late[x]
			x++
		} else {
			sel[i] = j.none[y]
			y++
		}
	}
	o.Sel = sel
	return j.ctx.Sides[which].Emit(o)
}

// full reports that some output cannot take more.
func (j *joiner) full(out core.Emitter) bool {
	if out.Full() {
		return true
	}
	for _, s := range j.ctx.Sides {
		if s != nil && s.Full() {
			return true
		}
	}
	return false
}

// groupsOf gives the key groups of rows of a batch by position.
func (j *joiner) groupsOf(hashes []uint64, list []int32) []int32 {
	if len(j.config.Keys[0]) == 0 {
		j.groups = resize(j.groups, 1)
		j.groups[0] = 0
		return j.groups
	}
	j.groups = resize(j.groups, len(list))
	of := j.ctx.KeyGroups
	for i, r := range list {
		j.groups[i] = int32(core.KeyGroup(hashes[r], of))
	}
	return j.groups
}
