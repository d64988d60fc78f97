package join

import (
	"fmt"

	"turbo/core"
	"turbo/core/hash"
	"turbo/state"
)

// Window joins the rows of both inputs that have equal keys and are in the same window, when the watermark closes it; or it gives them to a
// function (CoGroup).
//
// Rows are kept by slice, the longest piece of time that is in the same windows as a whole: to keep a row is an append. When a window closes, the rows
// of its slices are divided by key, all at once, into groups; the groups make pairs. A slice is freed with its last window. Of sessions, which are by key, the
// rows are kept in chains; when a row's own session would be over, those of its key are looked at.
type Window struct {
	core.BaseOperator
	joiner
	spec     WindowConfig
	coGroup  *CoGroupConfig
	function CoGrouper
	builder  *core.Builder
	inner    [2]*core.Batch // of the group at hand

	chains   *chains
	slices   [2]*buckets
	progress *state.Table // by key group: the watermark up to which windows have closed, when rows outlive a window
	saved    int64
	fired    int64 // windows that end at or before it (exclusive end - 1) have closed
	open     bool  // there may be windows to close

	// The windows that are closing.
	closing bool
	all     [2][]uint32 // rows of the groups, by side, group after group
	groups  []group
	spans   []span    // of the groups; one alone is that of all
	alone   [2][]lone // rows without partner
	met     [2]marks
	checked bool        // alone is complete
	free    [2][]uint32 // rows to drop at the end
	group   int         // cursor of pairs: group, and positions in all
	l, r    int32
	sent    [2]int // of alone

	pair    [2][]uint32
	pairOf  []int32
	keySlot []uint32
	keysOf  [2][]uint32 // by position in all
	counts  [][2]int32  // by key slot
	heads   []int32     // of an inner join, by key slot: the key's last right row, by position in all, + 1
	next    []int32     // by position of a right row in all: the one before of its key, + 1
	walks   []reached   // left rows of an inner join, by position in all, that have more partners
	read    int         // those before it have been paired with one more,
	written int         // these of them have others
	sorted  []uint32
	columns []*core.Vector
	zero    []int64
	times   []int64
	due     []uint32
	keysDue []uint32
	placed  []placed
	keysOne [1]uint32
	timeOne [1]int64
}

// group is the rows of a key in a window: all[side][from[side]:to[side]].
type group struct{ from, to [2]int32 }

// span is from the start of a window to its end, exclusive.
type span struct{ start, end int64 }

type lone struct {
	slot  uint32
	group int32 // whose window it is
}

// span is the window of a group.
func (j *Window) span(group int32) span {
	if len(j.spans) == 1 {
		return j.spans[0]
	}
	return j.spans[group]
}

// NewWindow returns an instance of a window join for one worker.
func NewWindow(config WindowConfig) *Window { return &Window{spec: config} }

// NewCoGroup returns an instance of a co-group for one worker.
func NewCoGroup(config CoGroupConfig) *Window {
	return &Window{coGroup: &config, spec: WindowConfig{Config: Config{Keys: config.Keys}, Windows: config.Windows}}
}

