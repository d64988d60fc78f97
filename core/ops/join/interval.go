package join

import (
	"fmt"
	"math"

	"turbo/core"
)

// IntervalConfig describes an interval join: rows with equal keys and left.time + Lower <= right.time <= left.time + Upper.
type IntervalConfig struct {
	Config
	Lower, Upper int64 // microseconds, inclusive; may be negative
	// Time names a last output column that carries the results' event time; "" : none. It is the later of both rows' times; of a semi join's row that
	// finds a partner when it comes its own time; of a row without partner the time at which that was certain: the last at which one could have
	// come. So no result is behind the watermark.
	//
	// Without it, the output of a semi or anti join has the left input's time column as event time when that is among the output columns. Results may then be
	// behind the watermark by up to Delay.
	Time string
}

// Schema returns the output: the chosen columns, then Time.
func (c *IntervalConfig) Schema(left, right *core.Schema) (*core.Schema, error) {
	const what = "interval join"
	if err := appendOnly(what, left, right); err != nil {
		return nil, err
	}
	if err := timed(what, left, right); err != nil {
		return nil, err
	}
	if c.Lower > c.Upper {
		return nil, fmt.Errorf("%s: the lower bound %d µs is above the upper one, %d µs: nothing could match", what, c.Lower, c.Upper)
	}
	out, err := c.schema(what, left, right)
	if err != nil {
		return nil, err
	}
	if c.Time != "" {
		return out, addTime(what, out, c.Time, left)
	}
	if c.Kind.half() {
		for i, col := range c.Output {
			if col.Index == left.TimeColumn {
				out.TimeColumn, out.TimeShift = i, left.TimeShift
				break
			}
		}
	}
	return out, nil
}

// Delay is the most by which the times of the rows of a result can be behind the watermark, in microseconds.
func (c *IntervalConfig) Delay() int64 { return max(c.Upper, -c.Lower, 0) }

// Interval joins each row with the rows of the other input that are within an interval of time of it, as Flink's interval join.
//
// A batch goes through in three phases: its keys are found, all at once, then the other side's chains are walked, which makes pairs, and at the end the rows are
// kept that can still meet others. A row is kept until the watermark reaches the last time that a partner can have (left: time +
// Upper, right: time - Lower). Rows of outer sides carry a mark that they have met a partner; of a semi or anti join's left rows only those
// without partner are kept.
type Interval struct {
	core.BaseOperator
	joiner
	spec   IntervalConfig
	chains *chains
	due    [2]*buckets
	reach  [2]int64 // a row is kept until time + reach
	lo, hi [2]int64 // partners of a row of that side are from time + lo to time + hi

	// The batch at hand.
	times    []int64   // event times, by position in rows
	keySlots []uint32  // of the chains, by position in rows
	lone     []int32   // rows to be emitted without partner
	met      []bool    // by position: has a partner
	walks    []reached // rows whose chains have more; [read:] have not taken this step, [:written] have
	read     int
	written  int
	plain    bool     // no time of the batch is near the ends of time: sums with the bounds need no care
	own      []int32  // pairs: positions,
	others   []uint32 // slots,
	pairTime []int64
	physical []int32
	gone     marks // slots of the left side to drop at the end of the batch (semi, anti)
	ending   bool  // the rows of the batch are kept, what is left is to emit lone
	lookedUp bool  // keys that were not there have not been made
	hashes   []uint64
	sent     int // of lone
	kept     []int32
	keptKey  []uint32
	keptTime []int64

	expiring bool
	taken    []uint32
	lonely   []uint32
}

// NewInterval returns an instance for one worker.
func NewInterval(config IntervalConfig) *Interval { return &Interval{spec: config} }

const fieldMet = "has a partner" // the mark of rows of outer sides

