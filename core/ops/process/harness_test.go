package process_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"turbo/core"
	"turbo/core/hash"
	"turbo/internal/testkit"
	"turbo/memory"
	"turbo/state"
)

// world runs an operator of any number of ports and side outputs step by step, restarting it as it likes.
type world struct {
	t         *testing.T
	make      func() core.Operator
	inputs    []*core.Schema
	keys      [][]int // by port; nil: not keyed
	broadcast []bool  // by port
	output    *core.Schema
	sides     []*core.Schema
	account   *memory.Account // of the rows

	alone     bool // the only instance is on worker 0
	restart   int  // 0 never, 1 after each step, 2 after each step at another parallelism, 3 sometimes, with abandoned checkpoints
	batchRows int  // of input batches
	outRows   int  // of output batches
	rng       *rand.Rand
	pool      *memory.Pool
	pages     testkit.Pages
	clock     core.Time
	watermark core.Time
	instances []*worldInstance
	emitted   []string // "main: row", "side 0: row", in the order of emission
	bytes     int64    // of state at the end
	rows      int
	count     core.Counters
}

const worldGroups = 8

type worldInstance struct {
	w       *world
	op      core.Operator
	backend *state.Backend
	account *memory.Account
	count   core.Counters
	room    int // batches that it takes before it is full
}

type worldOutput struct {
	i      *worldInstance
	name   string
	schema *core.Schema
}

func (o worldOutput) Emit(b *core.Batch) error {
	if err := testkit.CheckBatch(o.schema, b); err != nil {
		b.Release()
		return err
	}
	for _, r := range testkit.Rows(b) {
		o.i.w.emitted = append(o.i.w.emitted, o.name+": "+r)
	}
	o.i.room--
	b.Release()
	return nil
}

func (o worldOutput) Full() bool { return o.i.room <= 0 }

func (i *worldInstance) main() core.Emitter { return worldOutput{i, "main", i.w.output} }

// settle resumes until there is no more; the outputs are often full.
func (i *worldInstance) settle(err error) {
	i.w.t.Helper()
	for more := true; more && err == nil; {
		i.room = 1 + i.w.rng.IntN(2)
		more, err = i.op.Resume(i.main())
	}
	i.room = 1 + i.w.rng.IntN(2)
	if err != nil {
		i.w.t.Fatal(err)
	}
}

func (w *world) start(workers, checkpoint int) {
	for n := range workers {
		if n > 0 && w.alone {
			break
		}
		from, to := core.KeyGroupRange(n, worldGroups, workers)
		i := &worldInstance{w: w, op: w.make(), account: w.pool.Account("op"), room: 1}
		i.backend = state.NewBackend(worldGroups, from, to, w.pages.At(checkpoint))
		ctx := &core.OperatorContext{ID: "op", Worker: n, Workers: workers, KeyGroups: worldGroups, Inputs: w.inputs, Output: w.output, BatchRows: w.outRows,
			Account: i.account, Tables: i.backend.Operator("op", i.account), Now: func() core.Time { return w.clock }, Counters: &i.count,
			Log: slog.New(slog.DiscardHandler), SideSchemas: w.sides, Wake: func() {}}
		for s, schema := range w.sides {
			ctx.Sides = append(ctx.Sides, worldOutput{i, fmt.Sprint("side ", s), schema})
		}
		if err := i.op.Open(ctx); err != nil {
			w.t.Fatal(err)
		}
		w.instances = append(w.instances, i)
		if w.watermark != core.MinTime {
			i.settle(i.op.Advance(w.watermark, i.main()))
		}
	}
}

func (w *world) stop() {
	for _, i := range w.instances {
		if err := i.op.Close(); err != nil {
			w.t.Fatal(err)
		}
		i.backend.Close()
		w.count.Add(i.count)
	}
	w.instances = nil
}

func (w *world) begin() {
	w.rng = rand.New(rand.NewPCG(uint64(w.restart), uint64(w.batchRows)))
	w.pool = memory.NewPool(0)
	w.watermark = core.MinTime
	w.start(1+w.restart/2, 0)
}

// end stops everything; all memory must be back.
func (w *world) end() {
	for _, i := range w.instances {
		for port := range w.inputs {
			i.settle(i.op.EndInput(port, i.main()))
		}
		w.bytes += i.backend.Bytes()
		for _, t := range i.backend.Tables() {
			w.rows += t.Len()
		}
	}
	w.stop()
	if err := w.pool.CheckZero(); err != nil {
		w.t.Error(err)
	}
}

// stepped comes after each message: it takes checkpoints and restarts.
func (w *world) stepped() {
	switch {
	case w.restart == 1 || w.restart == 2:
		w.snapshot(true)
	case w.restart == 3 && w.rng.IntN(3) == 0:
		w.snapshot(w.rng.IntN(2) == 0)
	}
}

