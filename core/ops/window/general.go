package window

import (
	"fmt"
	"math"

	"turbo/core"
	"turbo/core/hash"
	"turbo/core/ops"
	"turbo/state"
)

// general keeps each window of each key by itself: any windows, triggers, evictors and functions.
//
// A window is a row of a bag: the key, its bounds, flags, the trigger's state and the accumulators. In memory, chains lead from a key to its windows,
// and two queues to the windows at which something is due. A batch goes through row by row for what depends on the order (which windows, their
// bounds, the trigger's counters), while the contents are written in blocks: pairs of window and row are collected, as are firings, until a window
// that is to fire gets another row, or windows merge. Then flush brings the contents up to date and makes the firings' output.
type general struct {
	core.BaseOperator
	given  Config
	config Config // triggers and evictors of count windows are explicit
	ctx    *core.OperatorContext
	pool   *core.BatchPool
	table  *state.Table
	chains *chains
	acc    *ops.Accumulators // of the table, nil when calls are computed over rows, or when there are none
	rows   *buffer           // of rows that are kept, or nil
	custom *customs          // a trigger of the user's, or nil
	assign *assigner         // aligned windows

	// fields of the table, and of each the offset in its rows
	keys                         int
	startField, endField, flagsF int
	idField, triggerField        int
	start, end, flags, count     int
	w                            []int64 // the table's words
	stride                       int

	time, shift int // input column, -1 none
	events      domain
	clock       domain
	clockNow    core.Time // of the batch or Tick at hand
	hasEnd      bool      // windows have an end
	endFires    bool      // in event time
	endTicks    bool      // in processing time
	canPurge    bool
	nextID      int64
	lastKind    string // of firings by rows before the end

	// the batch at hand
	batch        *core.Batch
	at, n        int
	keyColumns   []*core.Vector
	hashes       []uint64
	ownHashes    []uint64
	keySlots     []uint32
	created      []bool
	windows      []Window
	pairSlots    []uint32
	touched      int // so many of them are announced to the table
	pairRows     []int32
	ends         []int64 // of extend
	marks        []uint8 // by window slot
	fires        []speech
	lateSlots    []uint32
	lateRows     []int32
	emptied      []uint32
	counted      []uint32 // purged windows without an end
	merging      []uint32
	one          [1]uint32
	two          [1]uint32
	group        [1]int32
	firing       bool // timers of event time are due
	ticking      bool // timers of the clock are
	due          []timerEntry
	fireSlots    []uint32
	drops        []uint32
	made         *core.Batch
	ready        []*core.Batch
	lateReady    *core.Batch
	scratchSlots []uint32
	function     Function
	single       []*core.Vector // one row of output, for functions
	failed       error
}

// Bits of a window's flags.
const (
	flagFired  = 1 << iota // the end has been spoken in event time
	flagTicked             // and in processing time
	flagFilled             // there are contents; kept where they can be purged
)

// Bits of marks.
const (
	markFire = 1 << iota // in fires
	markLate             // in lateSlots
)

// speech is a window that speaks.
type speech struct {
	slot  uint32
	kind  string
	purge bool
	fire  bool
}

// pairBlock is how many pairs of window and row are collected before they are written.
const pairBlock = 1024

func newGeneral(c Config) *general {
	g := &general{given: c, config: c, lastKind: KindEarly}
	t := &g.config.Trigger
	switch {
	case t.Kind != DefaultTrigger:
		if t.Kind == EventTime && !c.ProcessingTime {
			t.Kind = DefaultTrigger
		}
	case c.Kind == CountTumbling:
		t.Kind, t.Every, t.Purging = EveryCount, float64(c.Count), true
		g.lastKind = KindFinal
	case c.Kind == CountSliding:
		t.Kind, t.Every = EveryCount, float64(c.Every)
		g.lastKind = KindFinal
	}
	if c.Kind == CountSliding {
		g.config.Evictor = EvictorSpec{Kind: EvictByCount, Count: c.Count}
	}
	return g
}

