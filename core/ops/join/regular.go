package join

import (
	"fmt"
	"time"

	"turbo/core"
)

// RegularConfig describes a join without bounds in time: every row meets all rows of the other input with its key that are kept.
type RegularConfig struct {
	Config
	// TTL is how long rows of the left and of the right input are kept after they came, by processing time; 0: for ever.
	TTL [2]time.Duration
}

// Schema returns the output, without event time. It is a changelog (+I and -D rows) when an input is one, and when a row that comes can take back what was emitted: in
// outer and anti joins.
func (c *RegularConfig) Schema(left, right *core.Schema) (*core.Schema, error) {
	const what = "join"
	out, err := c.schema(what, left, right)
	if err != nil {
		return nil, err
	}
	for _, ttl := range c.TTL {
		if ttl < 0 {
			return nil, fmt.Errorf("%s: the time to live %v is negative", what, ttl)
		}
	}
	out.Changelog = left.Changelog || right.Changelog || c.Kind != Inner && c.Kind != Semi
	return out, nil
}

// Regular joins two inputs that may be changelogs, as Flink's regular join: a row is joined with what is kept of the other input when it comes. An outer row
// without partner is emitted with nulls at once, and taken back (-D) when the first partner comes; it comes back when the last partner is taken
// back. A row that is taken back is compared in the columns that are kept; one of those that are equal goes.
//
// A row that has outlived its time is not joined any more, but results with it are not taken back, and numbers of partners stay, as in Flink. Its memory is freed
// within some part of the time to live.
//
// A batch goes through in steps: its keys are found at once; then pairs are collected and the condition is evaluated for many at a time; then the rows are
// applied in their order. New rows are kept at the end of the batch, or before a row is taken back.
type Regular struct {
	core.BaseOperator
	joiner
	spec    RegularConfig
	chains  *chains
	due     [2]*buckets
	ttl     [2]int64 // microseconds; 0: none
	counted [2]bool  // rows carry the number of their partners
	wrote   [2]int   // fields of the bags, or -1: the time of arrival, the number of partners
	count   [2]int

	now      int64
	keySlots []uint32
	hashes   []uint64
	at       int    // the row whose chain is walked
	chain    uint32 // where in it
	stopped  bool
	own      []int32 // pairs: position in rows, slot of the other side
	others   []uint32
	done     int     // rows before it are applied
	partners int64   // of row `done` so far
	waiting  []int32 // positions of rows to be kept, and their partners
	numbers  []int64

	// Output that is not emitted yet.
	outOwn   []int32  // physical rows, -1: nulls
	outOther []uint32 // slots, NoSlot: nulls
	outKind  []core.RowKind
	sent     int
	subOwn   []int32
	subOther []uint32

	expiring bool
	taken    []uint32
	keep     []int32
	keepKey  []uint32
	times    []int64
}

// NewRegular returns an instance for one worker.
func NewRegular(config RegularConfig) *Regular { return &Regular{spec: config} }

