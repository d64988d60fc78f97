package join

import (
	"math"
	"slices"

	"turbo/core"
	"turbo/state"
)

// openSession rebuilds chains and due times of a join over sessions.
func (j *Window) openSession() error {
	j.slices[0] = newBuckets(j.ctx.Account, max(j.spec.Gap/16, 1000))
	for i, s := range j.sides {
		err := j.chains.restore(i, s, func(slots []uint32) error { return j.arm(s, slots, j.chains.slots) })
		if err != nil {
			return err
		}
	}
	return nil
}

// unarmed is no due time; due times are kept with their sign turned, so that a new key has none.
const unarmed = math.MinInt64

func (j *Window) armed() state.Column[int64] { return j.chains.table.Ints(j.chains.heads + 2) }

// arm sees to it that keys are looked at when the own session of each of their rows has ended, or before.
func (j *Window) arm(s *side, slots, keys []uint32) error {
	armed := j.armed()
	for i, x := range slots {
		key := keys[i : i+1]
		due := j.own(s.nodes[x].time)
		if at := armed.At(key[0]) ^ unarmed; at != unarmed && at <= due {
			continue
		}
		armed.Set(key[0], due^unarmed)
		j.timeOne[0] = due
		if err := j.slices[0].add(key, j.timeOne[:]); err != nil {
			return err
		}
	}
	return nil
}

// own is the last time of the session that a row at t makes alone.
func (j *Window) own(t int64) int64 { return add(t, j.spec.Gap-1) }

// keepSession keeps rows in the chains of their keys. A row whose own session has ended is late unless it is within the gap of a row that is kept, since
// the session of that is open. So rows count in the order of arrival, and those that may be late are looked at one by one.
func (j *Window) keepSession(port int, b *core.Batch) error {
	if _, err := j.admit(port, b, nil); err != nil {
		return err
	}
	s := j.sides[port]
	rows := j.rows
	kept := j.coGroup != nil || j.spec.Config.Kind.alone(port)
	if kept && len(j.single) > 0 {
		rows = append(rows, j.single...)
		slices.Sort(rows)
		j.rows = rows
	}
	column, shift := b.Columns[s.time], s.schema.TimeShift
	j.late, j.none = j.late[:0], j.none[:0]
	k := 0
	for _, r := range rows {
		if column.Null(int(r)) {
			j.none = append(j.none, r)
			continue
		}
		rows[k] = r
		k++
	}
	rows = rows[:k]
	for _, r := range j.single {
		switch {
		case kept:
		case column.Null(int(r)):
			j.none = append(j.none, r)
		case j.own(column.Int64s()[r]+shift) <= j.watermark:
			j.late = append(j.late, r)
		}
	}
	keys, hashes := j.hash(port, b)
	j.keySlot = resize(j.keySlot, k)
	if _, err := j.chains.table.Upsert(keys, hashes, rows, k, j.keySlot, nil); err != nil {
		return err
	}
	times := column.Int64s()
	for from := 0; from < k; {
		to := from
		for to < k && (j.own(times[rows[to]]+shift) > j.watermark) {
			to++
		}
		if to == from {
			if !j.extends(b, port, rows[from], j.keySlot[from], times[rows[from]]+shift) {
				j.late = append(j.late, rows[from])
				from++
				continue
			}
			to = from + 1
		}
		if err := j.keepRows(s, port, b, rows[from:to], j.keySlot[from:to], hashes); err != nil {
			return err
		}
		from = to
	}
	j.ctx.Counters.Late += int64(len(j.late))
	j.ctx.Counters.NoTime += int64(len(j.none))
	slices.Sort(j.late)
	slices.Sort(j.none)
	return j.aside(port, b)
}

func (j *Window) keepRows(s *side, port int, b *core.Batch, rows []int32, keys []uint32, hashes []uint64) error {
	n := len(rows)
	j.slots, j.zero = resize(j.slots, n), resize(j.zero, n)
	column, shift := b.Columns[s.time].Int64s(), s.schema.TimeShift
	for i, r := range rows {
		j.zero[i] = column[r] + shift
	}
	if err := s.insert(b, rows, n, j.groupsOf(hashes, rows), j.slots); err != nil {
		return err
	}
	j.chains.link(port, s, j.slots, keys, j.zero)
	return j.arm(s, j.slots, keys)
}