// Open implements core.Operator.
func (g *general) Open(ctx *core.OperatorContext) error {
	if err := g.open(ctx); err != nil {
		return fmt.Errorf("window: %w", err)
	}
	return nil
}

func (g *general) open(ctx *core.OperatorContext) error {
	g.ctx = ctx
	c, input := &g.config, ctx.Inputs[0]
	want, err := g.given.Schema(input)
	if err != nil {
		return err
	}
	for i, f := range want.Fields {
		if i >= len(ctx.Output.Fields) || !ctx.Output.Fields[i].Type.Same(f.Type) {
			return fmt.Errorf("the output is declared %v, it is %v", ctx.Output, want)
		}
	}
	if c.LateOutput && len(ctx.Sides) == 0 {
		return fmt.Errorf("late rows have no output")
	}
	g.time, g.shift = input.TimeColumn, int(input.TimeShift)
	if c.ProcessingTime {
		g.time = -1
	}
	g.hasEnd = c.Kind.Timed()
	switch c.Trigger.Kind {
	case DefaultTrigger, Early, Multiples, Continuous:
		g.endFires, g.endTicks = g.hasEnd && !c.ProcessingTime, g.hasEnd && c.ProcessingTime
	case EventTime:
		g.endFires = true
	case ProcessingTime:
		g.endTicks = true
	}
	if c.Kind.Aligned() {
		g.assign = newAssigner(c)
	}
	if err := g.openTables(ctx, input); err != nil {
		return err
	}
	g.pool = core.NewBatchPool(ctx.Account, ctx.Output, ctx.BatchRows, 8)
	g.events.init(ctx)
	g.clock.init(ctx)
	g.due = make([]timerEntry, max(1, min(ctx.BatchRows, pairBlock)))
	return g.restore()
}

// openTables makes the tables: of windows, of rows, of a custom trigger's timers.
func (g *general) openTables(ctx *core.OperatorContext, input *core.Schema) error {
	c := &g.config
	bags, ok := ctx.Tables.(state.Bags)
	if !ok {
		return fmt.Errorf("its tables are from a %T, which makes no bags", ctx.Tables)
	}
	bigint := core.Of(core.Int64).Required()
	var keys, values []core.Field
	for _, k := range c.Keys {
		keys = append(keys, input.Fields[k])
		values = append(values, core.Field{Name: "key " + input.Fields[k].Name, Type: input.Fields[k].Type})
	}
	add := func(name string, t core.Type) int {
		values = append(values, core.Field{Name: name, Type: t})
		return len(values) - 1
	}
	g.keys = len(keys)
	g.startField, g.endField, g.flagsF = add("window start", bigint), add("window end", bigint), add("flags", bigint)
	buffered := c.Evictor.Kind != NoEvictor || c.Function != nil && !c.AggregatesOnly
	g.idField, g.triggerField = -1, -1
	if buffered || c.Trigger.Kind == CustomTrigger {
		g.idField = add("id", bigint)
	}
	var trigger Trigger
	switch c.Trigger.Kind {
	case EveryCount, Early:
		g.triggerField = add("count", core.Of(core.Float64).Required())
	case Multiples:
		g.triggerField = add("total", core.Of(core.Float64).Required())
		add("multiple", core.Of(core.Float64).Required())
	case EveryDelta:
		g.triggerField = add("last", core.Of(core.Float64))
	case Continuous, ContinuousByClock:
		g.triggerField = add("next", core.Of(core.Int64))
	case CustomTrigger:
		trigger = c.Trigger.Custom()
		g.triggerField = len(values)
		for _, f := range trigger.State() {
			if k := f.Type.Kind; f.Type.Kind.Width() == 0 || k == core.Decimal {
				return fmt.Errorf("the trigger's state %s is %v: use an integer, BOOLEAN, a time, or DOUBLE", f.Name, f.Type)
			}
			add("trigger "+f.Name, f.Type.Optional())
		}
	}
	accumulate := len(c.Calls) > 0 && c.Evictor.Kind == NoEvictor
	first := len(values)
	if accumulate {
		values = append(values, ops.StateFields(c.Calls, input)...)
	}
	var err error
	if g.table, err = bags.Bag("windows", values); err != nil {
		return err
	}
	if accumulate {
		if g.acc, err = ops.NewAccumulators(c.Calls, input, g.table, first); err != nil {
			return err
		}
	}
	from, to, _ := g.table.KeyGroups()
	if g.chains, err = newChains(ctx, keys, from, to); err != nil {
		return err
	}
	g.canPurge = c.Trigger.Purging || c.Trigger.Kind == CustomTrigger || c.Evictor.Kind != NoEvictor
	if buffered {
		if g.rows, err = newBuffer(g, bags, input); err != nil {
			return err
		}
	}
	if trigger != nil {
		if g.custom, err = newCustoms(g, bags, trigger); err != nil {
			return err
		}
	}
	g.refresh()
	return nil
}

