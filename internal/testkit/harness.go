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
}

// Event comes after so many rows.
type Event struct {
	After     int       // rows before it
	Watermark core.Time // for every instance; 0: none
	Clock     core.Time // processing time from here on; 0: none
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
	Marks   []Mark // after each message
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
}

type instance struct {
	run     *run
	op      core.Operator
	backend *state.Backend
	count   core.Counters
	checker Checker
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
	return nil
}

// Full implements core.Emitter.
func (i *instance) Full() bool { return false }

// settle calls Resume until there is no more.
func (i *instance) settle(err error) {
	i.run.t.Helper()
	for more := true; more && err == nil; {
		more, err = i.op.Resume(&i.checker)
	}
	if err != nil {
		i.run.t.Fatal(err)
	}
}

func (r *run) start(workers, checkpoint int) {
	for w := range workers {
		if len(r.h.Keys) == 0 && w > 0 {
			break
		}
		from, to := core.KeyGroupRange(w, harnessGroups, workers)
		i := &instance{run: r, op: r.h.New(), backend: state.NewBackend(harnessGroups, from, to, r.pages.At(checkpoint))}
		i.checker = Checker{Schema: r.h.Output, Next: i}
		ctx := &core.OperatorContext{ID: "op", Worker: w, Workers: workers, KeyGroups: harnessGroups, Inputs: []*core.Schema{r.h.Input},
			Output: r.h.Output, BatchRows: 64, Account: r.account, Tables: i.backend.Operator("op", r.account),
			Now: func() core.Time { return r.clock }, Counters: &i.count, Log: slog.New(slog.DiscardHandler)}
		if err := i.op.Open(ctx); err != nil {
			r.t.Fatal(err)
		}
		if r.watermark != core.MinTime {
			i.settle(i.op.Advance(r.watermark, &i.checker))
		}
		r.instances = append(r.instances, i)
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

// snapshot takes a checkpoint. When it is not completed, the operators go on.
func (r *run) snapshot(complete bool) {
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
	if r.v.Restart == 3 && r.rng.IntN(2) == 0 {
		return // a checkpoint without a restart: the next one is incremental
	}
	workers := 1
	if r.v.Restart >= 2 {
		workers = 1 + r.rng.IntN(3)
	}
	r.stop()
	r.start(workers, id)
}

func (r *run) run() *Log {
	r.watermark = core.MinTime
	workers := 1 + r.v.Restart/2
	r.start(workers, 0)
	at, event, total := 0, 0, 0
	if len(r.h.Columns) > 0 {
		total = r.h.Columns[0].Len()
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
			r.rows(at, to)
			at = to
		}
		r.log.Marks = append(r.log.Marks, Mark{at, event, len(r.log.Emitted)})
		switch {
		case r.v.Restart == 1 || r.v.Restart == 2:
			r.snapshot(true)
		case r.v.Restart == 3 && r.rng.IntN(3) == 0:
			r.snapshot(r.rng.IntN(2) == 0)
		}
	}
	for _, i := range r.instances {
		i.settle(i.op.EndInput(0, &i.checker))
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
}

// rows gives rows [from, to) to their instances.
func (r *run) rows(from, to int) {
	hashes := make([]uint64, to)
	if len(r.h.Keys) > 0 {
		var keys []*core.Vector
		for _, k := range r.h.Keys {
			keys = append(keys, r.h.Columns[k])
		}
		hash.Columns(keys, to, nil, hashes)
	}
	for w, i := range r.instances {
		var mine []int32
		for row := from; row < to; row++ {
			owner := 0
			if len(r.h.Keys) > 0 {
				owner = core.WorkerOf(core.KeyGroup(hashes[row], harnessGroups), harnessGroups, len(r.instances))
			}
			if owner == w {
				mine = append(mine, int32(row))
			}
		}
		if len(mine) > 0 {
			b := r.batch(mine, hashes)
			i.settle(i.op.Process(0, b, &i.checker))
		}
	}
}

// batch makes a batch of the rows, with dead ones between them in variants with a selection.
func (r *run) batch(rows []int32, hashes []uint64) *core.Batch {
	b := core.NewBatch(r.account, r.h.Input)
	var physical, sel []int32
	for _, row := range rows {
		for r.v.Selection && r.rng.IntN(2) == 0 {
			physical = append(physical, int32(r.rng.IntN(r.h.Columns[0].Len())))
		}
		sel = append(sel, int32(len(physical)))
		physical = append(physical, row)
	}
	b.Len = len(physical)
	for _, c := range r.h.Columns {
		v := core.NewVector(r.account, c.Type, 0)
		v.AppendSelected(c, physical)
		b.Columns = append(b.Columns, v)
	}
	if r.v.Selection {
		b.Sel = b.SelBuffer(len(sel))
		copy(b.Sel, sel)
	}
	if r.v.Hashes && len(r.h.Keys) > 0 {
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