// Open implements core.Operator.
func (j *Interval) Open(ctx *core.OperatorContext) error {
	want, err := j.spec.Schema(ctx.Inputs[0], ctx.Inputs[1])
	if err != nil {
		return err
	}
	if err := j.joiner.open("interval join", &j.spec.Config, ctx, want); err != nil {
		return err
	}
	j.reach = [2]int64{j.spec.Upper, -j.spec.Lower}
	j.lo = [2]int64{j.spec.Lower, -j.spec.Upper}
	j.hi = [2]int64{j.spec.Upper, -j.spec.Lower}
	for i, name := range []string{"left", "right"} {
		var extra []core.Field
		if j.spec.Kind.outer(i) {
			extra = []core.Field{{Name: fieldMet, Type: core.Of(core.Boolean).Required()}}
		}
		if j.sides[i], err = newSide(ctx, name, ctx.Inputs[i], j.spec.Keys[i], j.reads(i), extra...); err != nil {
			return err
		}
	}
	if j.chains, err = newChains(ctx, j.sides[0]); err != nil {
		return err
	}
	width := max((j.spec.Upper-j.spec.Lower)/64, 1000)
	for i, s := range j.sides {
		j.due[i] = newBuckets(ctx.Account, width)
		var times []int64
		err := j.chains.restore(i, s, func(slots []uint32) error {
			times = resize(times, len(slots))
			for k, x := range slots {
				times[k] = add(s.nodes[x].time, j.reach[i])
			}
			return j.due[i].add(slots, times)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements core.Operator.
func (j *Interval) Close() error {
	j.chains.close()
	for _, d := range j.due {
		d.close()
	}
	if j.ctx != nil {
		j.gone.close(j.ctx.Account)
	}
	j.joiner.close()
	return nil
}

// Process implements core.Operator.
func (j *Interval) Process(port int, b *core.Batch, out core.Emitter) error {
	j.batch, j.port = b, port
	if err := j.begin(b); err != nil {
		return j.fail(err)
	}
	_, err := j.Resume(out)
	return err
}

// begin finds the keys of the batch.
func (j *Interval) begin(b *core.Batch) error {
	s := j.sides[j.port]
	dense, err := j.admit(j.port, b, func(t int64) bool { return t <= j.watermark })
	if err != nil {
		return err
	}
	n := len(j.rows)
	keys, hashes := j.hash(j.port, b)
	j.keySlots, j.met, j.times = resize(j.keySlots, n), resize(j.met, n), resize(j.times, n)
	clear(j.met)
	column, shift := b.Columns[s.time].Int64s(), s.schema.TimeShift
	earliest, latest := int64(core.MaxTime), int64(core.MinTime)
	for i, r := range j.rows {
		t := column[r] + shift
		j.times[i] = t
		earliest, latest = min(earliest, t), max(latest, t)
	}
	const far = math.MaxInt64 / 4
	j.plain = earliest > -far && latest < far && j.spec.Lower > -far && j.spec.Lower < far && j.spec.Upper > -far && j.spec.Upper < far
	j.hashes, j.lookedUp = hashes, false
	switch {
	case n == 0:
	case add(earliest, j.reach[j.port]) <= j.watermark: // some are not kept: their keys are not needed if they are not there
		j.lookedUp = true
		err = j.chains.table.Lookup(keys, hashes, j.rows, n, j.keySlots)
	case dense:
		_, err = j.chains.table.Upsert(keys, hashes, nil, n, j.keySlots, nil)
	default:
		_, err = j.chains.table.Upsert(keys, hashes, j.rows, n, j.keySlots, nil)
	}
	if err != nil {
		return err
	}
	j.heads()
	j.lone, j.sent, j.ending = j.lone[:0], 0, false
	return nil
}

// Resume implements core.Operator.
func (j *Interval) Resume(out core.Emitter) (bool, error) { return j.run(j, out) }

func (j *Interval) idle() bool { return j.batch == nil && !j.expiring }

func (j *Interval) work(out core.Emitter) error {
	if j.batch == nil {
		return j.expire(out)
	}
	if more := j.walk(); more || len(j.own) > 0 {
		return j.pairs(out)
	}
	return j.finish(out)
}

// reached is where the walk of a row has come to in its chain.
type reached struct {
	row int32  // position in rows
	at  uint32 // slot + 1
}

// heads lists the rows of the batch whose keys have rows on the other side.
func (j *Interval) heads() {
	first := j.chains.first(1 - j.port)
	j.walks = resize(j.walks, len(j.keySlots))
	walks, n := j.walks, 0
	for i, k := range j.keySlots {
		o := uint(k)*uint(first.Stride) + uint(first.Offset) // of NoSlot: far outside of the words
		if o >= uint(len(first.Words)) {
			continue
		}
		at := uint32(first.Words[o])
		walks[n] = reached{int32(i), at}
		n += b2i(at != 0)
	}
	j.walks, j.read, j.written = walks[:n], 0, 0
}

// walk goes on along the chains until there are enough pairs, and reports whether it has to go on afterwards. All chains are walked together, a step of
// each at a time: the loads of a step do not wait for each other, and nothing is guessed.
func (j *Interval) walk() bool {
	j.own, j.others = resize(j.own, j.ctx.BatchRows), resize(j.others, j.ctx.BatchRows)
	n := 0
	for len(j.walks) > 0 && n < j.ctx.BatchRows {
		to := min(len(j.walks), j.read+j.ctx.BatchRows-n)
		if j.spec.Kind.half() {
			n = j.stepHalf(to, n)
		} else {
			n = j.step(to, n)
		}
		if j.read = to; to == len(j.walks) {
			j.walks, j.read, j.written = j.walks[:j.written], 0, 0
		}
	}
	j.own, j.others = j.own[:n], j.others[:n]
	return len(j.walks) > 0
}

// window returns where partners of a row of that time begin, and how far they go.
func (j *Interval) window(t int64) (from int64, width uint64) {
	from = add(t, j.lo[j.port])
	return from, uint64(add(t, j.hi[j.port]) - from)
}

// step takes one step in the chains of walks[read:to], and returns the number of pairs.
func (j *Interval) step(to, n int) int {
	nodes, times, walks := j.sides[1-j.port].nodes, j.times, j.walks[:to]
	lo, width, written := j.lo[j.port], uint64(j.hi[j.port]-j.lo[j.port]), j.written
	room := n + to - j.read
	own, others := j.own[:room], j.others[:room]
	for _, w := range walks[j.read:] {
		nd := &nodes[w.at-1]
		from := times[w.row] + lo
		if !j.plain {
			from, width = j.window(times[w.row])
		}
		own[n], others[n] = w.row, w.at-1
		n += b2i(uint64(nd.time-from) <= width)
		walks[written] = reached{w.row, nd.next}
		written += b2i(nd.next != 0)
	}
	j.written = written
	return n
}

// stepHalf is step for semi and anti joins: what has a partner needs no other.
func (j *Interval) stepHalf(to, n int) int {
	nodes, walks := j.sides[1-j.port].nodes, j.walks
	once := j.port == 0 && j.residual == nil // one partner is enough
	for _, w := range walks[j.read:to] {
		if j.port == 0 && j.met[w.row] {
			continue
		}
		nd := &nodes[w.at-1]
		from, width := j.window(j.times[w.row])
		if uint64(nd.time-from) <= width && !j.gone.has(w.at-1) {
			j.own[n], j.others[n] = w.row, w.at-1
			if n++; once {
				continue
			}
		}
		if nd.next != 0 {
			walks[j.written] = reached{w.row, nd.next}
			j.written++
		}
	}
	return n
}

// pairs makes output of the pairs that walk has found.
func (j *Interval) pairs(out core.Emitter) error {
	n := len(j.own)
	j.physical = resize(j.physical, n)
	for i, p := range j.own {
		j.physical[i] = j.rows[p]
	}
	own, others := &rows{batch: j.batch, at: j.physical}, &rows{slots: j.others}
	left, right := own, others
	if j.port == 1 {
		left, right = others, own
	}
	kept, all, err := j.matches(left, right, n)
	if err != nil {
		return err
	}
	if !all {
		for i, k := range kept {
			j.own[i], j.others[i], j.physical[i] = j.own[k], j.others[k], j.physical[k]
		}
		n = len(kept)
	}
	nodes := j.sides[1-j.port].nodes
	if j.spec.Kind.half() {
		k := 0
		for i := range n {
			p, x := j.own[i], j.others[i]
			j.own[k], j.others[k], j.physical[k] = p, x, j.physical[i]
			switch {
			case j.port == 0 && !j.met[p]:
				j.met[p] = true
				k++
			case j.port == 1 && !j.gone.has(x):
				if err := j.gone.add(j.ctx.Account, x); err != nil {
					return err
				}
				k++
			}
		}
		if n = k; j.spec.Kind == Anti {
			n = 0
		}
		right = nil
	} else {
		if j.spec.Kind.outer(j.port) {
			for _, p := range j.own[:n] {
				j.met[p] = true
			}
		}
		if j.spec.Kind.outer(1 - j.port) {
			if err := mark(j.sides[1-j.port], j.others[:n]); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return nil
	}
	var times []int64
	if j.spec.Time != "" {
		j.pairTime = resize(j.pairTime, n)
		for i := range n {
			t := j.times[j.own[i]]
			if j.port == 1 || j.spec.Kind != Semi {
				t = max(t, nodes[j.others[i]].time) // also of one that is gone: it is dropped later
			}
			j.pairTime[i] = t
		}
		times = j.pairTime
	}
	own.at, others.slots = j.physical[:n], j.others[:n]
	made, err := j.make(left, right, n, times)
	if err != nil {
		return err
	}
	return out.Emit(made)
}

// mark notes in rows of an outer side that they have a partner.
func mark(s *side, slots []uint32) error {
	met := s.table.Ints(s.extra)
	for i, x := range slots {
		if met.At(x) == 0 {
			if err := s.table.Touch(slots[i : i+1]); err != nil {
				return err
			}
			met.Set(x, 1)
		}
	}
	return nil
}
