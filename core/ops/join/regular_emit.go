package join

import (
	"turbo/core"
)

// emit emits some of the output that waits.
func (j *Regular) emit(out core.Emitter) error {
	n := min(len(j.outOwn)-j.sent, j.ctx.BatchRows)
	own, other, kinds := j.outOwn[j.sent:j.sent+n], j.outOther[j.sent:j.sent+n], j.outKind[j.sent:j.sent+n]
	j.sent += n
	// Nulls are gathered from some other row first.
	j.subOwn, j.subOther = resize(j.subOwn, n), resize(j.subOther, n)
	any, some := int32(j.batch.Row(0)), uint32(core.NoSlot)
	for _, x := range other {
		if x != core.NoSlot {
			some = x
			break
		}
	}
	for i := range n {
		j.subOwn[i], j.subOther[i] = own[i], other[i]
		if own[i] < 0 {
			j.subOwn[i] = any
		}
		if other[i] == core.NoSlot {
			j.subOther[i] = some
		}
	}
	mine, theirs := &rows{batch: j.batch, at: j.subOwn}, &rows{slots: j.subOther}
	if some == core.NoSlot {
		theirs = nil
	}
	left, right := mine, theirs
	if j.port == 1 {
		left, right = theirs, mine
	}
	if j.spec.Kind.half() {
		right = nil
	}
	made, err := j.make(left, right, n, nil)
	if err != nil {
		return err
	}
	for i, c := range j.config.Output {
		v := made.Columns[i]
		if c.Side == j.port {
			for k, x := range own {
				if x < 0 {
					v.SetNull(k)
				}
			}
			continue
		}
		for k, x := range other {
			if x == core.NoSlot {
				v.SetNull(k)
			}
		}
	}
	if j.ctx.Output.Changelog {
		copy(made.MakeKinds(n), kinds)
	}
	return out.Emit(made)
}

// Due implements core.Timed: when rows have outlived their time.
func (j *Regular) Due() (core.Time, bool) {
	at, ok := int64(core.MaxTime), false
	for i, d := range j.due {
		if j.ttl[i] > 0 && d != nil && len(d.order) > 0 {
			at, ok = min(at, add(d.last(d.order[0]), 1)), true
		}
	}
	return core.Time(at), ok
}

// Tick implements core.Timed: rows that have outlived their time are dropped, by Resume.
func (j *Regular) Tick(now core.Time, _ core.Emitter) error {
	for i, d := range j.due {
		nodes, ttl := j.sides[i].nodes, j.ttl[i]
		if err := d.advance(int64(now), func(x uint32) int64 { return add(nodes[x].time, ttl) }); err != nil {
			return j.fail(err)
		}
		j.expiring = j.expiring || len(d.ready) > 0
	}
	j.now = int64(now)
	return nil
}

// expire drops some of the rows that are due.
func (j *Regular) expire() error {
	port := 0
	if len(j.due[0].ready) == 0 {
		port = 1
	}
	s, ttl := j.sides[port], j.ttl[port]
	j.taken, _ = j.due[port].take(j.taken[:0], 4*j.ctx.BatchRows)
	n := 0
	for _, x := range j.taken {
		nd := &s.nodes[x]
		if nd.time == freed || add(nd.time, ttl) > j.now {
			continue
		}
		nd.time = freed
		j.taken[n] = x
		n++
	}
	j.taken = j.taken[:n]
	if err := j.chains.unlink(port, s, j.taken); err != nil {
		return err
	}
	if err := s.drop(j.taken); err != nil {
		return err
	}
	j.expiring = len(j.due[0].ready)+len(j.due[1].ready) > 0
	return nil
}

var (
	_ core.Operator = (*Interval)(nil)
	_ core.Operator = (*Window)(nil)
	_ core.Timed    = (*Regular)(nil)
)
