package window

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"turbo/core"
	"turbo/core/ops"
	"turbo/state"
)

// sliced is the operator of aligned windows of event time. Rows are aggregated by key and slice of time, windows are merged from slices.
//
// State is a table of chunks: a row is a key's accumulators of up to 64 slices that follow each other, one column each, and a bit for each slice with rows.
// A chunk is one slice for tumbling windows, and at most a window long else, so a row goes to its slice by one probe, and rows of state are made and
// dropped once a chunk. Everything else follows from this table (and the watermark, which is in a table of its own): lists of the chunks' slots, and a
// directory of the keys for windows of several slices.
//
// Windows of not too many keys are kept apart from the table (see dense).
//
// Windows of several slices are merged by the blocks of van Herk and of Gil and Werman: the chunk that a window ends in keeps the running total
// of its slices so far, the one in which it begins is turned into totals from each slice to the chunk's end, once; so a window is the merge of two
// values (and one a whole chunk between), whatever its length. It needs no inverse. Where there is an exact one (COUNT, and SUM and AVG of integers and
// decimals), a running total of each key takes in the slices that a window has more than the one before and gives back those that it has not any more: less
// memory is touched. A result is a function of the accumulators of the
// slices alone, merged in an order that only their numbers give: sums of floats do not drift, and are the same after a restore. A row that comes for a slice
// that is in these totals already, but not late for all windows, makes its key's totals stale: they are computed again when they are needed.
type sliced struct {
	core.BaseOperator
	config  Config
	cut     cut
	k       int64 // slices of a chunk
	ctx     *core.OperatorContext
	table   *state.Table // keys, chunk -> bits, accumulators of each slice, total
	bits    int          // field, when k > 1
	fields  int          // of a slice's accumulators
	slice   []*ops.Accumulators
	total   *ops.Accumulators // of the slices [0, chunk.done); windows of several slices only
	clock   *state.Table      // key group -> watermark
	clocks  []uint32          // its slots
	pool    *core.BatchPool
	kinds   *core.Vector // constants for the kind column
	lateCol *core.Vector

	directory *directory // windows of several slices
	keyOf     []uint32   // by slot of table: the key's slot in the directory
	chunks    []*chunk   // in order
	unused    []*chunk
	reserved  int64

	watermark core.Time
	fired     int64 // the last window of which everything up to it has fired
	target    int64 // fire up to it
	closed    int64 // the last window that takes no more rows

	dense *dense // nil: the table does
	// denseRest is how many rows come before windows may be kept densely again, densePause how many there were the last time.
	denseRest, densePause int

	input input
	fire  firing
	late  []refire // to fire again
	scratch
}

// chunk is the slices [id*k, id*k+k) of all keys.
type chunk struct {
	id       int64
	bits     uint64   // slices with rows of any key
	slots    []uint32 // of the table
	keys     []uint32 // of the directory: those of the first slots
	rows     [64]int  // by slice: slots with rows
	nulls    uint64   // slices with rows whose arguments may be null
	done     int64    // slices in the totals
	suffixed bool     // the directory has its totals from each slice on to its end
	stale    []uint32 // slots with totals that miss rows
	tail     int      // slots that came since they were sorted
}

// directory has a row for each key with chunks: scratch that is not part of checkpoints.
type directory struct {
	table  *state.Table // keys -> refs, recent, running, result, suffixes
	refs   int          // field: chunks of the key
	recent [2]int       // fields: a slot + 1 of a chunk of the key, by the chunk's last bit: most rows find theirs here. 0: none
	result *ops.Accumulators
	suffix []*ops.Accumulators // [p]: of the slices from p on to the chunk's end; [0] is nil
	// With aggregates that can be taken back: the running total of the slices [from, to).
	running  *ops.Running
	members  int // field: slices in it with rows of the key
	from, to int64
}

// refire is a window that has fired and got a row since: slot is the directory's, of the table with windows of one slice.
type refire struct {
	window int64
	slot   uint32
}

// slicedBlock is the rows that go through the stages together.
const slicedBlock = 1024

// chunkFields bounds the accumulator fields of a chunk's row, which a key with a single row in it has, too. (Chunks of 60 slices were no faster than of 12.)
const chunkFields = 16

// slicedSupports reports whether windows are aggregated by slice: aligned ones of event time that speak at their end, with aggregates that merge.
func slicedSupports(c *Config) bool {
	return c.Kind.Aligned() && !c.ProcessingTime && (c.Zone == nil || c.Zone == time.UTC) && (c.Trigger.Kind == DefaultTrigger || c.Trigger.Kind == EventTime) &&
		!c.Trigger.Purging && c.Evictor.Kind == NoEvictor && c.Function == nil && len(c.Calls) > 0 && (newCut(c).n == 1 || ops.Merges(c.Calls))
}

func newSliced(config Config) core.Operator { return &sliced{config: config} }

// chunkSlices is how many slices a chunk has, with accumulators of that many fields.
func chunkSlices(c *cut, fields int) int64 {
	most := min(64, max(1, chunkFields/int64(max(fields, 1))))
	switch {
	case c.n <= most:
		return c.n
	case c.period > 0: // periods begin with a chunk
		k := most
		for c.n%k != 0 {
			k--
		}
		return k
	}
	chunks := (c.n + most - 1) / most
	return (c.n + chunks - 1) / chunks
}

