package testkit

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"turbo/core"
	"turbo/core/hash"
	"turbo/memory"
	"turbo/state"
)

// Harness runs one operator over the same rows in every variant.
type Harness struct {
	New           func() core.Operator
	Input, Output *core.Schema
	// Keys are the input columns by which rows are dealt to instances. None: everything goes to instance 0.
	Keys []int
	// Columns are the input's rows in order. The harness does not release them.
	Columns []*core.Vector
	// Events lie between the rows, in order.
	Events []Event
	// Start is the clock at the beginning.
	Start core.Time
	// Ports are further inputs, from port 1 on. Order then has the port of each row in the order of arrival; rows of a port come in their
	// order, and events count the rows of all ports.
	Ports []Port
	Order []uint8
	// Kinds are the row kinds by port and row; a nil one means insertions.
	Kinds [][]core.RowKind
	// Sides are the schemas of the operator's side outputs.
	Sides []*core.Schema
	// Narrow makes outputs that are full after each batch, until the next call.
	Narrow bool
	// Only, when not nil, says which variants to run: for tests of many cases.
	Only func(Variant) bool
}

// Port is a further input of an operator.
type Port struct {
	Input   *core.Schema
	Keys    []int
	Columns []*core.Vector
}

// Event comes after so many rows.
type Event struct {
	After     int       // rows before it
	Watermark core.Time // for every instance; 0: none
	Clock     core.Time // processing time from here on (an operator that is Timed hears of it); 0: none
	End       int       // the port that ends, plus one; 0: none
	Restart   int       // a checkpoint is taken, and so many instances start from it; 0: none
}

// Emitted is one row of output.
type Emitted struct {
	Kind core.RowKind
	Row  string // all columns
	Key  string // the first len(Keys) columns
}

// Log is what a run emitted.
type Log struct {
	Emitted []Emitted
	Sides   [][]Emitted // by side output
	Marks   []Mark      // after each message
	Count   core.Counters
	Tables  int64 // bytes of state at the end
	Rows    int   // rows of state at the end
}

// Mark says that Rows input rows and Events events had been taken when Emitted rows had been emitted.
type Mark struct{ Rows, Events, Emitted int }

// Variant is how a run was made.
type Variant struct {
	BatchRows int
	Selection bool // batches have dead rows, which are garbage
	Hashes    bool // batches carry hashes
	// Restart: 0 never; 1 after each message; 2 after each message, at another parallelism; 3 sometimes, with checkpoints that are
	// abandoned in between.
	Restart int
}

// String renders the variant as a test's name.
func (v Variant) String() string {
	return fmt.Sprintf("rows=%d,selection=%v,hashes=%v,restart=%d", v.BatchRows, v.Selection, v.Hashes, v.Restart)
}

const harnessGroups = 8

// Run runs every variant and gives check what it emitted. It fails the test when a contract is broken or memory leaks.
func (h *Harness) Run(t *testing.T, check func(t *testing.T, v Variant, log *Log)) {
	for _, rows := range []int{1, 3, 1000} {
		for _, selection := range []bool{false, true} {
			for restart := range 4 {
				v := Variant{rows, selection, selection == (restart%2 == 0), restart}
				if h.Only != nil && !h.Only(v) {
					continue
				}
				t.Run(v.String(), func(t *testing.T) {
					r := &run{h: h, v: v, t: t, rng: rand.New(rand.NewPCG(uint64(rows), uint64(restart))), pool: memory.NewPool(0), clock: h.Start}
					r.account = r.pool.Account("op")
					check(t, v, r.run())
				})
			}
		}
	}
}

type run struct {
	h         *Harness
	v         Variant
	t         *testing.T
	rng       *rand.Rand
	pool      *memory.Pool
	account   *memory.Account
	clock     core.Time
	watermark core.Time
	instances []*instance
	pages     Pages
	log       Log
	ports     []Port
	rowOf     []int32 // by position in the order of arrival: the row of its port
	ended     []bool
}

// port is the port of the row at a position in the order of arrival.
func (r *run) port(at int) int {
	if len(r.h.Order) == 0 {
		return 0
	}
	return int(r.h.Order[at])
}

// sideOutput takes what an instance emits to a side output.
type sideOutput struct {
	run  *run
	side int
	full *bool
}

// Emit implements core.Emitter.
func (o *sideOutput) Emit(b *core.Batch) error {
	for k := range b.Rows() {
		r := b.Row(k)
		o.run.log.Sides[o.side] = append(o.run.log.Sides[o.side], Emitted{Kind: b.Kind(r), Row: FormatRow(b.Columns, r)})
	}
	b.Release()
	*o.full = o.run.h.Narrow
	return nil
}

// Full implements core.Emitter.
func (o *sideOutput) Full() bool { return *o.full }

