package state

import (
	"errors"
	"fmt"

	"turbo/core"
	"turbo/memory"
)

// Backend is the keyed state of one worker: every table of every operator instance on it.
type Backend struct {
	keyGroups, from, to int
	source              PageSource // nil: nothing to restore
	tables              []*Table
}

// NewBackend returns the state of the worker that owns the key groups [from, to) of keyGroups. Tables are restored from
// source when they are asked for; nil starts empty.
func NewBackend(keyGroups, from, to int, source PageSource) *Backend {
	return &Backend{keyGroups: keyGroups, from: from, to: to, source: source}
}

// Operator returns the tables of one operator; their memory is account's.
func (b *Backend) Operator(id string, account *memory.Account) core.TableFactory {
	return operatorTables{b, id, account}
}

type operatorTables struct {
	backend  *Backend
	operator string
	account  *memory.Account
}

// Table implements core.TableFactory.
func (o operatorTables) Table(name string, keys, values []core.Field) (core.KeyedTable, error) {
	return o.open(name, keys, values, false)
}

// Bags is a table factory that also makes bags; a Backend's is one.
type Bags interface {
	// Bag returns the bag named name: a table without keys whose rows are found by slot only (see Table.Insert).
	Bag(name string, values []core.Field) (*Table, error)
}

// Bag implements Bags.
func (o operatorTables) Bag(name string, values []core.Field) (*Table, error) {
	return o.open(name, nil, values, true)
}

func (o operatorTables) open(name string, keys, values []core.Field, bag bool) (*Table, error) {
	b := o.backend
	for _, t := range b.tables {
		if t.options.Operator == o.operator && t.options.Table == name {
			return nil, fmt.Errorf("operator %s asks for its table %s twice", o.operator, name)
		}
	}
	t, err := New(Options{o.operator, name, keys, values, o.account, b.keyGroups, b.from, b.to, bag})
	if err != nil {
		return nil, err
	}
	if b.source != nil {
		if err := t.Restore(b.source); err != nil {
			t.Close()
			return nil, err
		}
	}
	b.tables = append(b.tables, t)
	return t, nil
}

// Tables returns the tables in the order in which they were asked for.
func (b *Backend) Tables() []*Table { return b.tables }

// Name returns the operator and the name of the table.
func (t *Table) Name() (operator, table string) { return t.options.Operator, t.options.Table }

// Layout renders the columns, keys -> values.
func (t *Table) Layout() string { return t.text }

// Bytes returns the memory that all tables hold.
func (b *Backend) Bytes() int64 {
	var n int64
	for _, t := range b.tables {
		n += t.Bytes()
	}
	return n
}

// Snapshot is the Frozen of every table.
type Snapshot struct{ parts []*Frozen }

// Freeze freezes every table, at a barrier. An error means that the snapshot before was not resolved, and nothing is frozen.
func (b *Backend) Freeze() (*Snapshot, error) {
	s := &Snapshot{}
	for _, t := range b.tables {
		f, err := t.Freeze()
		if err != nil {
			s.Abandon()
			return nil, err
		}
		s.parts = append(s.parts, f)
	}
	return s, nil
}

// Write writes every table's pages, off the worker. It is called once.
func (s *Snapshot) Write(sink PageSink) error {
	for _, f := range s.parts {
		if err := f.Write(sink); err != nil {
			return err
		}
	}
	return nil
}

// Complete says that the checkpoint is durable. The worker calls it.
func (s *Snapshot) Complete() error {
	var errs []error
	for _, f := range s.parts {
		errs = append(errs, f.Complete())
	}
	return errors.Join(errs...)
}

// Abandon gives the checkpoint up. The worker calls it, at any time.
func (s *Snapshot) Abandon() {
	for _, f := range s.parts {
		f.Abandon()
	}
}

// Pages returns how many pages are written, Bytes how many bytes were handed to the sink so far.
func (s *Snapshot) Pages() int {
	n := 0
	for _, f := range s.parts {
		n += f.Pages()
	}
	return n
}

// Bytes returns the bytes that Write has handed to the sink. Any goroutine may call it.
func (s *Snapshot) Bytes() int64 {
	var n int64
	for _, f := range s.parts {
		n += f.Bytes()
	}
	return n
}

// Close frees every table.
func (b *Backend) Close() {
	for _, t := range b.tables {
		t.Close()
	}
	b.tables = nil
}
