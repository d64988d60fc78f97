package shuffle

import (
	"math/bits"

	"turbo/core"
	"turbo/core/hash"
)

// scatter assigns rows to receivers by key hash. The rows of each receiver come out as a selection, in their order.
type scatter struct {
	groups    int
	receivers int
	split     uint64   // two receivers: the smallest hash of the second
	owner     []uint16 // receiver by key group
	order     []int32  // selections of all receivers, one after another
	to        []uint16 // receiver by row
	ends      []int32  // receiver r has order[ends[r]:ends[r+1]]
}

func newScatter(groups, receivers int) scatter {
	s := scatter{groups: groups, receivers: receivers, owner: make([]uint16, groups), ends: make([]int32, receivers+1)}
	for g := range s.owner {
		s.owner[g] = uint16(core.WorkerOf(g, groups, receivers))
	}
	if receivers == 2 {
		from, _ := core.KeyGroupRange(1, groups, receivers)
		s.split = firstHash(from, groups)
	}
	return s
}

// firstHash returns the smallest hash of a key group: core.KeyGroup is monotonic, the high half of hash*groups. So group g begins at
// the quotient of g*2^64 and groups, rounded up. g < groups.
func firstHash(g, groups int) uint64 {
	q, rem := bits.Div64(uint64(g), 0, uint64(groups))
	if rem > 0 {
		q++
	}
	return q
}

// receiverOf returns the receiver of one hash.
func (s *scatter) receiverOf(h uint64) int { return int(s.owner[core.KeyGroup(h, s.groups)]) }

// assign sorts rows (those of sel, or all n) by receiver; selection(r) then gives those of r.
func (s *scatter) assign(hashes []uint64, sel []int32, n int) {
	if sel != nil {
		n = len(sel)
	}
	if cap(s.order) < 2*n {
		s.order = make([]int32, 2*n)
		s.to = make([]uint16, n)
	}
	if s.receivers == 2 {
		s.assignTwo(hashes, sel, n)
		return
	}
	s.assignMany(hashes, sel, n)
}

// selection returns the rows of receiver r, valid until the next assign.
func (s *scatter) selection(r int) []int32 { return s.order[s.ends[r]:s.ends[r+1]] }

// assignTwo writes each row to both selections and advances the one it belongs to: no branch that random keys would mispredict, no
// table, no multiplication. Expected: about 1 ns a row.
func (s *scatter) assignTwo(hashes []uint64, sel []int32, n int) {
	split := s.split
	first, second := s.order[:n:n], s.order[n:2*n:2*n]
	a, b := 0, 0
	if sel == nil {
		hashes = hashes[:n]
		for i, h := range hashes {
			_, below := bits.Sub64(h, split, 0) // 1 when h < split
			first[a], second[b] = int32(i), int32(i)
			a += int(below)
			b += int(1 - below)
		}
	} else {
		for _, i := range sel {
			_, below := bits.Sub64(hashes[i], split, 0)
			first[a], second[b] = i, i
			a += int(below)
			b += int(1 - below)
		}
	}
	s.ends[0], s.ends[1], s.ends[2] = 0, int32(a), int32(a+b)
	copy(s.order[a:], second[:b]) // n/2 words on average: 0.1 ns a row
}

// assignMany is a counting sort. Expected: about 3 ns a row (a multiplication and two dependent loads, then a scattered store).
func (s *scatter) assignMany(hashes []uint64, sel []int32, n int) {
	to, owner, groups := s.to[:n], s.owner, uint64(s.groups)
	ends := s.ends
	clear(ends)
	if sel == nil {
		for i, h := range hashes[:n] {
			g, _ := bits.Mul64(h, groups)
			r := owner[g]
			to[i] = r
			ends[r+1]++
		}
	} else {
		for k, i := range sel {
			g, _ := bits.Mul64(hashes[i], groups)
			r := owner[g]
			to[k] = r
			ends[r+1]++
		}
	}
	for r := 1; r < len(ends); r++ {
		ends[r] += ends[r-1]
	}
	order := s.order
	if sel == nil { // ends[r] runs from the start of r's selection to its end, and is shifted back below
		for i, r := range to {
			order[ends[r]] = int32(i)
			ends[r]++
		}
	} else {
		for k, r := range to {
			order[ends[r]] = sel[k]
			ends[r]++
		}
	}
	copy(ends[1:], ends[:len(ends)-1])
	ends[0] = 0
}

// emitByHash takes b, computes the hashes of its keys and sends each row to the owner of its key group.
//
// Expected cost per row for one int64 key, three int64 columns and two receivers, batches in cache: hash 1.5 ns, assign 1 ns, gather
// of three columns and the hash 1 ns each, 6.5 ns in all; the rest of the exchange is per batch (some 200 ns).
func (o *Output) emitByHash(b *core.Batch, rows int) {
	for i, k := range o.Keys {
		o.keys[i] = b.Columns[k]
	}
	hashes := b.MakeHashes()
	hash.Columns(o.keys, b.Len, b.Sel, hashes)
	clear(o.keys)
	if len(o.lanes) == 1 {
		o.give(0, b, rows)
		return
	}
	if rows == 1 {
		o.give(o.scatter.receiverOf(hashes[b.Row(0)]), b, 1)
		return
	}
	o.scatter.assign(hashes, b.Sel, b.Len)
	for r := range o.lanes {
		sel := o.scatter.selection(r)
		if len(sel) == rows {
			o.give(r, b, rows)
			return
		}
		o.append(r, b, sel, len(sel))
	}
	b.Release()
}