func (w *world) snapshot(complete bool) {
	sink := w.pages.Begin()
	for _, i := range w.instances {
		i.settle(i.op.Flush(i.main()))
		s, err := i.backend.Freeze()
		if err != nil {
			w.t.Fatal(err)
		}
		if !complete && w.rng.IntN(2) == 0 {
			s.Abandon()
			continue
		}
		if err := s.Write(sink); err != nil {
			w.t.Fatal(err)
		}
		if !complete {
			s.Abandon()
		} else if err := s.Complete(); err != nil {
			w.t.Fatal(err)
		}
	}
	if !complete {
		w.pages.Abandon()
		return
	}
	id := w.pages.Complete()
	if w.restart == 3 && w.rng.IntN(2) == 0 {
		return
	}
	workers := 1
	if w.restart >= 2 {
		workers = 1 + w.rng.IntN(3)
	}
	w.stop()
	w.start(workers, id)
}

// advance moves the watermark.
func (w *world) advance(t core.Time) {
	w.watermark = t
	for _, i := range w.instances {
		i.settle(i.op.Advance(t, i.main()))
	}
	w.stepped()
}

// tick moves processing time.
func (w *world) tick(t core.Time) {
	w.clock = t
	for _, i := range w.instances {
		timed, ok := i.op.(core.Timed)
		for ok {
			at, due := timed.Due()
			if !due || at > t {
				break
			}
			i.settle(timed.Tick(t, i.main()))
		}
	}
	w.stepped()
}

// feed gives rows [from, to) of columns to a port, in batches.
func (w *world) feed(port int, columns []*core.Vector, from, to int) {
	for ; from < to; from += w.batchRows {
		w.give(port, columns, from, min(from+w.batchRows, to))
		w.stepped()
	}
}

func (w *world) give(port int, columns []*core.Vector, from, to int) {
	hashes := make([]uint64, to)
	var keys []*core.Vector
	for _, k := range w.keys[port] {
		keys = append(keys, columns[k])
	}
	hash.Columns(keys, to, nil, hashes)
	for n, i := range w.instances {
		b := core.NewBatch(i.account, w.inputs[port])
		var physical, sel []int32
		dead := w.rng.IntN(2) == 0
		for row := from; row < to; row++ {
			owner := 0
			switch {
			case w.broadcast[port]:
				owner = n
			case len(keys) > 0:
				owner = core.WorkerOf(core.KeyGroup(hashes[row], worldGroups), worldGroups, len(w.instances))
			}
			if owner != n {
				continue
			}
			for dead && w.rng.IntN(2) == 0 {
				physical = append(physical, int32(w.rng.IntN(columns[0].Len())))
			}
			sel = append(sel, int32(len(physical)))
			physical = append(physical, int32(row))
		}
		if len(sel) == 0 {
			b.Release()
			continue
		}
		b.Len = len(physical)
		for _, c := range columns {
			v := core.NewVector(i.account, c.Type, 0)
			v.AppendSelected(c, physical)
			b.Columns = append(b.Columns, v)
		}
		if len(sel) < b.Len {
			b.Sel = b.SelBuffer(len(sel))
			copy(b.Sel, sel)
		}
		if len(keys) > 0 && w.rng.IntN(2) == 0 {
			out := b.MakeHashes()
			for k, s := range sel {
				out[s] = hashes[physical[s]]
				_ = k
			}
		}
		i.settle(i.op.Process(port, b, i.main()))
	}
}

// variants runs a test over batch sizes and kinds of restarts.
func variants(t *testing.T, run func(t *testing.T, restart, rows int)) {
	for _, rows := range []int{1, 3, 1000} {
		for restart := range 4 {
			t.Run(fmt.Sprintf("rows=%d,restart=%d", rows, restart), func(t *testing.T) { run(t, restart, rows) })
		}
	}
}

// byKey splits emitted rows by output and first column, keeping the order within.
func byKey(rows []string) map[string][]string {
	out := map[string][]string{}
	for _, r := range rows {
		key, _, _ := strings.Cut(r, " | ")
		out[key] = append(out[key], r)
	}
	return out
}

// same compares emitted rows key by key, in order.
func same(t *testing.T, got, want []string) {
	t.Helper()
	g, w := byKey(got), byKey(want)
	for k := range w {
		if !slices.Equal(g[k], w[k]) {
			for i := range max(len(g[k]), len(w[k])) {
				if i >= len(g[k]) || i >= len(w[k]) || g[k][i] != w[k][i] {
					t.Fatalf("%s, row %d:\ngot  %q\nwant %q", k, i, g[k][i:min(i+3, len(g[k]))], w[k][i:min(i+3, len(w[k]))])
				}
			}
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
}
