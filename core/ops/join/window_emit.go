package join

import (
	"turbo/core"
)

// emit makes some output of the groups, and ends them when there is no more.
func (j *Window) emit(out core.Emitter) error {
	if j.coGroup != nil {
		return j.call(out)
	}
	if j.findPairs() {
		return j.pairs(out)
	}
	if !j.checked {
		j.checked = true
		j.findAlone()
	}
	for side := range j.alone {
		list := j.alone[side][j.sent[side]:]
		n := min(len(list), j.ctx.BatchRows)
		if n == 0 || !j.spec.Config.Kind.alone(side) {
			continue
		}
		j.sent[side] += n
		j.slots = resize(j.slots, n)
		for i, l := range list[:n] {
			j.slots[i] = l.slot
		}
		left, right := &rows{slots: j.slots}, (*rows)(nil)
		if side == 1 {
			left, right = nil, left
		}
		made, err := j.make(left, right, n, nil)
		if err != nil {
			return err
		}
		start, end := j.windowColumns(made, n)
		for i, l := range list[:n] {
			w := j.span(l.group)
			start[i], end[i] = w.start, w.end
		}
		return out.Emit(made)
	}
	return j.end()
}

// windowColumns extends the last two columns.
func (j *Window) windowColumns(made *core.Batch, n int) (start, end []int64) {
	k := len(made.Columns) - 2
	made.Columns[k].Extend(n)
	made.Columns[k+1].Extend(n)
	return made.Columns[k].Int64s(), made.Columns[k+1].Int64s()
}

// end drops what the windows that closed have needed alone.
func (j *Window) end() error {
	for side, list := range j.free {
		if err := j.sides[side].drop(list); err != nil {
			return err
		}
		j.free[side] = list[:0]
		j.alone[side] = j.alone[side][:0]
		j.met[side].clear()
		j.sent[side] = 0
	}
	j.closing, j.checked, j.group, j.l, j.r, j.groups = false, false, 0, 0, 0, j.groups[:0]
	return nil
}

// findPairs fills pair with the next pairs of the groups, and reports whether there are any.
func (j *Window) findPairs() bool {
	kind := j.spec.Config.Kind
	if kind == Anti && j.residual == nil {
		return false
	}
	once := kind.half() && j.residual == nil
	size := j.ctx.BatchRows
	left, right, of := resize(j.pair[0], size), resize(j.pair[1], size), resize(j.pairOf, size)
	n := j.step(left, right)
	clear(of[:n]) // of one window
	for ; j.group < len(j.groups) && n < size; j.group++ {
		g := &j.groups[j.group]
		if g.to[0]-g.from[0] == 1 && g.to[1]-g.from[1] == 1 {
			left[n], right[n], of[n] = j.all[0][g.from[0]], j.all[1][g.from[1]], int32(j.group)
			n++
			continue
		}
		rights := j.all[1][g.from[1]:g.to[1]]
		if len(rights) == 0 {
			j.l, j.r = 0, 0
			continue
		}
		if once {
			rights = rights[:1]
		}
		lefts := j.all[0][g.from[0]:g.to[0]]
		l, r := int(j.l), int(j.r)
		for l < len(lefts) && n < size {
			for ; r < len(rights) && n < size; r++ {
				left[n], right[n], of[n] = lefts[l], rights[r], int32(j.group)
				n++
			}
			if r == len(rights) {
				l, r = l+1, 0
			}
		}
		if l < len(lefts) {
			j.l, j.r = int32(l), int32(r)
			break
		}
		j.l, j.r = 0, 0
	}
	j.pair[0], j.pair[1], j.pairOf = left[:n], right[:n], of[:n]
	return n > 0
}

// step fills left and right with the next pairs of the rows that chain has linked. All left rows get a partner before one gets its second: the loads of one do not
// wait for those of another.
func (j *Window) step(left, right []uint32) (n int) {
	for len(j.walks) > 0 && n < len(left) {
		to := min(len(j.walks), j.read+len(left)-n)
		walks, next, lefts, rights, written := j.walks[:to], j.next, j.all[0], j.all[1], j.written
		for _, w := range walks[j.read:] {
			left[n], right[n] = lefts[w.row], rights[w.at-1]
			n++
			more := next[w.at-1]
			walks[written] = reached{w.row, uint32(more)}
			written += b2i(more != 0)
		}
		j.read, j.written = to, written
		if to == len(j.walks) {
			j.walks, j.read, j.written = j.walks[:written], 0, 0
		}
	}
	return n
}