// Open implements core.Operator.
func (s *sliced) Open(ctx *core.OperatorContext) error {
	s.ctx, s.cut = ctx, newCut(&s.config)
	in := ctx.Inputs[0]
	want, err := s.config.Schema(in)
	if err != nil {
		return err
	}
	for i, f := range want.Fields {
		if len(want.Fields) != len(ctx.Output.Fields) || !ctx.Output.Fields[i].Type.Same(f.Type) {
			return fmt.Errorf("window: the output is declared %v, it is %v", ctx.Output, want)
		}
	}
	if s.config.LateOutput && len(ctx.Sides) == 0 {
		return errors.New("window: there is no output for late rows")
	}
	s.watermark = core.MinTime
	fields := ops.StateFields(s.config.Calls, in)
	s.k, s.fields = chunkSlices(&s.cut, len(fields)), len(fields)
	if err := s.openTables(in, fields); err != nil {
		return err
	}
	s.input.open(s, in)
	s.pool = core.NewBatchPool(ctx.Account, ctx.Output, ctx.BatchRows, 4)
	s.kinds, s.lateCol = constant(ctx, KindFinal), constant(ctx, KindLate)
	return s.restore()
}

// constant returns a column of batch length.
func constant(ctx *core.OperatorContext, value string) *core.Vector {
	v := core.NewVector(ctx.Account, core.Of(core.String).Required(), ctx.BatchRows)
	for range max(ctx.BatchRows, 1) {
		v.AppendString(value)
	}
	return v
}

func (s *sliced) openTables(in *core.Schema, fields []core.Field) error {
	var keys []core.Field
	for _, k := range s.config.Keys {
		keys = append(keys, in.Fields[k])
	}
	sets := s.k
	var values []core.Field
	if s.k > 1 {
		values = append(values, core.Field{Name: "slices", Type: core.Of(core.Int64).Required()})
	}
	running := s.cut.n > 1 && ops.Retracts(s.config.Calls, in)
	if s.cut.n > 1 && !running {
		sets++
	}
	for i := range sets {
		for _, f := range fields {
			values = append(values, core.Field{Name: fmt.Sprint(f.Name, " ", i), Type: f.Type})
		}
	}
	s.bits = len(keys) + 1
	chunk := core.Field{Name: "chunk", Type: core.Of(core.Int64).Required()}
	var err error
	if s.table, err = s.open("slices", append(slices.Clone(keys), chunk), values); err != nil {
		return err
	}
	at := s.bits + min(int(s.k)-1, 1)
	for i := range sets {
		a, err := ops.NewAccumulators(s.config.Calls, in, s.table, at+int(i)*len(fields))
		if err != nil {
			return err
		}
		if i < s.k {
			s.slice = append(s.slice, a)
		} else {
			s.total = a
		}
	}
	group, at64 := core.Field{Name: "group", Type: core.Of(core.Int64).Required()}, core.Field{Name: "watermark", Type: core.Of(core.Int64).Required()}
	if s.clock, err = s.open("watermark", []core.Field{group}, []core.Field{at64}); err != nil || s.cut.n == 1 {
		return err
	}
	return s.openDirectory(in, keys, fields, running)
}

// openDirectory makes the directory of the keys.
func (s *sliced) openDirectory(in *core.Schema, keys, fields []core.Field, running bool) error {
	s.directory = &directory{from: math.MinInt64, to: math.MinInt64}
	d, calls := s.directory, s.config.Calls
	var values []core.Field
	next := func(name string) int {
		values = append(values, core.Field{Name: name, Type: core.Of(core.Int64).Required()})
		return len(keys) + len(values) - 1
	}
	add := func(list []core.Field, set int64) int {
		for _, f := range list {
			values = append(values, core.Field{Name: fmt.Sprint(f.Name, " ", set), Type: f.Type})
		}
		return len(keys) + len(values) - len(list)
	}
	d.refs, d.recent = next("chunks"), [2]int{next("even"), next("odd")}
	var total, first int // fields
	if running {
		d.members = next("slices")
		total = add(ops.RunningFields(calls, in), -1)
	}
	sets := int64(1)
	if s.config.Kind == Sliding && !running {
		sets = s.k
	}
	for i := range sets {
		if at := add(fields, i); i == 0 {
			first = at
		}
	}
	from, to, of := s.table.KeyGroups()
	var err error
	if d.table, err = state.New(state.Options{Operator: s.ctx.ID, Table: "windows", Keys: keys, Values: values, Account: s.ctx.Account, KeyGroups: of, From: from, To: to}); err != nil {
		return err
	}
	for i := range sets {
		a, err := ops.NewAccumulators(calls, in, d.table, first+int(i)*len(fields))
		if err != nil {
			return err
		}
		if i == 0 {
			d.result = a
			d.suffix = append(d.suffix, nil)
		} else {
			d.suffix = append(d.suffix, a)
		}
	}
	if running {
		d.running, err = ops.NewRunning(calls, in, d.table, total)
	}
	return err
}

func (s *sliced) open(name string, keys, values []core.Field) (*state.Table, error) {
	table, err := s.ctx.Tables.Table(name, keys, values)
	if err != nil {
		return nil, err
	}
	t, ok := table.(*state.Table)
	if !ok {
		return nil, fmt.Errorf("window: its table is a %T", table)
	}
	return t, nil
}

// Close implements core.Operator.
func (s *sliced) Close() error {
	if s.pool != nil {
		s.pool.Close()
	}
	for _, v := range []*core.Vector{s.kinds, s.lateCol} {
		if v != nil {
			v.Release()
		}
	}
	s.kinds, s.lateCol = nil, nil
	s.input.close()
	s.scratch.close()
	if s.dense != nil {
		s.dense.close(s)
	}
	if s.directory != nil && s.directory.table != nil {
		s.directory.table.Close()
	}
	s.ctx.Account.Unreserve(s.reserved)
	s.reserved = 0
	return nil
}