// extends reports that a row belongs to the session of a row that is kept. A row whose key has a null has no session but its own in a join.
func (j *Window) extends(b *core.Batch, port int, row int32, key uint32, t int64) bool {
	if j.coGroup == nil && j.sides[port].nullKey(b, int(row)) {
		return false
	}
	for side, s := range j.sides {
		for at := uint32(j.chains.first(side).At(key)); at != 0; at = s.nodes[at-1].next {
			if d := s.nodes[at-1].time - t; d <= j.spec.Gap && d >= -j.spec.Gap {
				return true
			}
		}
	}
	return false
}

// advanceSession makes ready the keys that are due.
func (j *Window) advanceSession() error {
	armed := j.armed()
	return j.slices[0].advance(j.watermark, func(key uint32) int64 {
		if !j.chains.table.Live(key) {
			return unarmed
		}
		return armed.At(key) ^ unarmed
	})
}

// placed is a row of a key, for sorting.
type placed struct {
	time int64
	slot uint32
	side int32
}

// closeSessions makes groups of the sessions that have ended of the keys of some rows that are due.
func (j *Window) closeSessions() error {
	j.due, j.open = j.slices[0].take(j.due[:0], j.ctx.BatchRows)
	armed := j.armed()
	j.keysDue = j.keysDue[:0]
	for _, key := range j.due {
		if at := armed.At(key) ^ unarmed; j.chains.table.Live(key) && at != unarmed && at <= j.watermark {
			armed.Set(key, 0)
			j.keysDue = append(j.keysDue, key)
		}
	}
	j.groups, j.spans, j.all[0], j.all[1] = j.groups[:0], j.spans[:0], j.all[0][:0], j.all[1][:0]
	for _, key := range j.keysDue {
		if err := j.sessionsOf(key); err != nil {
			return err
		}
	}
	for side, s := range j.sides {
		if err := j.chains.unlink(side, s, j.free[side]); err != nil {
			return err
		}
		for _, x := range j.free[side] {
			s.nodes[x].time = freed
		}
	}
	j.closing = len(j.free[0])+len(j.free[1]) > 0
	return nil
}

// sessionsOf adds the sessions of a key that have ended to the groups, and their rows to those to be dropped. The key is due again
// when the first session that is open would end.
func (j *Window) sessionsOf(key uint32) error {
	j.placed = j.placed[:0]
	for side, s := range j.sides {
		for at := uint32(j.chains.first(side).At(key)); at != 0; at = s.nodes[at-1].next {
			j.placed = append(j.placed, placed{s.nodes[at-1].time, at - 1, int32(side)})
		}
	}
	list := j.placed
	slices.SortFunc(list, func(a, b placed) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return 0
	})
	due := int64(core.MaxTime)
	noKey := j.coGroup == nil && len(list) > 0 && j.keyNull(list[0])
	for len(list) > 0 {
		n := 1
		for n < len(list) && !noKey && list[n].time-list[n-1].time <= j.spec.Gap {
			n++
		}
		session := list[:n]
		list = list[n:]
		last := j.own(session[n-1].time)
		if last > j.watermark {
			due = min(due, last)
			continue
		}
		var g group
		for side := range j.all {
			g.from[side] = int32(len(j.all[side]))
		}
		for _, p := range session {
			j.all[p.side] = append(j.all[p.side], p.slot)
			j.free[p.side] = append(j.free[p.side], p.slot)
		}
		for side := range j.all {
			g.to[side] = int32(len(j.all[side]))
		}
		j.groups, j.spans = append(j.groups, g), append(j.spans, span{session[0].time, add(last, 1)})
	}
	if due == int64(core.MaxTime) {
		return nil
	}
	j.armed().Set(key, due^unarmed)
	j.keysOne[0], j.timeOne[0] = key, due
	return j.slices[0].add(j.keysOne[:], j.timeOne[:])
}

// keyNull reports that the key of a row has a null.
func (j *Window) keyNull(p placed) bool {
	s := j.sides[p.side]
	return slices.ContainsFunc(s.keys, func(k int) bool { return s.table.Null(p.slot, s.field[k]) })
}
