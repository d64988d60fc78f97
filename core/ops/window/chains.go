package window

import (
	"turbo/core"
	"turbo/core/hash"
	"turbo/memory"
	"turbo/state"
)

// none is the end of a chain.
const none = core.NoSlot

// chains finds the windows of a key: an index from key to a chain of the slots of its windows, those with later starts first (of one start, later
// ends first). It is in memory only and follows from the table of windows, whose rows have the key.
type chains struct {
	account  *memory.Account
	index    *state.Table // without values; nil without keys, when the only key has slot 0
	head     []uint32     // by slot of the index
	next     []uint32     // by slot of a window
	owner    []uint32     // by slot of a window: the slot of its key
	reserved int64
}

func newChains(ctx *core.OperatorContext, keys []core.Field, from, to int) (*chains, error) {
	c := &chains{account: ctx.Account}
	if len(keys) == 0 {
		return c, c.growHead(0)
	}
	var err error
	c.index, err = state.New(state.Options{Operator: ctx.ID, Table: "index of windows", Keys: keys, Account: ctx.Account, KeyGroups: ctx.KeyGroups, From: from, To: to})
	return c, err
}

// grow makes s hold index i, filled with x, and reserves what that takes.
func grow[T any](c *chains, s []T, i, size int, x T) ([]T, error) {
	if i < len(s) {
		return s, nil
	}
	n := max(1024, 2*len(s), i+1)
	more := int64(n-len(s)) * int64(size)
	if err := c.account.Reserve(more); err != nil {
		return s, err
	}
	c.reserved += more
	old := len(s)
	s = append(make([]T, 0, n), s...)[:n]
	for j := old; j < n; j++ {
		s[j] = x
	}
	return s, nil
}

func (c *chains) growHead(k uint32) (err error) {
	c.head, err = grow(c, c.head, int(k), 4, none)
	return err
}

// find writes the index slot of each live row of b, and appends those of new keys to fresh. created is scratch, as long as slots.
func (c *chains) find(b *core.Batch, keys []*core.Vector, hashes []uint64, slots []uint32, created []bool, fresh []uint32) ([]uint32, error) {
	if c.index == nil {
		clear(slots)
		return fresh, nil
	}
	n, err := c.index.Upsert(keys, hashes, b.Sel, b.Len, slots, created)
	if err != nil {
		return fresh, err
	}
	for i := 0; n > 0; i++ {
		if !created[i] {
			continue
		}
		n--
		k := slots[i]
		if err := c.growHead(k); err != nil {
			return fresh, err
		}
		c.head[k] = none
		fresh = append(fresh, k)
	}
	return fresh, nil
}

// link puts window s of key k into its chain, behind prev (none: first).
func (c *chains) link(k, prev, s uint32) (err error) {
	if c.next, err = grow(c, c.next, int(s), 4, none); err != nil {
		return err
	}
	if c.owner, err = grow(c, c.owner, int(s), 4, none); err != nil {
		return err
	}
	c.owner[s] = k
	if prev == none {
		c.next[s], c.head[k] = c.head[k], s
	} else {
		c.next[s], c.next[prev] = c.next[prev], s
	}
	return nil
}

// unlink takes window s out of its chain.
func (c *chains) unlink(s uint32) {
	k := c.owner[s]
	if c.head[k] == s {
		c.head[k] = c.next[s]
		return
	}
	p := c.head[k]
	for c.next[p] != s {
		p = c.next[p]
	}
	c.next[p] = c.next[s]
}

// dropEmpty forgets those keys of the list, which may repeat, that have no windows.
func (c *chains) dropEmpty(keys []uint32) error {
	if c.index == nil {
		return nil
	}
	n := 0
	for _, k := range keys {
		if c.head[k] == none {
			c.head[k] = none - 1 // once
			keys[n] = k
			n++
		}
	}
	for _, k := range keys[:n] {
		c.head[k] = none
	}
	return c.index.Drop(keys[:n])
}

// restore finds the keys of the windows in slots, which a table has just been scanned for.
func (c *chains) restore(t *state.Table, slots []uint32, keys []core.Field, found []uint32) error {
	if c.index == nil {
		clear(found)
		return nil
	}
	b := core.Batch{Len: len(slots)}
	columns := make([]*core.Vector, len(keys))
	for i, f := range keys {
		columns[i] = core.NewVector(c.account, f.Type, len(slots))
		defer columns[i].Release()
		if err := t.AppendValues(columns[i], i, slots); err != nil {
			return err
		}
	}
	hashes := make([]uint64, len(slots))
	hash.Columns(columns, len(slots), nil, hashes)
	_, err := c.find(&b, columns, hashes, found, make([]bool, len(slots)), nil)
	return err
}

func (c *chains) close() {
	if c.index != nil {
		c.index.Close()
	}
	c.account.Unreserve(c.reserved)
	c.reserved = 0
}