// Open implements core.Operator.
func (j *Regular) Open(ctx *core.OperatorContext) error {
	want, err := j.spec.Schema(ctx.Inputs[0], ctx.Inputs[1])
	if err != nil {
		return err
	}
	if err := j.joiner.open("join", &j.spec.Config, ctx, want); err != nil {
		return err
	}
	long := core.Of(core.Int64).Required()
	for i, name := range []string{"left", "right"} {
		j.ttl[i] = j.spec.TTL[i].Microseconds()
		j.counted[i] = j.spec.Kind.alone(i) || j.spec.Kind == Semi && i == 0
		needed := j.reads(i)
		if j.sides[i], err = newSide(ctx, name, &core.Schema{Fields: ctx.Inputs[i].Fields, TimeColumn: -1}, j.spec.Keys[i], needed,
			core.Field{Name: "written", Type: long}, core.Field{Name: "partners", Type: long}); err != nil {
			return err
		}
		j.wrote[i], j.count[i] = j.sides[i].extra, j.sides[i].extra+1
	}
	if j.chains, err = newChains(ctx, j.sides[0]); err != nil {
		return err
	}
	for i, s := range j.sides {
		j.due[i] = newBuckets(ctx.Account, max(j.ttl[i]/64, 1000))
		err := j.chains.restore(i, s, func(slots []uint32) error {
			wrote := s.table.Ints(j.wrote[i])
			j.times = resize(j.times, len(slots))
			for k, x := range slots {
				s.nodes[x].time = wrote.At(x)
				j.times[k] = add(wrote.At(x), j.ttl[i])
			}
			if j.ttl[i] == 0 {
				return nil
			}
			return j.due[i].add(slots, j.times)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements core.Operator.
func (j *Regular) Close() error {
	j.chains.close()
	for _, d := range j.due {
		d.close()
	}
	j.joiner.close()
	return nil
}

// Process implements core.Operator.
func (j *Regular) Process(port int, b *core.Batch, out core.Emitter) error {
	j.batch, j.port = b, port
	if err := j.begin(b); err != nil {
		return j.fail(err)
	}
	_, err := j.Resume(out)
	return err
}

func (j *Regular) begin(b *core.Batch) error {
	j.now = int64(j.ctx.Now())
	dense, err := j.admit(j.port, b, nil)
	if err != nil {
		return err
	}
	n := len(j.rows)
	keys, hashes := j.hash(j.port, b)
	j.keySlots, j.hashes = resize(j.keySlots, n), hashes
	if sel := j.rows; n > 0 {
		if dense {
			sel = nil
		}
		if _, err := j.chains.table.Upsert(keys, hashes, sel, n, j.keySlots, nil); err != nil {
			return err
		}
	}
	j.at, j.stopped, j.done, j.partners = 0, false, 0, 0
	j.outOwn, j.outOther, j.outKind, j.sent = j.outOwn[:0], j.outOther[:0], j.outKind[:0], 0
	if j.spec.Kind.alone(j.port) {
		for _, r := range j.single {
			kind := core.Insert
			if taken(b.Kind(int(r))) {
				kind = core.Delete
			}
			j.put(r, core.NoSlot, kind)
		}
	}
	return nil
}

// taken reports that a row of that kind takes back an earlier one.
func taken(k core.RowKind) bool { return k == core.UpdateBefore || k == core.Delete }

func (j *Regular) put(own int32, other uint32, kind core.RowKind) {
	j.outOwn, j.outOther, j.outKind = append(j.outOwn, own), append(j.outOther, other), append(j.outKind, kind)
}

// Resume implements core.Operator.
func (j *Regular) Resume(out core.Emitter) (bool, error) { return j.run(j, out) }

func (j *Regular) idle() bool { return j.batch == nil && !j.expiring }

func (j *Regular) work(out core.Emitter) error {
	switch {
	case j.batch == nil:
		return j.expire()
	case j.sent < len(j.outOwn):
		return j.emit(out)
	case j.done < len(j.rows):
		return j.step()
	}
	if err := j.keepWaiting(); err != nil {
		return err
	}
	j.release()
	return nil
}

// step finds pairs and applies the rows that they complete.
func (j *Regular) step() error {
	j.outOwn, j.outOther, j.outKind, j.sent = j.outOwn[:0], j.outOther[:0], j.outKind[:0], 0
	j.walk()
	n := len(j.own)
	j.subOwn = resize(j.subOwn, n)
	for i, p := range j.own {
		j.subOwn[i] = j.rows[p]
	}
	own, others := &rows{batch: j.batch, at: j.subOwn}, &rows{slots: j.others}
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
			j.own[i], j.others[i] = j.own[k], j.others[k]
		}
		j.own, j.others = j.own[:len(kept)], j.others[:len(kept)]
	}
	k := 0
	for ; j.done < len(j.rows); j.done++ {
		back := taken(j.batch.Kind(int(j.rows[j.done])))
		for ; k < len(j.own) && int(j.own[k]) == j.done; k++ {
			j.partners++
			if err := j.meet(j.rows[j.done], j.others[k], back); err != nil {
				return err
			}
		}
		if j.done == j.at { // its walk goes on
			return nil
		}
		if err := j.complete(back); err != nil {
			return err
		}
		j.partners = 0
	}
	return nil
}

// walk collects candidate pairs, up to half a batch of them: each makes at most two rows of output.
func (j *Regular) walk() {
	size := max(j.ctx.BatchRows/2, 1)
	own, others := resize(j.own, size), resize(j.others, size)
	first, nodes := j.chains.first(1-j.port), j.sides[1-j.port].nodes
	oldest := int64(core.MinTime)
	if ttl := j.ttl[1-j.port]; ttl > 0 {
		oldest = add(j.now, -ttl)
	}
	n := 0
	begun := j.at
	for ; j.at < len(j.rows) && j.at-begun < j.ctx.BatchRows; j.at++ {
		at := j.chain
		if !j.stopped {
			at = uint32(first.At(j.keySlots[j.at]))
		}
		j.stopped = false
		for ; at != 0; at = nodes[at-1].next {
			if nodes[at-1].time <= oldest {
				continue // it has outlived its time
			}
			if n == size {
				j.chain, j.stopped = at, true
				j.own, j.others = own, others
				return
			}
			own[n], others[n] = int32(j.at), at-1
			n++
		}
	}
	j.own, j.others = own[:n], others[:n]
}

// meet applies a pair: own row with a row of the other side.
func (j *Regular) meet(own int32, other uint32, back bool) error {
	kind := j.spec.Kind
	side := 1 - j.port
	if kind.half() && j.port == 0 {
		return nil // complete decides
	}
	before, after := int64(0), int64(0)
	if j.counted[side] {
		count := j.sides[side].table.Ints(j.count[side])
		before = count.At(other)
		after = before + 1
		if back {
			after = max(before-1, 0)
		}
		j.keepKey = append(j.keepKey[:0], other)
		if err := j.sides[side].table.Touch(j.keepKey); err != nil {
			return err
		}
		count.Set(other, after)
	}
	came, went := !back && before == 0, back && after == 0
	switch {
	case kind == Semi && came, kind == Anti && went:
		j.put(-1, other, core.Insert)
	case kind == Semi && went, kind == Anti && came:
		j.put(-1, other, core.Delete)
	case kind.half():
	case back:
		j.put(own, other, core.Delete)
		if kind.outer(side) && went {
			j.put(-1, other, core.Insert)
		}
	default:
		if kind.outer(side) && came {
			j.put(-1, other, core.Delete)
		}
		j.put(own, other, core.Insert)
	}
	return nil
}

// complete applies the rest of row `done`, whose partners are all met.
func (j *Regular) complete(back bool) error {
	row, kind := j.rows[j.done], core.Insert
	if back {
		kind = core.Delete
	}
	if j.spec.Kind.alone(j.port) && j.partners == 0 || j.spec.Kind == Semi && j.port == 0 && j.partners > 0 {
		j.put(row, core.NoSlot, kind)
	}
	if !back {
		j.waiting, j.numbers = append(j.waiting, int32(j.done)), append(j.numbers, j.partners)
		return nil
	}
	if err := j.keepWaiting(); err != nil {
		return err
	}
	return j.takeBack(int(row), j.keySlots[j.done])
}

// keepWaiting keeps the rows that have been applied.
func (j *Regular) keepWaiting() error {
	n := len(j.waiting)
	if n == 0 {
		return nil
	}
	s := j.sides[j.port]
	j.keep, j.keepKey, j.times, j.slots = resize(j.keep, n), resize(j.keepKey, n), resize(j.times, n), resize(j.slots, n)
	for i, p := range j.waiting {
		j.keep[i], j.keepKey[i], j.times[i] = j.rows[p], j.keySlots[p], j.now
	}
	if err := s.insert(j.batch, j.keep, n, j.groupsOf(j.hashes, j.keep), j.slots); err != nil {
		return err
	}
	wrote, count := s.table.Ints(j.wrote[j.port]), s.table.Ints(j.count[j.port])
	for i, x := range j.slots {
		if j.ttl[j.port] > 0 {
			wrote.Set(x, j.now)
		}
		if j.counted[j.port] {
			count.Set(x, j.numbers[i])
		}
	}
	j.chains.link(j.port, s, j.slots, j.keepKey, j.times)
	j.waiting, j.numbers = j.waiting[:0], j.numbers[:0]
	if j.ttl[j.port] == 0 {
		return nil
	}
	for i := range j.times {
		j.times[i] = add(j.now, j.ttl[j.port])
	}
	return j.due[j.port].add(j.slots, j.times)
}

// takeBack drops one kept row of the key that equals row of the batch, the oldest. There may be none: it was kept no longer.
func (j *Regular) takeBack(row int, key uint32) error {
	s := j.sides[j.port]
	oldest := int64(core.MinTime)
	if ttl := j.ttl[j.port]; ttl > 0 {
		oldest = add(j.now, -ttl)
	}
	found := uint32(0)
	for at := uint32(j.chains.first(j.port).At(key)); at != 0; at = s.nodes[at-1].next {
		t := s.nodes[at-1].time
		same := t > oldest && (found == 0 || t < s.nodes[found-1].time)
		for f := 0; same && f < len(s.columns); f++ {
			var err error
			if same, err = j.equal(s, at-1, f, j.batch.Columns[s.columns[f]], row); err != nil {
				return err
			}
		}
		if same {
			found = at
		}
		if same && j.ttl[j.port] == 0 {
			break // they are all the same
		}
	}
	if found == 0 {
		return nil
	}
	j.keepKey = append(j.keepKey[:0], found-1)
	j.chains.unlinkOnly(j.port, s, j.keepKey)
	return s.drop(j.keepKey)
}

// equal compares a field of a kept row with a value.
func (j *Regular) equal(s *side, slot uint32, field int, v *core.Vector, row int) (bool, error) {
	if null := s.table.Null(slot, field); null || v.Null(row) {
		return null && v.Null(row), nil
	}
	switch k := v.Type.Kind; {
	case k == core.String || k == core.Bytes:
		return string(s.table.BytesAt(slot, field)) == string(v.BytesAt(row)), nil
	case k.Width() == 8 && k != core.Float64:
		return s.table.Ints(field).At(slot) == v.Int64s()[row], nil
	}
	one := core.NewVector(j.ctx.Account, v.Type, 1)
	defer one.Release()
	j.subOther = append(j.subOther[:0], slot)
	if err := s.table.AppendValues(one, field, j.subOther); err != nil {
		return false, err
	}
	return equalValues(one, 0, v, row), nil
}

// equalValues compares two values of one type; NaN equals NaN, and -0.0 is 0.0.
func equalValues(a *core.Vector, i int, b *core.Vector, k int) bool {
	if a.Null(i) || b.Null(k) {
		return a.Null(i) && b.Null(k)
	}
	switch kind := a.Type.Kind; {
	case kind == core.Float64:
		x, y := a.Float64s()[i], b.Float64s()[k]
		return x == y || x != x && y != y
	case kind == core.Float32:
		x, y := a.Float32s()[i], b.Float32s()[k]
		return x == y || x != x && y != y
	case kind.Width() > 0:
		w := kind.Width()
		return string(a.Data()[i*w:i*w+w]) == string(b.Data()[k*w:k*w+w])
	case kind == core.String || kind == core.Bytes:
		return string(a.BytesAt(i)) == string(b.BytesAt(k))
	case kind == core.Row:
		for c := range a.Type.Elements {
			if !equalValues(a.Child(c), i, b.Child(c), k) {
				return false
			}
		}
		return true
	}
	x, y := a.Offsets(), b.Offsets()
	n := x[i+1] - x[i]
	if n != y[k+1]-y[k] {
		return false
	}
	for e := range n {
		for c := range a.Type.Elements {
			if !equalValues(a.Child(c), int(x[i]+e), b.Child(c), int(y[k]+e)) {
				return false
			}
		}
	}
	return true
}
