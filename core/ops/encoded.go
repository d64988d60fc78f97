package ops

import (
	"math"
	"slices"

	"turbo/core"
)

// encoding is an aggregate whose state is bytes. An empty old is the state of no row. New states are written to dst, which is empty and has capacity
// from earlier ones; changed is false when the state stays as it was.
type encoding interface {
	// fold adds rows of in.
	fold(dst, old []byte, in *core.Vector, rows []int32) (out []byte, changed bool, err error)
	// merge adds another state, that is not empty and whose rows are later.
	merge(dst, old, other []byte) (out []byte, changed bool, err error)
	// result appends the result of a state to out; empty is whether no row is in it.
	result(out *core.Vector, old []byte) error
}

// taker is an encoding that takes merged states back.
type taker interface {
	take(dst, old, other []byte) ([]byte, error)
}

// encoded is an accumulator whose state is a BYTES field, null for no row. The rows of a block go to their states together, in their order.
type encoded struct {
	single
	encoding
	nulls  bool // null arguments count, too
	order  []uint64
	rows   []int32
	buffer []byte
}

func (a *encoded) update(in *core.Vector, r Rows) error {
	if !a.nulls && in.HasNulls() {
		r = a.present.of(in, r)
	}
	a.order = a.order[:0]
	sorted := true
	for i, s := range r.Slots {
		a.order = append(a.order, uint64(s)<<32|uint64(i))
		sorted = sorted && (i == 0 || s >= r.Slots[i-1])
	}
	if !sorted {
		slices.Sort(a.order)
	}
	for from := 0; from < len(a.order); {
		slot := uint32(a.order[from] >> 32)
		a.rows = a.rows[:0]
		for ; from < len(a.order) && uint32(a.order[from]>>32) == slot; from++ {
			a.rows = append(a.rows, int32(r.row(int(a.order[from]&math.MaxUint32))))
		}
		made, changed, err := a.fold(a.buffer[:0], a.table.BytesAt(slot, a.field), in, a.rows)
		if err != nil {
			return err
		}
		if err := a.store(slot, made, changed); err != nil {
			return err
		}
	}
	return nil
}

func (a *encoded) store(slot uint32, made []byte, changed bool) error {
	if !changed {
		return nil
	}
	if a.buffer = made; cap(made) > 1<<20 {
		a.buffer = nil
	}
	return a.table.SetBytes(slot, a.field, made)
}

func (a *encoded) merge(dst []uint32, from accumulator, src []uint32) error {
	f := from.(*encoded)
	for i, d := range dst {
		other := f.table.BytesAt(src[i], f.field)
		if other == nil {
			continue
		}
		old := a.table.BytesAt(d, a.field)
		if old == nil {
			a.buffer = append(a.buffer[:0], other...) // it may be this table's
			if err := a.store(d, a.buffer, true); err != nil {
				return err
			}
			continue
		}
		made, changed, err := a.encoding.merge(a.buffer[:0], old, other)
		if err != nil {
			return err
		}
		if err := a.store(d, made, changed); err != nil {
			return err
		}
	}
	return nil
}

func (a *encoded) clear(slots []uint32) {
	for _, s := range slots {
		a.table.SetNull(s, a.field)
	}
}

func (a *encoded) emit(out *core.Vector, slots []uint32) error {
	for _, s := range slots {
		if err := a.result(out, a.table.BytesAt(s, a.field)); err != nil {
			return err
		}
	}
	return nil
}

// run implements retracter for encodings that take states back.
func (a *encoded) run(dst []uint32, from accumulator, src []uint32, o runOptions) error {
	f := from.(*encoded)
	if !o.back {
		if err := a.merge(dst, from, src); err != nil {
			return err
		}
	}
	for i, d := range dst {
		other := f.table.BytesAt(src[i], f.field)
		if other == nil {
			continue
		}
		states := int64(1)
		if o.count >= 0 {
			n := a.table.Ints(o.count)
			states = n.At(d) + 1
			if o.back {
				states -= 2
			}
			n.Set(d, states)
		}
		if !o.back {
			continue
		}
		if states == 0 {
			a.table.SetNull(d, a.field)
			continue
		}
		made, err := a.encoding.(taker).take(a.buffer[:0], a.table.BytesAt(d, a.field), other)
		if err != nil {
			return err
		}
		if err := a.store(d, made, true); err != nil {
			return err
		}
	}
	return nil
}
