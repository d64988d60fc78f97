package state

import (
	"fmt"

	"turbo/core"
)

// BroadcastTables is a core.TableFactory that makes broadcast state too: rows that every worker has in full, because every worker gets the same
// changes. Operator returns one.
type BroadcastTables interface {
	core.TableFactory
	// BroadcastTable returns two tables of the same columns, restored. all has every row of the state: the rows of all key groups, whichever
	// worker saved them. It is in no checkpoint, and the caller closes it. own is what this worker saves, an ordinary table of its key groups: the
	// caller keeps it equal to the rows of all in them. So a checkpoint has each row once, and after a restart at any parallelism every worker
	// has all of them.
	BroadcastTable(name string, keys, values []core.Field) (all, own *Table, err error)
}

// BroadcastTable implements BroadcastTables.
func (o operatorTables) BroadcastTable(name string, keys, values []core.Field) (all, own *Table, err error) {
	saved, err := o.Table(name, keys, values)
	if err != nil {
		return nil, nil, err
	}
	own, ok := saved.(*Table)
	if !ok {
		return nil, nil, fmt.Errorf("table %s of %s is a %T", name, o.operator, saved)
	}
	b := o.backend
	all, err = New(Options{Operator: o.operator, Table: name, Keys: keys, Values: values, Account: o.account, KeyGroups: b.keyGroups, To: b.keyGroups})
	if err != nil {
		return nil, nil, err
	}
	if b.source != nil {
		if err := all.Restore(b.source); err != nil {
			all.Close()
			return nil, nil, err
		}
	}
	return all, own, nil
}

var _ BroadcastTables = operatorTables{}