type instance struct {
	run     *run
	op      core.Operator
	backend *state.Backend
	count   core.Counters
	checker Checker
	full    bool
}

// Emit implements core.Emitter: it renders the rows.
func (i *instance) Emit(b *core.Batch) error {
	keys := len(i.run.h.Keys)
	for k := range b.Rows() {
		r := b.Row(k)
		e := Emitted{Kind: b.Kind(r), Row: FormatRow(b.Columns, r)}
		e.Key = FormatRow(b.Columns[:min(keys, len(b.Columns))], r)
		i.run.log.Emitted = append(i.run.log.Emitted, e)
	}
	b.Release()
	i.full = i.run.h.Narrow
	return nil
}

// Full implements core.Emitter.
func (i *instance) Full() bool { return i.full }

// settle calls Resume until there is no more.
func (i *instance) settle(err error) {
	i.run.t.Helper()
	for more := true; more && err == nil; {
		i.full = false
		more, err = i.op.Resume(&i.checker)
	}
	if err != nil {
		i.run.t.Fatal(err)
	}
	i.full = false
}

func (r *run) start(workers, checkpoint int) {
	for w := range workers {
		if len(r.h.Keys) == 0 && w > 0 {
			break
		}
		from, to := core.KeyGroupRange(w, harnessGroups, workers)
		i := &instance{run: r, op: r.h.New(), backend: state.NewBackend(harnessGroups, from, to, r.pages.At(checkpoint))}
		i.checker = Checker{Schema: r.h.Output, Next: i}
		ctx := &core.OperatorContext{ID: "op", Worker: w, Workers: workers, KeyGroups: harnessGroups,
			Output: r.h.Output, BatchRows: 64, Account: r.account, Tables: i.backend.Operator("op", r.account),
			Now: func() core.Time { return r.clock }, Counters: &i.count, Log: slog.New(slog.DiscardHandler)}
		for _, p := range r.ports {
			ctx.Inputs = append(ctx.Inputs, p.Input)
		}
		for k, schema := range r.h.Sides {
			ctx.Sides = append(ctx.Sides, &Checker{Schema: schema, Next: &sideOutput{r, k, &i.full}})
			ctx.SideSchemas = append(ctx.SideSchemas, schema)
		}
		if err := i.op.Open(ctx); err != nil {
			r.t.Fatal(err)
		}
		if r.watermark != core.MinTime {
			i.settle(i.op.Advance(r.watermark, &i.checker))
		}
		for port, ended := range r.ended {
			if ended {
				i.settle(i.op.EndInput(port, &i.checker))
			}
		}
		r.instances = append(r.instances, i)
	}
}

// tick tells an operator that acts by processing time that it is now, as often as something is due.
func (i *instance) tick(now core.Time) {
	timed, ok := i.op.(core.Timed)
	if !ok {
		return
	}
	for {
		at, due := timed.Due()
		if !due || at > now {
			return
		}
		i.full = false
		i.settle(timed.Tick(now, &i.checker))
	}
}

func (r *run) stop() {
	for _, i := range r.instances {
		if err := i.op.Close(); err != nil {
			r.t.Fatal(err)
		}
		i.backend.Close()
		r.log.Count.Add(i.count)
	}
	r.instances = nil
}

// snapshot takes a checkpoint. When it is not completed, the operators go on. When it is, workers instances start from it; 0: as the variant says.
func (r *run) snapshot(complete bool, workers int) {
	sink := r.pages.Begin()
	for _, i := range r.instances {
		i.settle(i.op.Flush(&i.checker))
		s, err := i.backend.Freeze()
		if err != nil {
			r.t.Fatal(err)
		}
		if !complete && r.rng.IntN(2) == 0 {
			s.Abandon()
			continue
		}
		if err := s.Write(sink); err != nil {
			r.t.Fatal(err)
		}
		if !complete {
			s.Abandon()
		} else if err := s.Complete(); err != nil {
			r.t.Fatal(err)
		}
	}
	if !complete {
		r.pages.Abandon()
		return
	}
	id := r.pages.Complete()
	if r.v.Restart == 3 && r.rng.IntN(2) == 0 && workers == 0 {
		return // a checkpoint without a restart: the next one is incremental
	}
	if workers == 0 {
		if workers = 1; r.v.Restart >= 2 {
			workers = 1 + r.rng.IntN(3)
		}
	}
	r.stop()
	r.start(workers, id)
}

