package ops

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"turbo/core"
	"turbo/state"
)

// encoding is an aggregate whose state is bytes: a folder or an appender.
type encoding interface {
	// result appends the result of a state to out; nil is the state of no row.
	result(out *core.Vector, old []byte) error
}

// folder is an encoding that makes new states of old ones. They are written to dst, which is empty and has capacity from earlier ones; changed is false when the state stays as it was.
type folder interface {
	encoding
	// fold adds rows of in.
	fold(dst, old []byte, in *core.Vector, rows []int32) (out []byte, changed bool, err error)
	// merge adds another state, that is not empty and whose rows are later.
	merge(dst, old, other []byte) (out []byte, changed bool, err error)
}

// inPlacer is a folder that can change states where they are.
type inPlacer interface {
	// inPlace adds the first rows to a state, not an empty one, as far as it has room, and returns how many.
	inPlace(state []byte, in *core.Vector, rows []int32) int
	// mergeInPlace adds another state; when it returns false, merge is to do it.
	mergeInPlace(state, other []byte) bool
}

// appender is an encoding whose states grow at their ends only.
type appender interface {
	// more makes what rows are behind a state; none is whether no row is in it.
	more(dst []byte, none bool, in *core.Vector, rows []int32) []byte
	// moreOf makes what another state is behind one.
	moreOf(dst, other []byte) []byte
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
	sorted, last := true, uint32(0)
	place, _ := a.encoding.(inPlacer)
	for i, s := range r.Slots {
		if place != nil {
			a.rows = append(a.rows[:0], int32(r.row(i)))
			if own := a.table.OwnBytes(s, a.field); own != nil && place.inPlace(own, in, a.rows) == 1 {
				continue
			}
		}
		a.order = append(a.order, uint64(s)<<32|uint64(i))
		sorted, last = sorted && s >= last, s
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
		if err := a.addRows(slot, in, a.rows); err != nil {
			return err
		}
	}
	return nil
}

func (a *encoded) addRows(slot uint32, in *core.Vector, rows []int32) error {
	if e, ok := a.encoding.(appender); ok {
		a.buffer = e.more(a.buffer[:0], a.table.Null(slot, a.field), in, rows)
		return written(a.table.AppendBytes(slot, a.field, a.buffer))
	}
	made, changed, err := a.encoding.(folder).fold(a.buffer[:0], a.table.BytesAt(slot, a.field), in, rows)
	if err != nil {
		return err
	}
	return a.store(slot, made, changed)
}

func (a *encoded) store(slot uint32, made []byte, changed bool) error {
	if !changed {
		return nil
	}
	if a.buffer = made; cap(made) > 1<<20 {
		a.buffer = nil
	}
	return written(a.table.SetBytes(slot, a.field, made))
}

func (a *encoded) merge(dst []uint32, from accumulator, src []uint32) error {
	f := from.(*encoded)
	for i, d := range dst {
		other := f.table.BytesAt(src[i], f.field)
		if other == nil {
			continue
		}
		if err := a.mergeState(d, other); err != nil {
			return err
		}
	}
	return nil
}

func (a *encoded) mergeState(slot uint32, other []byte) error {
	old := a.table.BytesAt(slot, a.field)
	if old == nil {
		a.buffer = append(a.buffer[:0], other...) // it may be this table's
		return a.store(slot, a.buffer, true)
	}
	switch e := a.encoding.(type) {
	case appender:
		a.buffer = e.moreOf(a.buffer[:0], other)
		return written(a.table.AppendBytes(slot, a.field, a.buffer))
	case inPlacer:
		if own := a.table.OwnBytes(slot, a.field); own != nil && e.mergeInPlace(own, other) {
			return nil
		}
	}
	made, changed, err := a.encoding.(folder).merge(a.buffer[:0], old, other)
	if err != nil {
		return err
	}
	return a.store(slot, made, changed)
}

// written is the error of a state that could not be written: of one that is too long, trying again does not help.
func written(err error) error {
	if errors.Is(err, state.ErrTooLarge) {
		return core.Permanent(fmt.Errorf("%w: this is all that a key can hold, so aggregate by finer keys, over shorter windows, or approximately", err))
	}
	return err
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
