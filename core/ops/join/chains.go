package join

import (
	"turbo/core"
	"turbo/core/hash"
	"turbo/state"
)

// chains finds the kept rows of a key: a table of the keys with the first row of each side's chain. It is derived from the bags, so it is
// a table of its own in memory that no checkpoint knows. One probe finds both chains.
type chains struct {
	table  *state.Table
	heads  int // field of the left chain's first slot + 1 (0: none); the right one's is the next
	used   int // keys with rows; the others are dropped when they are many
	empty  []uint32
	keys   []*core.Vector // scratch of restore
	hashes []uint64
	slots  []uint32
}

// newChains makes a table for the keys of left. extra are further values of a key, behind the two heads.
func newChains(ctx *core.OperatorContext, left *side, extra ...core.Field) (*chains, error) {
	var keys []core.Field
	for _, k := range left.keys {
		keys = append(keys, core.Field{Name: left.schema.Fields[k].Name, Type: left.schema.Fields[k].Type.Optional()})
	}
	head := core.Of(core.Int64).Required()
	t, err := state.New(state.Options{Operator: ctx.ID, Table: "chains", Keys: keys, Values: append([]core.Field{{Name: "left", Type: head}, {Name: "right", Type: head}}, extra...),
		Account: ctx.Account, KeyGroups: 1, To: 1})
	if err != nil {
		return nil, err
	}
	return &chains{table: t, heads: len(keys)}, nil
}

func (c *chains) close() {
	if c == nil {
		return
	}
	for _, v := range c.keys {
		v.Release()
	}
	c.keys = nil
	c.table.Close()
}

// first gives access to the first slot + 1 of the chains of a side.
func (c *chains) first(which int) state.Column[int64] { return c.table.Ints(c.heads + which) }

// link puts rows in front of the chains of their keys. times is their event time, by position.
func (c *chains) link(which int, s *side, slots, keys []uint32, times []int64) {
	first, nodes, other := c.first(which), s.nodes, c.first(1-which).Offset-c.first(which).Offset
	times, keys = times[:len(slots)], keys[:len(slots)]
	for i, x := range slots {
		o := int(keys[i])*first.Stride + first.Offset
		head := uint32(first.Words[o])
		if head != 0 {
			nodes[head-1].prev = x
		} else if first.Words[o+other] == 0 {
			c.used++
		}
		nodes[x] = node{times[i], head, headMark | keys[i]}
		first.Words[o] = int64(x) + 1
	}
}

// keepKeys is how many keys without rows are kept in any case: keys come back, and then need not be made again.
const keepKeys = 4096

// unlink takes rows out of their chains. When more keys are without rows than with, those are dropped.
func (c *chains) unlink(which int, s *side, slots []uint32) error {
	c.unlinkOnly(which, s, slots)
	if c.table.Len() <= 2*c.used+keepKeys {
		return nil
	}
	return c.sweep()
}

// unlinkOnly is unlink that drops no keys: their slots may be in use.
func (c *chains) unlinkOnly(which int, s *side, slots []uint32) {
	first, other, nodes := c.first(which), c.first(1-which), s.nodes
	for _, x := range slots {
		n := &nodes[x]
		if n.next != 0 {
			nodes[n.next-1].prev = n.prev
		}
		if n.prev&headMark == 0 {
			nodes[n.prev].next = n.next
			continue
		}
		key := n.prev &^ headMark
		first.Words[int(key)*first.Stride+first.Offset] = int64(n.next)
		if n.next == 0 && other.At(key) == 0 {
			c.used--
		}
	}
}

// sweep drops the keys without rows.
func (c *chains) sweep() error {
	first, other := c.first(0), c.first(1)
	return c.table.Scan(func(keys []uint32) error {
		c.empty = c.empty[:0]
		for _, k := range keys {
			if first.At(k) == 0 && other.At(k) == 0 {
				c.empty = append(c.empty, k)
			}
		}
		return c.table.Drop(c.empty)
	})
}

// restore links all rows of a side, and calls visit for each piece of them.
func (c *chains) restore(which int, s *side, visit func(slots []uint32) error) error {
	if c.keys == nil {
		for _, k := range s.keys {
			c.keys = append(c.keys, core.NewVector(s.account, s.schema.Fields[k].Type, 0))
		}
	}
	var times []int64
	return s.table.Scan(func(slots []uint32) error {
		n := len(slots)
		for i, k := range s.keys {
			c.keys[i].Reset()
			if err := s.table.AppendValues(c.keys[i], s.field[k], slots); err != nil {
				return err
			}
		}
		c.hashes, c.slots, times = resize(c.hashes, n), resize(c.slots, n), resize(times, n)
		hash.Columns(c.keys, n, nil, c.hashes)
		if _, err := c.table.Upsert(c.keys, c.hashes, nil, n, c.slots, nil); err != nil {
			return err
		}
		if err := s.room(slots); err != nil {
			return err
		}
		clear(times)
		i := 0
		s.times(slots, func(_ uint32, t int64) { times[i] = t; i++ })
		c.link(which, s, slots, c.slots, times)
		return visit(slots)
	})
}