// pairs makes output of the pairs.
func (j *Window) pairs(out core.Emitter) error {
	kind := j.spec.Config.Kind
	n := len(j.pairOf)
	left, right := &rows{slots: j.pair[0]}, &rows{slots: j.pair[1]}
	kept, all, err := j.matches(left, right, n)
	if err != nil {
		return err
	}
	if !all {
		for i, k := range kept {
			j.pair[0][i], j.pair[1][i], j.pairOf[i] = j.pair[0][k], j.pair[1][k], j.pairOf[k]
		}
		n = len(kept)
	}
	if j.residual != nil {
		for side := range j.met {
			if !kind.alone(side) && !(kind == Semi && side == 0) {
				continue
			}
			k := 0
			for i, x := range j.pair[side][:n] {
				if j.met[side].has(x) {
					continue
				}
				if err := j.met[side].add(j.ctx.Account, x); err != nil {
					return err
				}
				if kind == Semi {
					j.pair[0][k], j.pairOf[k] = x, j.pairOf[i]
					k++
				}
			}
			if kind.half() {
				n = k // none of an anti join
			}
		}
	}
	if kind.half() {
		right = nil
	}
	if n == 0 {
		return nil
	}
	made, err := j.make(left, right, n, nil)
	if err != nil {
		return err
	}
	start, end := j.windowColumns(made, n)
	if len(j.spans) == 1 {
		w := j.spans[0]
		for i := range start {
			start[i], end[i] = w.start, w.end
		}
		return out.Emit(made)
	}
	for i, g := range j.pairOf[:n] {
		start[i], end[i] = j.spans[g].start, j.spans[g].end
	}
	return out.Emit(made)
}

// findAlone lists the rows without partner.
func (j *Window) findAlone() {
	for side := range j.alone {
		if !j.spec.Config.Kind.alone(side) {
			continue
		}
		for i := range j.groups {
			g := &j.groups[i]
			if j.residual == nil && g.from[1-side] < g.to[1-side] {
				continue
			}
			for _, x := range j.all[side][g.from[side]:g.to[side]] {
				if j.residual == nil || !j.met[side].has(x) {
					j.alone[side] = append(j.alone[side], lone{x, int32(i)})
				}
			}
		}
	}
}

// call gives groups to the function until a batch is full.
func (j *Window) call(out core.Emitter) error {
	k := len(j.ctx.Output.Fields) - 2
	for j.group < len(j.groups) && j.builder.Column(0).Len() < j.ctx.BatchRows {
		g, w := &j.groups[j.group], j.span(int32(j.group))
		j.group++
		for side, s := range j.sides {
			b := j.inner[side]
			if b == nil {
				b = core.NewBatch(j.ctx.Account, s.schema)
				for _, f := range s.schema.Fields {
					b.Columns = append(b.Columns, core.NewVector(j.ctx.Account, f.Type, 0))
				}
				j.inner[side] = b
			}
			slots := j.all[side][g.from[side]:g.to[side]]
			b.Len, b.Sel = len(slots), nil
			for c, v := range b.Columns {
				if v.Shared() { // the function has kept it
					v.Release()
					v = core.NewVector(j.ctx.Account, s.schema.Fields[c].Type, 0)
					b.Columns[c] = v
				}
				v.Reset()
				if err := s.table.AppendValues(v, s.field[c], slots); err != nil {
					return err
				}
			}
		}
		if err := j.function.CoGroup(&Group{Start: core.Time(w.start), End: core.Time(w.end), Left: j.inner[0], Right: j.inner[1]}, j.builder); err != nil {
			return err
		}
		start, end := j.builder.Column(k), j.builder.Column(k+1)
		for start.Len() < j.builder.Column(0).Len() {
			start.AppendInt64(w.start)
			end.AppendInt64(w.end)
		}
	}
	if made := j.builder.Finish(); made != nil {
		return out.Emit(made)
	}
	if j.group < len(j.groups) {
		return nil
	}
	return j.end()
}
