package join

import (
	"fmt"

	"turbo/core"
	"turbo/core/hash"
)

// TemporalConfig describes a temporal (as-of) join: each left row is joined with the version of its key that is valid at the row's time, which is the right row with
// the greatest time not after it. Kind is Inner or Left.
//
// The right input is append-only, each row a version, or a changelog of its keys: +I and +U rows are versions, a -D row ends the key's last version at its
// time, -U rows say nothing.
type TemporalConfig struct {
	Config
}

// Schema returns the output. Its event time is that of the left input when its time column is among the output columns.
func (c *TemporalConfig) Schema(left, right *core.Schema) (*core.Schema, error) {
	const what = "temporal join"
	if c.Kind != Inner && c.Kind != Left {
		return nil, fmt.Errorf("%s: kind %v makes no sense here: inner or left", what, c.Kind)
	}
	if left.Changelog {
		return nil, fmt.Errorf("%s: the left input is a changelog, and rows once joined cannot be taken back here; make it append-only first", what)
	}
	if err := timed(what, left, right); err != nil {
		return nil, err
	}
	out, err := c.schema(what, left, right)
	if err != nil {
		return nil, err
	}
	for i, col := range c.Output {
		if col.Side == 0 && col.Index == left.TimeColumn {
			out.TimeColumn, out.TimeShift = i, left.TimeShift
			break
		}
	}
	return out, nil
}

// Temporal joins left rows with the versions of their keys, as Flink's event-time temporal join. Left rows wait until the watermark has reached their time: then no
// version for them can come in time. Versions are kept in the chains of their keys, the newest first; those before the one that is valid at the
// watermark are freed. Of two versions of one time the later to come counts.
//
// A late version (not after the watermark) still counts for rows to come when it is the newest one so far; else it is dropped as late. A key whose end has been
// passed by the watermark is forgotten.
type Temporal struct {
	core.BaseOperator
	joiner
	spec   TemporalConfig
	chains *chains
	due    [2]*buckets

	open     bool
	next     *core.Batch // to be emitted
	taken    []uint32
	pair     [2][]uint32
	lonely   []uint32
	outdated []uint32 // versions that are late
	columns  []*core.Vector
	keySlot  []uint32
	gone     []uint32
	times    []int64
	one      [1]uint32
}

const fieldEnd = "is the end" // a version that ends the one before

// NewTemporal returns an instance for one worker.
func NewTemporal(config TemporalConfig) *Temporal { return &Temporal{spec: config} }

