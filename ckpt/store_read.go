package ckpt

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// Selection says which pages to restore.
type Selection struct {
	Operator, Table string
	FromGroup       int // first key group
	ToGroup         int // first key group after
}

// Restore visits every page of a table in a range of key groups as it was at a completed checkpoint, in the order of key
// group and number: its chain from the whole page on, oldest first. Data is valid until visit returns. Contents are
// checked: a *PageError names what is damaged.
func (s *Store) Restore(at uint64, sel Selection, visit func(PageID, []Version) error) error {
	if at == 0 {
		return nil
	}
	if sel.FromGroup < 0 || sel.ToGroup > math.MaxUint16 || sel.FromGroup > sel.ToGroup {
		return fmt.Errorf("restore of %s/%s: key groups %d to %d are no range", sel.Operator, sel.Table, sel.FromGroup, sel.ToGroup)
	}
	prefix := appendTablePrefix(nil, sel.Operator, sel.Table)
	bound := func(group int) []byte {
		return append(prefix[:len(prefix):len(prefix)], byte(group>>8), byte(group))
	}
	return s.restore(Scan{From: bound(sel.FromGroup), To: bound(sel.ToGroup), At: at, Values: true}, visit)
}

func (s *Store) restore(scan Scan, visit func(PageID, []Version) error) error {
	r := restorer{at: scan.At, visit: visit}
	if err := s.back.Scan(scan, r.item); err != nil {
		return err
	}
	return r.finish()
}

// restorer assembles chains from a scan.
type restorer struct {
	at     uint64
	visit  func(PageID, []Version) error
	key    []byte
	page   PageID
	found  []found // newest first
	data   []byte  // of found, one after the other
	whole  bool
	active bool
	chain  []Version
}

type found struct {
	version    uint64
	kind       Kind
	start, end int // in data
}

func (r *restorer) item(item Item) (Next, error) {
	if !r.active || string(r.key) != string(item.Key) {
		if err := r.finish(); err != nil {
			return Older, err
		}
		page, err := parseKey(item.Key)
		if err != nil {
			return Older, err
		}
		if item.Kind == Tombstone {
			return NextKey, nil
		}
		r.key, r.page, r.active = append(r.key[:0], item.Key...), page, true
	}
	if item.Err != nil {
		return Older, &PageError{r.page, item.Version, fmt.Errorf("%w: %w", ErrDamaged, item.Err)}
	}
	switch item.Kind {
	case Tombstone:
		return NextKey, nil // finish reports the hole
	case Whole, Delta, bundle:
	default:
		return Older, &PageError{r.page, item.Version, fmt.Errorf("%w (%v)", ErrDamaged, item.Kind)}
	}
	data, err := openValue(item.Key, item.Version, item.Kind, item.Value)
	if err != nil {
		return Older, &PageError{r.page, item.Version, err}
	}
	start := len(r.data)
	r.data = append(r.data, data...)
	r.found = append(r.found, found{item.Version, item.Kind, start, len(r.data)})
	r.whole = item.Kind.ends()
	return Next(r.whole), nil
}

// finish hands the chain over that was being assembled, if any.
func (r *restorer) finish() error {
	if !r.active {
		return nil
	}
	if !r.whole {
		return &PageError{r.page, r.at, fmt.Errorf("%w: no whole page under its deltas", ErrBroken)}
	}
	r.chain = r.chain[:0]
	for i := len(r.found) - 1; i >= 0; i-- {
		f := r.found[i]
		data := r.data[f.start:f.end:f.end]
		if f.kind != bundle {
			r.chain = append(r.chain, Version{f.version, f.kind, data})
			continue
		}
		var err error
		if r.chain, err = openBundle(r.chain, data); err != nil {
			return &PageError{r.page, f.version, err}
		}
	}
	err := r.visit(r.page, r.chain)
	r.active, r.whole, r.found, r.data = false, false, r.found[:0], r.data[:0]
	return err
}

// TableRef names a table of keyed state.
type TableRef struct{ Operator, Table string }

// Tables lists the tables that have pages in the last completed (or recovered) checkpoint, in no particular order.
func (s *Store) Tables() []TableRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[uint32]bool{}
	var refs []TableRef
	for k := range s.inv.live {
		if !seen[k.table] {
			seen[k.table] = true
			refs = append(refs, TableRef{s.inv.names[k.table][0], s.inv.names[k.table][1]})
		}
	}
	return refs
}

// PagesAfter lists the pages with versions of checkpoints after the given one, in the order of their names.
func (s *Store) PagesAfter(checkpoint uint64) ([]PageID, error) {
	var ids []PageID
	err := s.scanAll(Scan{After: checkpoint, At: math.MaxUint64}, func(id PageID, _ Item) (Next, error) {
		ids = append(ids, id)
		return NextKey, nil
	})
	return ids, err
}

// Check reads every page of a completed checkpoint and returns all that is wrong, joined.
func (s *Store) Check(at uint64) error {
	var errs []error
	from, to := []byte{'p'}, []byte{'p' + 1}
	for {
		err := s.restore(Scan{From: from, To: to, At: at, Values: true}, func(PageID, []Version) error { return nil })
		var damaged *PageError
		if !errors.As(err, &damaged) {
			return errors.Join(append(errs, err)...)
		}
		errs = append(errs, err)
		if len(errs) >= 100 {
			return errors.Join(append(errs, errors.New("... and perhaps more"))...)
		}
		from = append(appendKey(nil, damaged.Page), 0)
	}
}

// putBuffer builds records in memory that is used again.
type putBuffer struct {
	records []Record
	hashes  []uint64
	spans   []span
	keys    []byte
	values  []byte
}

type span struct{ key, value int } // ends in keys and values

var putBuffers = sync.Pool{New: func() any { return new(putBuffer) }}

func (b *putBuffer) reset() {
	b.records, b.hashes, b.spans = b.records[:0], b.hashes[:0], b.spans[:0]
	b.keys, b.values = b.keys[:0], b.values[:0]
	if cap(b.values) > 4*putBytes {
		b.values = nil
	}
}

func (b *putBuffer) add(version uint64, id PageID, kind Kind, data []byte) {
	start := len(b.keys)
	b.keys = appendKey(b.keys, id)
	key := b.keys[start:]
	b.values = appendValue(b.values, key, version, kind, data)
	b.spans = append(b.spans, span{len(b.keys), len(b.values)})
	b.hashes = append(b.hashes, versionHash(key, version, kind))
	b.records = append(b.records, Record{Kind: kind, Ends: kind.ends()})
}

// finish returns the records; they are valid until reset.
func (b *putBuffer) finish() []Record {
	var last span
	for i, s := range b.spans {
		b.records[i].Key = b.keys[last.key:s.key:s.key]
		b.records[i].Value = b.values[last.value:s.value:s.value]
		last = s
	}
	return b.records
}