// refresh follows the table's rows when they have moved.
func (g *general) refresh() {
	c := g.table.Ints(g.startField)
	g.w, g.stride, g.start = c.Words, c.Stride, c.Offset
	g.end, g.flags = g.table.Ints(g.endField).Offset, g.table.Ints(g.flagsF).Offset
	if g.triggerField >= 0 && g.triggerField < len(g.table.Fields()) {
		g.count = g.table.Words(g.triggerField, 0).Offset
	}
}

// at returns the word of a window's row.
func (g *general) word(slot uint32, offset int) *int64 { return &g.w[int(slot)*g.stride+offset] }

func (g *general) float(slot uint32, offset int) float64 {
	return math.Float64frombits(uint64(*g.word(slot, offset)))
}

func (g *general) setFloat(slot uint32, offset int, x float64) {
	*g.word(slot, offset) = int64(math.Float64bits(x))
}

// window returns the bounds of a window.
func (g *general) window(slot uint32) Window {
	return Window{core.Time(*g.word(slot, g.start)), core.Time(*g.word(slot, g.end))}
}

func (g *general) touch(slot uint32) error {
	g.one[0] = slot
	return g.table.Touch(g.one[:])
}

// restore rebuilds chains, queues, and the lists of rows from the tables.
func (g *general) restore() error {
	var list []uint32
	err := g.table.Scan(func(slots []uint32) error {
		list = append(list, slots...)
		return nil
	})
	if err != nil || len(list) == 0 {
		return err
	}
	var fields []core.Field
	for _, k := range g.config.Keys {
		fields = append(fields, g.ctx.Inputs[0].Fields[k])
	}
	g.refresh()
	ids := map[int64]uint32{}
	for from := 0; from < len(list); from += 4096 {
		slots := list[from:min(from+4096, len(list))]
		found := make([]uint32, len(slots))
		if err := g.chains.restore(g.table, slots, fields, found); err != nil {
			return err
		}
		for i, s := range slots {
			w := g.window(s)
			_, prev := g.lookup(found[i], w.Start, w.End)
			if err := g.adopt(s, found[i], prev); err != nil {
				return err
			}
			if g.idField >= 0 {
				id := g.table.Ints(g.idField).At(s)
				ids[id] = s
				g.nextID = max(g.nextID, id&(1<<48-1)+1)
			}
		}
	}
	if g.rows != nil {
		if err := g.rows.restore(ids); err != nil {
			return err
		}
	}
	if g.custom != nil {
		return g.custom.restore(ids)
	}
	return nil
}

// lookup finds the window of key k with these bounds, and the one of its chain that is, or would be, before it.
func (g *general) lookup(k uint32, start, end core.Time) (slot, prev uint32) {
	prev = none
	for s := g.chains.head[k]; s != none; s = g.chains.next[s] {
		b := core.Time(*g.word(s, g.start))
		if b < start {
			break
		}
		if b == start {
			if e := core.Time(*g.word(s, g.end)); e == end {
				return s, prev
			} else if e < end {
				break
			}
		}
		prev = s
	}
	return none, prev
}

