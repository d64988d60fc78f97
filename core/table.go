package core

// TableFactory gives an operator its keyed state, restored from the checkpoint that the job starts from.
type TableFactory interface {
	// Table returns the table named name of this operator instance: it holds the key groups of the instance's worker.
	// Key and value columns are fixed for the life of the state; a restored table with others is refused.
	Table(name string, keys, values []Field) (KeyedTable, error)
}

// KeyedTable is keyed state in columns: one row of state a key, found by a slot number. One worker owns it.
//
// An operator first turns a batch of keys into slots, announces which slots it will write, then reads and writes
// the values by the typed accessors of the implementation in package state (Table.Ints, Floats, Words and their like), in loops over
// slices. Slots stay valid until they are dropped.
type KeyedTable interface {
	// Upsert finds or creates the row of each selected key (keys: the key columns of a batch; hashes by physical row;
	// sel as in Batch, nil for all n rows) and writes its slot to slots, one a selected row, in order. Keys are compared
	// in full on a hash hit. New rows have zero in NOT NULL fixed-width values and null in all others. It returns the number of rows
	// created; they are the slots that created marks when it is not nil. An error is the memory limit's.
	Upsert(keys []*Vector, hashes []uint64, sel []int32, n int, slots []uint32, created []bool) (int, error)
	// Lookup is Upsert without creating: the slot of a key that is not there is NoSlot.
	Lookup(keys []*Vector, hashes []uint64, sel []int32, n int, slots []uint32) error
	// Touch announces writes to slots, before them: it marks them dirty and saves what a running checkpoint still needs.
	Touch(slots []uint32) error
	// Drop removes rows. Their slots may be used again.
	Drop(slots []uint32) error
	// Len returns the number of rows.
	Len() int
}

// NoSlot is the slot of a key that a table does not have.
const NoSlot = ^uint32(0)