// give takes b, all of whose live rows go to open[k]: moved as it is if that is allowed, else copied.
func (o *Output) give(k int, b *core.Batch, rows int) {
	large := 2*rows >= o.BatchRows
	dense := 2*rows >= b.Len
	atOnce := o.BufferTimeout == 0 && !(o.joins && rows <= o.BatchRows/16 && o.lanes[k].channel.behind())
	if o.open[k].batch == nil && dense && (large || atOnce) && o.flushable(k) {
		why := onDemand
		if large {
			why = whenFull
		}
		add(&o.stats.moved, 1)
		o.dispatch(k, b, why)
		return
	}
	o.append(k, b, b.Sel, rows)
	b.Release()
}

// append copies rows of b (those of sel, or the first n when sel is nil) to open[k], and finishes batches that become full.
func (o *Output) append(k int, b *core.Batch, sel []int32, n int) {
	for from := 0; from < n; {
		dst := o.open[k].batch
		if dst == nil {
			dst = o.begin(k)
		}
		take := n - from
		if room := o.BatchRows - dst.Len; take > room && room > 0 && o.flushable(k) {
			take = room
		}
		if sel != nil {
			copyRows(dst, b, sel[from:from+take], o.BatchRows)
		} else {
			copyRange(dst, b, from, take, o.BatchRows)
		}
		from += take
		if o.isFull(dst) && o.flushable(k) {
			o.flush(k, whenFull)
		}
	}
}

// begin opens a batch, a new one or the newest in the ring, and sets its deadline.
func (o *Output) begin(k int) *core.Batch {
	if !o.joins || !o.join(k) {
		o.open[k].batch = o.pool.Get()
	}
	b := o.open[k].batch
	o.waiting++
	if o.BufferTimeout >= 0 {
		deadline := o.now + int64(o.BufferTimeout)
		o.open[k].deadline = deadline
		o.earliest = min(o.earliest, deadline)
	}
	return b
}

func (o *Output) isFull(b *core.Batch) bool {
	return b.Len >= o.BatchRows || o.varying && valueBytes(b.Columns) >= o.BatchBytes
}

// valueBytes returns the bytes of the values in columns, as far as they are used (not the capacity of their buffers).
func valueBytes(columns []*core.Vector) int {
	n := 0
	for _, v := range columns {
		n += len(v.Data())
		for c := range v.Type.Elements {
			n += childBytes(v.Child(c))
		}
	}
	return n
}

func childBytes(v *core.Vector) int {
	n := len(v.Data())
	for c := range v.Type.Elements {
		n += childBytes(v.Child(c))
	}
	return n
}

// copyRows appends the rows of src that sel names to dst, with hashes and kinds. target is growKinds'.
func copyRows(dst, src *core.Batch, sel []int32, target int) {
	for c, column := range dst.Columns {
		column.AppendSelected(src.Columns[c], sel)
	}
	old := dst.Len
	dst.Len += len(sel)
	if src.Hashes != nil {
		dst.Hashes = dst.GrowHashes(dst.Len)[:dst.Len]
		out, in := dst.Hashes[old:], src.Hashes
		for k, i := range sel {
			out[k] = in[i]
		}
	}
	if out := growKinds(dst, src, old, target); out != nil {
		for k, i := range sel {
			out[k] = src.Kind(int(i))
		}
	}
}

// copyRange appends n rows of src from row from on to dst, with hashes and kinds. target is growKinds'.
func copyRange(dst, src *core.Batch, from, n, target int) {
	for c, column := range dst.Columns {
		column.AppendRange(src.Columns[c], from, n)
	}
	old := dst.Len
	dst.Len += n
	if src.Hashes != nil {
		dst.Hashes = dst.GrowHashes(dst.Len)[:dst.Len]
		copy(dst.Hashes[old:], src.Hashes[from:])
	}
	if out := growKinds(dst, src, old, target); out != nil {
		for k := range out {
			out[k] = src.Kind(from + k)
		}
	}
}

// growKinds extends dst.Kinds from old rows to dst.Len and returns the new part, undefined, or nil when neither batch has kinds.
// Rows without a kind are insertions. target is the usual length of dst: room for so many is made at once.
func growKinds(dst, src *core.Batch, old, target int) []core.RowKind {
	if src.Kinds == nil && dst.Kinds == nil {
		return nil
	}
	have := dst.Kinds
	if cap(have) < dst.Len {
		var kept []core.RowKind
		if have != nil { // rare: dst grew beyond its target; MakeKinds gives the old buffer back
			kept = append(kept, have...)
		}
		have = dst.MakeKinds(max(dst.Len, 2*len(kept), target))
		clear(have[copy(have, kept):old]) // core.Insert
	}
	dst.Kinds = have[:dst.Len]
	return dst.Kinds[old:]
}
