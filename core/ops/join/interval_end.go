package join

import (
	"turbo/core"
	"turbo/memory"
)

// finish ends the batch: it keeps its rows, drops those of the other side that are not needed any more, and emits the rows that never can have a
// partner.
func (j *Interval) finish(out core.Emitter) error {
	if !j.ending {
		j.ending = true
		if err := j.keep(); err != nil {
			return err
		}
		if slots := j.gone.slots; len(slots) > 0 {
			if err := j.chains.unlink(0, j.sides[0], slots); err != nil {
				return err
			}
			if err := j.sides[0].drop(slots); err != nil {
				return err
			}
			j.gone.clear()
		}
	}
	n := min(len(j.lone)-j.sent, j.ctx.BatchRows)
	if n == 0 {
		j.release()
		return nil
	}
	own := &rows{batch: j.batch, at: j.lone[j.sent : j.sent+n]}
	var times []int64
	if j.spec.Time != "" {
		s := j.sides[j.port]
		column := j.batch.Columns[s.time].Int64s()
		j.pairTime = resize(j.pairTime, n)
		for i, r := range own.at {
			j.pairTime[i] = column[r] + s.schema.TimeShift
		}
		times = j.pairTime
	}
	j.sent += n
	return j.emitAlone(j.port, own, n, times, out)
}

func (j *Interval) emitAlone(port int, own *rows, n int, times []int64, out core.Emitter) error {
	left, right := own, (*rows)(nil)
	if port == 1 {
		left, right = nil, own
	}
	made, err := j.make(left, right, n, times)
	if err != nil {
		return err
	}
	return out.Emit(made)
}

// keep keeps the rows of the batch that can still have a partner, and lists those that cannot and have none.
func (j *Interval) keep() error {
	alone, half := j.spec.Kind.alone(j.port), j.spec.Kind.half() && j.port == 0
	if alone {
		j.lone = append(j.lone, j.single...)
	}
	s, reach := j.sides[j.port], j.reach[j.port]
	n := len(j.rows)
	kept, keys, times := resize(j.kept, n), resize(j.keptKey, n), resize(j.keptTime, n)
	j.kept, j.keptKey, j.keptTime = kept, keys, times
	k := 0
	for i, r := range j.rows {
		met := j.met[i]
		if half && met {
			continue
		}
		until := add(j.times[i], reach)
		if until <= j.watermark {
			if alone && !met {
				j.lone = append(j.lone, r)
			}
			continue
		}
		kept[k], keys[k], times[k] = r, j.keySlots[i], until
		j.times[k], j.met[k] = j.times[i], met
		k++
	}
	if k == 0 {
		return nil
	}
	kept, keys, times = kept[:k], keys[:k], times[:k]
	if j.lookedUp {
		if _, err := j.chains.table.Upsert(j.keys, j.hashes, kept, k, keys, nil); err != nil {
			return err
		}
	}
	j.slots = resize(j.slots, k)
	sel := kept
	if k == j.batch.Len {
		sel = nil
	}
	if err := s.insert(j.batch, sel, k, j.groupsOf(j.hashes, kept), j.slots); err != nil {
		return err
	}
	if j.spec.Kind.outer(j.port) {
		met := s.table.Ints(s.extra)
		for i, x := range j.slots {
			if j.met[i] {
				met.Set(x, 1)
			}
		}
	}
	j.chains.link(j.port, s, j.slots, keys, j.times)
	return j.due[j.port].add(j.slots, times)
}

// Advance implements core.Operator: rows that cannot have a partner any more are emitted and freed, by Resume.
func (j *Interval) Advance(t core.Time, out core.Emitter) error {
	j.watermark = int64(t)
	for i, d := range j.due {
		nodes, reach := j.sides[i].nodes, j.reach[i]
		if err := d.advance(j.watermark, func(x uint32) int64 { return add(nodes[x].time, reach) }); err != nil {
			return j.fail(err)
		}
		j.expiring = j.expiring || len(d.ready) > 0
	}
	return nil
}

// expire frees some of the rows that are due, after those without partner have been emitted.
func (j *Interval) expire(out core.Emitter) error {
	port := 0
	if len(j.due[0].ready) == 0 {
		port = 1
	}
	s, reach := j.sides[port], j.reach[port]
	j.taken, _ = j.due[port].take(j.taken[:0], j.ctx.BatchRows)
	alone, outer := j.spec.Kind.alone(port), j.spec.Kind.outer(port)
	met := s.table.Ints(s.extra * b2i(outer))
	j.lonely, j.pairTime = j.lonely[:0], j.pairTime[:0]
	n := 0
	for _, x := range j.taken {
		nd := &s.nodes[x]
		until := add(nd.time, reach)
		if nd.time == freed || until > j.watermark { // its row went before, and another may be there
			continue
		}
		if alone && (!outer || met.At(x) == 0) {
			j.lonely = append(j.lonely, x)
			j.pairTime = append(j.pairTime, max(until, nd.time))
		}
		nd.time = freed
		j.taken[n] = x
		n++
	}
	j.taken = j.taken[:n]
	if err := j.chains.unlink(port, s, j.taken); err != nil {
		return err
	}
	var made *core.Batch
	if len(j.lonely) > 0 {
		left, right := &rows{slots: j.lonely}, (*rows)(nil)
		if port == 1 {
			left, right = nil, left
		}
		times := j.pairTime
		if j.spec.Time == "" {
			times = nil
		}
		var err error
		if made, err = j.make(left, right, len(j.lonely), times); err != nil {
			return err
		}
	}
	if err := s.drop(j.taken); err != nil {
		if made != nil {
			made.Release()
		}
		return err
	}
	j.expiring = len(j.due[0].ready)+len(j.due[1].ready) > 0
	if made == nil {
		return nil
	}
	return out.Emit(made)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// marks is a set of slots that is emptied in the time that its elements take.
type marks struct {
	bits     []uint64
	slots    []uint32
	reserved int64
}

func (m *marks) has(x uint32) bool {
	return int(x>>6) < len(m.bits) && m.bits[x>>6]&(1<<(x&63)) != 0
}

func (m *marks) add(account *memory.Account, x uint32) error {
	if int(x>>6) >= len(m.bits) {
		size := int(x>>6) + 1 + len(m.bits)
		more := int64(size-len(m.bits)) * 8
		if err := account.Reserve(more); err != nil {
			return err
		}
		m.reserved += more
		m.bits = append(m.bits, make([]uint64, size-len(m.bits))...)
	}
	m.bits[x>>6] |= 1 << (x & 63)
	m.slots = append(m.slots, x)
	return nil
}

func (m *marks) clear() {
	for _, x := range m.slots {
		m.bits[x>>6] &^= 1 << (x & 63)
	}
	m.slots = m.slots[:0]
}

func (m *marks) close(account *memory.Account) {
	account.Unreserve(m.reserved)
	*m = marks{}
}