// Open implements core.Operator.
func (j *Window) Open(ctx *core.OperatorContext) error {
	what, schema := "window join", j.spec.Schema
	if j.coGroup != nil {
		what, schema = "co-group", j.coGroup.Schema
	}
	want, err := schema(ctx.Inputs[0], ctx.Inputs[1])
	if err != nil {
		return err
	}
	if err := j.joiner.open(what, &j.spec.Config, ctx, want); err != nil {
		return err
	}
	if j.coGroup != nil {
		if j.function, err = j.coGroup.New(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		j.builder = core.NewBuilder(ctx.Account, ctx.Output, ctx.BatchRows)
	}
	for i, name := range []string{"left", "right"} {
		reads := j.reads(i)
		if j.coGroup != nil {
			reads = reads[:0]
			for c := range ctx.Inputs[i].Fields {
				reads = append(reads, c)
			}
		}
		if j.sides[i], err = newSide(ctx, name, ctx.Inputs[i], j.spec.Keys[i], reads); err != nil {
			return err
		}
	}
	var extra []core.Field
	if j.spec.Windows.Kind == Session {
		extra = []core.Field{{Name: "due", Type: core.Of(core.Int64).Required()}}
	}
	if j.chains, err = newChains(ctx, j.sides[0], extra...); err != nil {
		return err
	}
	for _, k := range j.spec.Keys[0] {
		j.columns = append(j.columns, core.NewVector(ctx.Account, ctx.Inputs[0].Fields[k].Type, 0))
	}
	j.fired = int64(core.MinTime)
	if j.spec.Windows.Kind == Session {
		return j.openSession()
	}
	if j.spec.Windows.Kind != Tumbling {
		if err := j.openProgress(); err != nil {
			return err
		}
	}
	for i, s := range j.sides {
		w := &j.spec.Windows
		j.slices[i] = newBuckets(ctx.Account, 1)
		j.slices[i].shift, j.slices[i].number, j.slices[i].last = -1, w.number, func(n int64) int64 { return (n+1)*w.slice() + w.Offset - 1 }
		err := s.table.Scan(func(slots []uint32) error {
			j.times = j.times[:0]
			s.times(slots, func(_ uint32, t int64) { j.times = append(j.times, t) })
			if err := s.room(slots); err != nil {
				return err
			}
			return j.slices[i].add(slots, j.times)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// openProgress finds up to when windows have closed.
func (j *Window) openProgress() error {
	t, err := j.ctx.Tables.Table("progress", []core.Field{{Name: "key group", Type: core.Of(core.Int32).Required()}},
		[]core.Field{{Name: "watermark", Type: core.Of(core.Int64).Required()}})
	if err != nil {
		return err
	}
	var ok bool
	if j.progress, ok = t.(*state.Table); !ok {
		return fmt.Errorf("%s: its table is a %T", j.what, t)
	}
	first := true
	err = j.progress.Scan(func(slots []uint32) error {
		of, at := j.progress.Ints(0), j.progress.Ints(1)
		for _, x := range slots {
			if of.At(x) > 0 && len(j.spec.Keys[0]) == 0 {
				continue // without keys, group 0 has all rows
			}
			if w := at.At(x); first || w < j.fired { // all passed the same barrier and so have the same
				j.fired = w
			}
			first = false
		}
		return nil
	})
	j.saved = j.fired
	return err
}

// Flush implements core.Operator: it saves up to when windows have closed.
func (j *Window) Flush(core.Emitter) error {
	if j.progress == nil || j.saved == j.fired {
		return nil
	}
	j.saved = j.fired
	from, to, _ := j.progress.KeyGroups()
	if len(j.spec.Keys[0]) == 0 {
		to = from + 1
	}
	n := to - from
	if n == 0 {
		return nil
	}
	keys := core.NewVector(j.ctx.Account, core.Of(core.Int32).Required(), n)
	defer keys.Release()
	list, hashes, slots := make([]int32, n), make([]uint64, n), make([]uint32, n)
	for i := range list {
		list[i] = int32(from + i)
		keys.AppendInt32(list[i])
	}
	columns := []*core.Vector{keys}
	hash.Columns(columns, n, nil, hashes)
	if _, err := j.progress.UpsertGrouped(list, columns, hashes, nil, n, slots, nil); err != nil {
		return err
	}
	if err := j.progress.Touch(slots); err != nil {
		return err
	}
	at := j.progress.Ints(1)
	for _, x := range slots {
		at.Set(x, j.saved)
	}
	return nil
}

// Close implements core.Operator.
func (j *Window) Close() error {
	j.chains.close()
	for i := range j.slices {
		j.slices[i].close()
		if j.ctx != nil {
			j.met[i].close(j.ctx.Account)
		}
	}
	for _, v := range j.columns {
		v.Release()
	}
	j.columns = nil
	for i, b := range j.inner {
		if b != nil {
			b.Release()
			j.inner[i] = nil
		}
	}
	if j.builder != nil {
		j.builder.Close()
		j.builder = nil
	}
	j.joiner.close()
	return nil
}

// Process implements core.Operator: it keeps the rows.
func (j *Window) Process(port int, b *core.Batch, _ core.Emitter) error {
	err := j.keep(port, b)
	b.Release()
	if err != nil {
		return j.fail(err)
	}
	return nil
}

func (j *Window) keep(port int, b *core.Batch) error {
	w := &j.spec.Windows
	if w.Kind == Session {
		return j.keepSession(port, b)
	}
	gone := 0
	if _, err := j.admit(port, b, func(t int64) bool { return max(w.last(w.number(t))-1, t) <= j.watermark }); err != nil {
		return err
	}
	if len(j.single) > 0 && (j.coGroup != nil || j.spec.Config.Kind.alone(port)) {
		j.rows = append(j.rows, j.single...)
	}
	s := j.sides[port]
	column, shift := b.Columns[s.time].Int64s(), s.schema.TimeShift
	j.times = resize(j.times, len(j.rows))
	for _, r := range j.rows {
		t := column[r] + shift
		if w.Kind == Sliding && w.Slide > w.Size {
			if _, _, ok := w.next(w.number(t), int64(core.MinTime)); !ok { // between two windows
				j.ctx.Counters.Filtered++
				continue
			}
		}
		j.rows[gone], j.times[gone] = r, t
		gone++
	}
	n := gone
	if n == 0 {
		return nil
	}
	_, hashes := j.hash(port, b)
	j.slots = resize(j.slots, n)
	var sel []int32
	if n != b.Len || b.Sel != nil || len(j.single) > 0 {
		sel = j.rows[:n]
	}
	if err := s.insert(b, sel, n, j.groupsOf(hashes, j.rows[:n]), j.slots); err != nil {
		return err
	}
	return j.slices[port].add(j.slots, j.times[:n])
}

// Advance implements core.Operator: windows that end are closed by Resume.
func (j *Window) Advance(t core.Time, _ core.Emitter) error {
	j.watermark = int64(t)
	j.open = true
	if j.spec.Windows.Kind == Session {
		if err := j.advanceSession(); err != nil {
			return j.fail(err)
		}
	}
	return nil
}

// Resume implements core.Operator.
func (j *Window) Resume(out core.Emitter) (bool, error) { return j.run(j, out) }

func (j *Window) idle() bool { return !j.closing && !j.open }

func (j *Window) work(out core.Emitter) error {
	switch {
	case j.closing:
		return j.emit(out)
	case j.spec.Windows.Kind == Session:
		return j.closeSessions()
	}
	return j.closeWindow()
}

// closeWindow finds the next window that has ended, and makes its groups.
func (j *Window) closeWindow() error {
	w := &j.spec.Windows
	first, found := int64(0), false
	for _, s := range j.slices {
		if len(s.order) > 0 && (!found || s.order[0] < first) {
			first, found = s.order[0], true
		}
	}
	after := add(j.fired, 1)
	if !found {
		j.open, j.fired = false, max(j.fired, j.watermark)
		return nil
	}
	start, end, ok := w.next(first, after)
	if ok && end-1 > j.watermark {
		j.open, j.fired = false, max(j.fired, j.watermark)
		return nil
	}
	if !ok { // all its windows have closed
		j.fired = max(j.fired, w.last(first)-1)
		return j.freeSlices()
	}
	from, to := w.number(start), w.number(end-1)
	for side, s := range j.slices {
		j.all[side] = j.all[side][:0]
		for _, n := range s.order {
			if n < from {
				continue
			}
			if n > to {
				break
			}
			j.all[side] = append(j.all[side], s.lists[n].slots...)
		}
	}
	j.fired = end - 1
	j.closing = true
	if err := j.divide(start, end); err != nil {
		return err
	}
	return j.freeSlices()
}

// freeSlices takes out the slices whose last window has closed; their rows are dropped when the groups are done with.
func (j *Window) freeSlices() error {
	for side, s := range j.slices {
		for len(s.order) > 0 && j.spec.Windows.last(s.order[0])-1 <= j.fired {
			c := s.remove()
			if j.closing {
				j.free[side] = append(j.free[side], c.slots...)
			} else if err := j.sides[side].drop(c.slots); err != nil {
				return err
			}
			s.free(c)
		}
	}
	return nil
}