func (r *run) run() *Log {
	r.watermark = core.MinTime
	workers := 1 + r.v.Restart/2
	r.ports = append([]Port{{r.h.Input, r.h.Keys, r.h.Columns}}, r.h.Ports...)
	r.ended = make([]bool, len(r.ports))
	r.log.Sides = make([][]Emitted, len(r.h.Sides))
	r.start(workers, 0)
	at, event, total := 0, 0, 0
	if len(r.h.Columns) > 0 {
		total = r.h.Columns[0].Len()
	}
	if len(r.h.Order) > 0 {
		total = len(r.h.Order)
	}
	next := make([]int32, len(r.ports))
	for k := range total {
		r.rowOf = append(r.rowOf, next[r.port(k)])
		next[r.port(k)]++
	}
	for at < total || event < len(r.h.Events) {
		if event < len(r.h.Events) && r.h.Events[event].After <= at {
			r.event(r.h.Events[event])
			event++
		} else {
			to := min(at+r.v.BatchRows, total)
			if event < len(r.h.Events) {
				to = min(to, r.h.Events[event].After)
			}
			for k := at + 1; k < to; k++ {
				if r.port(k) != r.port(at) {
					to = k
				}
			}
			r.rows(at, to)
			at = to
		}
		r.log.Marks = append(r.log.Marks, Mark{at, event, len(r.log.Emitted)})
		switch {
		case r.v.Restart == 1 || r.v.Restart == 2:
			r.snapshot(true, 0)
		case r.v.Restart == 3 && r.rng.IntN(3) == 0:
			r.snapshot(r.rng.IntN(2) == 0, 0)
		}
	}
	for _, i := range r.instances {
		for port, ended := range r.ended {
			if !ended {
				i.settle(i.op.EndInput(port, &i.checker))
			}
		}
		r.log.Tables += i.backend.Bytes()
		for _, table := range i.backend.Tables() {
			r.log.Rows += table.Len()
		}
	}
	r.stop()
	if err := r.pool.CheckZero(); err != nil {
		r.t.Error(err)
	}
	return &r.log
}

func (r *run) event(e Event) {
	if e.Clock != 0 {
		r.clock = e.Clock
		for _, i := range r.instances {
			i.tick(r.clock)
		}
	}
	if e.End != 0 {
		r.ended[e.End-1] = true
		for _, i := range r.instances {
			i.settle(i.op.EndInput(e.End-1, &i.checker))
		}
	}
	if e.Watermark != 0 {
		r.watermark = e.Watermark
		for _, i := range r.instances {
			if err := i.checker.Advance(e.Watermark); err != nil {
				r.t.Fatal(err)
			}
			i.settle(i.op.Advance(e.Watermark, &i.checker))
		}
	}
	if e.Restart != 0 {
		r.snapshot(true, e.Restart)
	}
}

// rows gives the rows at [from, to) in the order of arrival, all of one port, to their instances.
func (r *run) rows(from, to int) {
	port := r.port(from)
	p := r.ports[port]
	total := p.Columns[0].Len()
	hashes := make([]uint64, total)
	if len(p.Keys) > 0 {
		var keys []*core.Vector
		for _, k := range p.Keys {
			keys = append(keys, p.Columns[k])
		}
		hash.Columns(keys, total, nil, hashes)
	}
	for w, i := range r.instances {
		var mine []int32
		for at := from; at < to; at++ {
			row := r.rowOf[at]
			owner := 0
			if len(p.Keys) > 0 {
				owner = core.WorkerOf(core.KeyGroup(hashes[row], harnessGroups), harnessGroups, len(r.instances))
			}
			if owner == w {
				mine = append(mine, row)
			}
		}
		if len(mine) > 0 {
			b := r.batch(port, mine, hashes)
			i.settle(i.op.Process(port, b, &i.checker))
		}
	}
}

// batch makes a batch of the rows, with dead ones between them in variants with a selection.
func (r *run) batch(port int, rows []int32, hashes []uint64) *core.Batch {
	p := r.ports[port]
	b := core.NewBatch(r.account, p.Input)
	var physical, sel []int32
	for _, row := range rows {
		for r.v.Selection && r.rng.IntN(2) == 0 {
			physical = append(physical, int32(r.rng.IntN(p.Columns[0].Len())))
		}
		sel = append(sel, int32(len(physical)))
		physical = append(physical, row)
	}
	b.Len = len(physical)
	for _, c := range p.Columns {
		v := core.NewVector(r.account, c.Type, 0)
		v.AppendSelected(c, physical)
		b.Columns = append(b.Columns, v)
	}
	if r.v.Selection {
		b.Sel = b.SelBuffer(len(sel))
		copy(b.Sel, sel)
	}
	if port < len(r.h.Kinds) && r.h.Kinds[port] != nil {
		kinds := b.MakeKinds(b.Len)
		for i, row := range physical {
			kinds[i] = r.h.Kinds[port][row]
		}
	}
	if r.v.Hashes && len(p.Keys) > 0 {
		out := b.MakeHashes()
		for i := range out {
			out[i] = 0xDEAD
		}
		for i, s := range sel {
			out[s] = hashes[rows[i]]
		}
	}
	return b
}