// adopt takes a window of the table into its chain, behind prev, and into the queues.
func (g *general) adopt(s, k, prev uint32) (err error) {
	if err = g.chains.link(k, prev, s); err != nil {
		return err
	}
	if g.marks, err = grow(g.chains, g.marks, int(s), 1, 0); err != nil {
		return err
	}
	g.marks[s] = 0
	if g.events.at, err = grow(g.chains, g.events.at, int(s), 8, core.MinTime); err != nil {
		return err
	}
	if g.clock.at, err = grow(g.chains, g.clock.at, int(s), 8, core.MinTime); err != nil {
		return err
	}
	g.events.at[s], g.clock.at[s] = core.MinTime, core.MinTime
	if g.rows != nil {
		if err := g.rows.adopt(s); err != nil {
			return err
		}
	}
	if g.custom != nil {
		return g.custom.adopt(s)
	}
	return g.schedule(s)
}

// create makes the window of the i-th row's key, behind prev in its chain.
func (g *general) create(i int, w Window, prev uint32) (uint32, error) {
	row := g.batch.Row(i)
	g.group[0] = 0
	if g.keys > 0 {
		g.group[0] = int32(core.KeyGroup(g.hashes[row], g.ctx.KeyGroups))
	}
	if _, err := g.table.Insert(g.group[:], 1, g.one[:]); err != nil {
		return none, err
	}
	s := g.one[0]
	g.refresh()
	for k, v := range g.keyColumns {
		if err := g.table.SetValue(s, k, v, row); err != nil {
			return none, err
		}
	}
	*g.word(s, g.start), *g.word(s, g.end) = int64(w.Start), int64(w.End)
	if g.idField >= 0 {
		g.table.Ints(g.idField).Set(s, int64(g.group[0])<<48|g.nextID)
		g.nextID++
	}
	if g.hasEnd {
		last := w.Last()
		if g.endFires && last <= g.events.now {
			*g.word(s, g.flags) |= flagFired // its end has passed: it speaks with each row
		}
	}
	return s, g.adopt(s, g.keySlots[i], prev)
}

// drop forgets windows, which are distinct and in chains. Their keys are noted in emptied when they have no others.
func (g *general) drop(slots []uint32) error {
	for _, s := range slots {
		k := g.chains.owner[s]
		g.chains.unlink(s)
		if g.chains.head[k] == none {
			g.emptied = append(g.emptied, k)
		}
		g.events.at[s], g.clock.at[s] = core.MinTime, core.MinTime
		if g.rows != nil {
			if err := g.rows.purge(s); err != nil {
				return err
			}
		}
		if g.custom != nil {
			if err := g.custom.dropTimers(s); err != nil {
				return err
			}
		}
	}
	return g.table.Drop(slots)
}

// Close implements core.Operator.
func (g *general) Close() error {
	for _, b := range append(g.ready, g.batch, g.made, g.lateReady) {
		if b != nil {
			b.Release()
		}
	}
	g.ready, g.batch, g.made, g.lateReady = nil, nil, nil, nil
	for _, v := range g.single {
		v.Release()
	}
	g.single = nil
	if g.pool != nil {
		g.pool.Close()
	}
	if g.rows != nil {
		g.rows.close()
	}
	if g.custom != nil {
		g.custom.close()
	}
	if g.chains != nil {
		g.chains.close()
	}
	g.events.close()
	g.clock.close()
	return nil
}

// keyHashes sets the hashes of the batch at hand.
func (g *general) keyHashes() {
	if g.hashes = g.batch.Hashes; g.hashes != nil || g.keys == 0 {
		return
	}
	g.ownHashes = fit(g.ownHashes, g.batch.Len)
	hash.Columns(g.keyColumns, g.batch.Len, g.batch.Sel, g.ownHashes)
	g.hashes = g.ownHashes
}

// fit returns a slice of length n, of undefined contents, in place if it fits.
func fit[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/2)
	}
	return s[:n]
}
