package join

import (
	"slices"

	"turbo/core"
	"turbo/core/hash"
)

// divide finds the keys of the rows in all, which are those of one window, and puts together what is equal.
func (j *Window) divide(start, end int64) error {
	for side, s := range j.sides {
		rows := j.all[side]
		j.keysOf[side] = resize(j.keysOf[side], len(rows))
		keys := j.keysOf[side]
		kept := 0
		for from := 0; from < len(rows); from += 1024 {
			block := rows[from:min(from+1024, len(rows))]
			n := len(block)
			nulls := false
			for i, k := range s.keys {
				j.columns[i].Reset()
				if err := s.table.AppendValues(j.columns[i], s.field[k], block); err != nil {
					return err
				}
				nulls = nulls || j.columns[i].HasNulls()
			}
			j.hashed = resize(j.hashed, n)
			hash.Columns(j.columns, n, nil, j.hashed)
			if _, err := j.chains.table.Upsert(j.columns, j.hashed, nil, n, keys[from:from+n], nil); err != nil {
				return err
			}
			if nulls && j.coGroup == nil {
				for i, x := range block {
					if null(j.columns, i) {
						j.alone[side] = append(j.alone[side], lone{x, 0})
						continue
					}
					rows[kept], keys[kept] = x, keys[from+i]
					kept++
				}
				continue
			}
			if kept < from {
				copy(rows[kept:], block)
				copy(keys[kept:], keys[from:from+n])
			}
			kept += n
		}
		j.all[side], j.keysOf[side] = rows[:kept], keys[:kept]
	}
	top := uint32(0)
	for _, keys := range j.keysOf {
		for _, k := range keys {
			top = max(top, k+1)
		}
	}
	j.spans = append(j.spans[:0], span{start, end})
	used := 0
	if j.coGroup == nil && j.spec.Config.Kind == Inner {
		used = j.chain(int(top))
	} else {
		used = j.count(int(top))
	}
	if j.chains.table.Len() > 4*used+keepKeys {
		return j.chains.sweep()
	}
	return nil
}

// chain links the right rows of each key below top, and lists the left rows that have partners, for findPairs. It returns how many keys there are at most.
func (j *Window) chain(top int) (used int) {
	if top > len(j.heads) {
		j.heads = make([]int32, top+top/4)
	}
	heads := j.heads[:top]
	j.next, j.walks = resize(j.next, len(j.keysOf[1])), resize(j.walks, len(j.keysOf[0]))
	next, walks, n := j.next, j.walks, 0
	for i, k := range j.keysOf[1] {
		h := heads[k]
		next[i], heads[k] = h, int32(i+1)
		used += b2i(h == 0)
	}
	for i, k := range j.keysOf[0] {
		h := heads[k]
		walks[n] = reached{int32(i), uint32(h)}
		n += b2i(h != 0)
	}
	clear(heads)
	j.walks, j.read, j.written = walks[:n], 0, 0
	return used + len(j.keysOf[0]) - n
}

// count makes groups of the rows in all, of keys below top: a counting sort. It returns the number of keys.
func (j *Window) count(top int) (used int) {
	// The number of rows by key, then where the rows of each begin, then the rows in that order.
	if top > len(j.counts) {
		j.counts = make([][2]int32, top+top/4)
	}
	counts := j.counts[:top]
	for side, keys := range j.keysOf {
		for _, k := range keys {
			counts[k][side]++
		}
	}
	kind := j.spec.Config.Kind
	pairsOnly := j.coGroup == nil && !kind.alone(0) && !kind.alone(1) // keys that one side alone has are nothing then
	// Nothing is guessed here: half of the keys may have rows on both sides, in no order.
	n, l, r, every := 0, int32(0), int32(0), b2i(!pairsOnly)
	groups := resize(j.groups, top)
	for k := range counts {
		c := &counts[k]
		g := group{from: [2]int32{l, r}, to: [2]int32{l + c[0], r + c[1]}}
		left, right := b2i(c[0] != 0), b2i(c[1] != 0)
		groups[n] = g
		n += left&right | (left|right)&every
		used += left | right
		c[0], c[1] = l, r
		l, r = g.to[0], g.to[1]
	}
	j.groups = groups[:n]
	for side, keys := range j.keysOf {
		rows := j.all[side]
		sorted := resize(j.sorted, len(rows))
		for i, k := range keys {
			sorted[counts[k][side]] = rows[i]
			counts[k][side]++
		}
		j.all[side], j.sorted = sorted, rows
	}
	clear(counts)
	return used
}

func null(columns []*core.Vector, i int) bool {
	return slices.ContainsFunc(columns, func(v *core.Vector) bool { return v.Null(i) })
}