// Open implements core.Operator.
func (j *Temporal) Open(ctx *core.OperatorContext) error {
	want, err := j.spec.Schema(ctx.Inputs[0], ctx.Inputs[1])
	if err != nil {
		return err
	}
	if err := j.joiner.open("temporal join", &j.spec.Config, ctx, want); err != nil {
		return err
	}
	if j.sides[0], err = newSide(ctx, "left", ctx.Inputs[0], j.spec.Keys[0], j.reads(0)); err != nil {
		return err
	}
	if j.sides[1], err = newSide(ctx, "versions", ctx.Inputs[1], j.spec.Keys[1], j.reads(1),
		core.Field{Name: fieldEnd, Type: core.Of(core.Boolean).Required()}); err != nil {
		return err
	}
	if j.chains, err = newChains(ctx, j.sides[0]); err != nil {
		return err
	}
	for _, k := range j.spec.Keys[0] {
		j.columns = append(j.columns, core.NewVector(ctx.Account, ctx.Inputs[0].Fields[k].Type, 0))
	}
	for i, s := range j.sides {
		j.due[i] = newBuckets(ctx.Account, 100_000)
		err := s.table.Scan(func(slots []uint32) error {
			n := len(slots)
			j.times = resize(j.times, n)
			k := 0
			s.times(slots, func(_ uint32, t int64) { j.times[k] = t; k++ })
			if err := s.room(slots); err != nil {
				return err
			}
			if err := j.due[i].add(slots, j.times); err != nil {
				return err
			}
			if i == 0 {
				for k, x := range slots {
					s.nodes[x].time = j.times[k]
				}
				return nil
			}
			if err := j.find(s, slots, true); err != nil {
				return err
			}
			for k, x := range slots {
				j.place(x, j.keySlot[k], j.times[k])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// find gives the key slots of rows of a side.
func (j *Temporal) find(s *side, slots []uint32, create bool) error {
	n := len(slots)
	for i, k := range s.keys {
		j.columns[i].Reset()
		if err := s.table.AppendValues(j.columns[i], s.field[k], slots); err != nil {
			return err
		}
	}
	j.hashed, j.keySlot = resize(j.hashed, n), resize(j.keySlot, n)
	hash.Columns(j.columns, n, nil, j.hashed)
	if !create {
		return j.chains.table.Lookup(j.columns, j.hashed, nil, n, j.keySlot)
	}
	_, err := j.chains.table.Upsert(j.columns, j.hashed, nil, n, j.keySlot, nil)
	return err
}

// place puts a version into the chain of its key. It returns the slot + 1 of the one that is not wanted any more: one of the same time, or
// the version itself when it is late and not the newest.
func (j *Temporal) place(x, key uint32, t int64) uint32 {
	s := j.sides[1]
	first, nodes := j.chains.first(1), s.nodes
	before, at := uint32(0), uint32(first.At(key)) // slots + 1
	for at != 0 && nodes[at-1].time > t {
		before, at = at, nodes[at-1].next
	}
	if before != 0 && nodes[before-1].time <= j.watermark {
		return x + 1
	}
	if before == 0 {
		nodes[x] = node{t, at, headMark | key}
		first.Set(key, int64(x)+1)
		if at == 0 {
			j.chains.used++
		}
	} else {
		nodes[x] = node{t, at, before - 1}
		nodes[before-1].next = x + 1
	}
	if at == 0 {
		return 0
	}
	nodes[at-1].prev = x
	if nodes[at-1].time == t {
		return at
	}
	return 0
}

// Close implements core.Operator.
func (j *Temporal) Close() error {
	if j.next != nil {
		j.next.Release()
		j.next = nil
	}
	for _, v := range j.columns {
		v.Release()
	}
	j.columns = nil
	j.chains.close()
	for _, d := range j.due {
		d.close()
	}
	j.joiner.close()
	return nil
}

// Process implements core.Operator: it keeps the rows.
func (j *Temporal) Process(port int, b *core.Batch, _ core.Emitter) error {
	var err error
	if port == 0 {
		err = j.keep(b)
	} else {
		err = j.versions(b)
	}
	b.Release()
	if err != nil {
		return j.fail(err)
	}
	return nil
}

// keep keeps left rows.
func (j *Temporal) keep(b *core.Batch) error {
	if _, err := j.admit(0, b, func(t int64) bool { return t <= j.watermark }); err != nil {
		return err
	}
	if j.spec.Kind == Left {
		j.rows = append(j.rows, j.single...)
	}
	return j.insert(0, b, j.rows)
}

// insert keeps rows, and has them due at their times.
func (j *Temporal) insert(port int, b *core.Batch, list []int32) error {
	n := len(list)
	if n == 0 {
		return nil
	}
	s := j.sides[port]
	_, hashes := j.hash(port, b)
	j.slots, j.times = resize(j.slots, n), resize(j.times, n)
	if err := s.insert(b, list, n, j.groupsOf(hashes, list), j.slots); err != nil {
		return err
	}
	column, shift := b.Columns[s.time].Int64s(), s.schema.TimeShift
	for i, r := range list {
		j.times[i] = column[r] + shift
		s.nodes[j.slots[i]].time = j.times[i]
	}
	return j.due[port].add(j.slots, j.times)
}

// versions keeps right rows.
func (j *Temporal) versions(b *core.Batch) error {
	if _, err := j.admit(1, b, func(int64) bool { return false }); err != nil {
		return err
	}
	list := j.rows
	if b.Kinds != nil {
		n := 0
		for _, r := range list {
			if b.Kinds[r] != core.UpdateBefore {
				list[n] = r
				n++
			}
		}
		list = list[:n]
	}
	if len(list) == 0 {
		return nil
	}
	if err := j.insert(1, b, list); err != nil {
		return err
	}
	s := j.sides[1]
	if b.Kinds != nil {
		end := s.table.Ints(s.extra)
		for i, r := range list {
			if b.Kinds[r] == core.Delete {
				end.Set(j.slots[i], 1)
			}
		}
	}
	if err := j.find(s, j.slots, true); err != nil {
		return err
	}
	j.gone, j.late, j.outdated = j.gone[:0], j.late[:0], j.outdated[:0]
	for i, x := range j.slots {
		switch not := j.place(x, j.keySlot[i], j.times[i]); {
		case not == 0:
		case not == x+1: // it is not in the chain
			j.late, j.outdated = append(j.late, list[i]), append(j.outdated, x)
			s.nodes[x].time = freed
		default:
			j.one[0] = not - 1
			j.chains.unlinkOnly(1, s, j.one[:])
			j.gone = append(j.gone, not-1)
		}
		if s.nodes[x].time != freed && j.times[i] <= j.watermark {
			j.valid(x)
		}
	}
	if err := s.drop(j.gone); err != nil {
		return err
	}
	if err := s.drop(j.outdated); err != nil {
		return err
	}
	j.ctx.Counters.Late += int64(len(j.late))
	j.none = j.none[:0]
	return j.aside(1, b)
}

// Advance implements core.Operator: left rows whose time has come are joined, then versions freed, by Resume.
func (j *Temporal) Advance(t core.Time, _ core.Emitter) error {
	j.watermark = int64(t)
	j.open = true
	for i, d := range j.due {
		nodes := j.sides[i].nodes
		if err := d.advance(j.watermark, func(x uint32) int64 { return nodes[x].time }); err != nil {
			return j.fail(err)
		}
	}
	return nil
}

// Resume implements core.Operator.
func (j *Temporal) Resume(out core.Emitter) (bool, error) { return j.run(j, out) }

func (j *Temporal) idle() bool { return j.next == nil && !j.open }

func (j *Temporal) work(out core.Emitter) error {
	switch {
	case j.next != nil:
		made := j.next
		j.next = nil
		return out.Emit(made)
	case len(j.due[0].ready) > 0:
		return j.join(out)
	case len(j.due[1].ready) > 0:
		return j.forget()
	}
	j.open = false
	return nil
}

// join joins some of the left rows that are due.
func (j *Temporal) join(out core.Emitter) error {
	s := j.sides[0]
	j.taken, _ = j.due[0].take(j.taken[:0], j.ctx.BatchRows)
	if err := j.find(s, j.taken, false); err != nil {
		return err
	}
	first, nodes := j.chains.first(1), j.sides[1].nodes
	end := j.sides[1].table.Ints(j.sides[1].extra)
	left, right, none := j.pair[0][:0], j.pair[1][:0], j.lonely[:0]
	for i, x := range j.taken {
		at := uint32(0)
		if key := j.keySlot[i]; key != core.NoSlot {
			at = uint32(first.At(key))
		}
		t := s.nodes[x].time
		for at != 0 && nodes[at-1].time > t {
			at = nodes[at-1].next
		}
		if at == 0 || end.At(at-1) != 0 {
			none = append(none, x)
			continue
		}
		left, right = append(left, x), append(right, at-1)
	}
	n := len(left)
	kept, all, err := j.matches(&rows{slots: left}, &rows{slots: right}, n)
	if err != nil {
		return err
	}
	if !all {
		k := 0
		for i, x := range left[:n] {
			if k < len(kept) && int(kept[k]) == i {
				left[k], right[k] = x, right[i]
				k++
			} else {
				none = append(none, x)
			}
		}
		n = k
	}
	j.pair[0], j.pair[1], j.lonely = left, right, none
	var made *core.Batch
	if n > 0 {
		if made, err = j.make(&rows{slots: left}, &rows{slots: right}, n, nil); err != nil {
			return err
		}
	}
	if j.spec.Kind == Left && len(none) > 0 {
		lone, err := j.make(&rows{slots: none}, nil, len(none), nil)
		if err != nil {
			if made != nil {
				made.Release()
			}
			return err
		}
		if made == nil {
			made = lone
		} else {
			j.next = lone
		}
	}
	if err := s.drop(j.taken); err != nil {
		if made != nil {
			made.Release()
		}
		return err
	}
	if made == nil {
		return nil
	}
	return out.Emit(made)
}

// forget frees the versions before some that are valid at the watermark, and ends that the watermark has passed.
func (j *Temporal) forget() error {
	s := j.sides[1]
	j.taken, _ = j.due[1].take(j.taken[:0], j.ctx.BatchRows)
	j.gone = j.gone[:0]
	for _, x := range j.taken {
		nd := &s.nodes[x]
		if nd.time == freed || nd.time > j.watermark || nd.prev&headMark == 0 && s.nodes[nd.prev].time <= j.watermark {
			continue // it has gone, or a newer one is valid already, with which it goes
		}
		j.valid(x)
	}
	if err := s.drop(j.gone); err != nil {
		return err
	}
	return j.chains.unlink(1, s, nil) // keys that are without versions
}

// valid takes the versions before x, which is the one that is valid at the watermark, out of the chain, and x with them when it is an end.
func (j *Temporal) valid(x uint32) {
	s, from := j.sides[1], len(j.gone)
	for at := s.nodes[x].next; at != 0; at = s.nodes[at-1].next {
		j.gone = append(j.gone, at-1)
	}
	if s.table.Ints(s.extra).At(x) != 0 {
		j.gone = append(j.gone, x)
	}
	for _, y := range j.gone[from:] {
		s.nodes[y].time = freed
	}
	j.chains.unlinkOnly(1, s, j.gone[from:])
}

var _ core.Operator = (*Temporal)(nil)
