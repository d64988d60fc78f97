package state

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"turbo/memory"
)

// ErrAbandoned is returned by Write of a Frozen that was abandoned.
var ErrAbandoned = errors.New("state: the checkpoint was abandoned")

// Frozen is what a table has to write for one checkpoint. The worker makes it at the barrier and goes on writing the table; a
// background goroutine calls Write once; then the worker calls Complete or Abandon.
//
// Race: the worker's first write to a page after the freeze and the writer's copying of that page. Both do it under mu, and each looks at done first, so
// the rows are taken once, before the worker's write. The worker encodes the page there and then: it is about to be in its caches, and encoded it is a fraction
// of the memory. Of a table with variable-width values it copies the rows instead: the values, which may be many times as large, lie in the heap, which is pinned.
// The writer, whom nobody waits for, copies the rows and encodes them when it has let go of mu. After Abandon the worker saves nothing more, so the writer looks
// at abandoned under mu before it copies. Everything else that the writer reads is its own (units, pages) or does not change (the words of pages not thawed,
// bytes in the heap while it is pinned).
type Frozen struct {
	table   *Table // the writer uses only its layout, options and account
	words   []uint64
	arena   *arena
	data    [][]byte // the heap's blocks
	units   []frozenUnit
	pages   []frozenPage
	at      []int32 // by entry of the table's page list: index in pages, or -1
	dropped []name  // to be written as tombstones
	count   int     // of pages and dropped
	gone    []name  // all names given up since the last checkpoint that may still be in it
	frozen  int     // pages that the worker has not thawed; only it looks

	mu        sync.Mutex
	abandoned bool
	writing   bool
	written   bool
	resolved  bool
	bytes     int64
}

type frozenUnit struct{ dirty, live, need uint64 }

type frozenPage struct {
	page  page
	entry uint32
	units int // first in Frozen.units
	rows  int // to be written
	kind  PageKind
	done  bool
	saved []byte // by the worker: encoded, or the rows of a table with variable-width values
}

// Freeze begins a checkpoint: what is in the table now is what Write will write, whatever happens to the table meanwhile. It costs some
// nanoseconds per 64 slots. The Frozen before must have been completed or abandoned.
func (t *Table) Freeze() (*Frozen, error) {
	if t.frozen != nil {
		return nil, fmt.Errorf("table %s of %s: frozen again before the checkpoint before was completed or abandoned", t.options.Table, t.options.Operator)
	}
	t.heap.trySettle()
	p := &t.pages
	f := &Frozen{table: t, words: t.rows.words, arena: t.rows}
	if old := t.spent; old != nil { // its slices, so that a checkpoint a second makes no garbage to speak of
		t.spent = nil
		f.at, f.units, f.pages = old.at[:0], old.units[:0], old.pages[:0]
	}
	f.at = slices.Grow(f.at, len(p.list))[:len(p.list)]
	f.units = slices.Grow(f.units, len(p.units))
	for id := range p.list {
		e := &p.list[id]
		f.at[id] = -1
		var dirty int
		units := p.units[e.first : e.first+e.units]
		for i := range units {
			dirty += bits.OnesCount64(units[i].dirty)
		}
		if dirty == 0 && (e.based || e.units == 0) {
			continue
		}
		fp := frozenPage{page: *e, entry: uint32(id), units: len(f.units), kind: DeltaPage}
		if !e.based || e.deltas >= wholeEvery || 2*dirty >= int(e.live) {
			fp.kind = WholePage
		}
		for i := range units {
			u := &units[i]
			need := u.live
			if fp.kind == DeltaPage {
				need &= u.dirty
			}
			f.units = append(f.units, frozenUnit{u.dirty, u.live, need})
			fp.rows += bits.OnesCount64(need)
			u.dirty = 0
		}
		f.at[id] = int32(len(f.pages))
		f.pages = append(f.pages, fp)
	}
	f.gone = p.dropped
	p.dropped = nil
	f.dropped = t.missing(f.gone)
	f.count = len(f.pages) + len(f.dropped)
	f.frozen = len(f.pages)
	p.epoch++
	if t.variable {
		f.data = append([][]byte(nil), t.heap.data...)
	}
	t.heap.pins.Add(1)
	t.rows.retain()
	t.frozen = f
	return f, nil
}

// missing returns those of names that no page has, each once.
func (t *Table) missing(names []name) []name {
	if len(names) == 0 {
		return nil
	}
	set := make(map[name]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	for i := range t.pages.list {
		if e := &t.pages.list[i]; e.units > 0 {
			delete(set, name{e.group, e.number})
		}
	}
	out := make([]name, 0, len(set))
	for _, n := range names {
		if set[n] {
			out = append(out, n)
			delete(set, n)
		}
	}
	return out
}

// thaw makes the page of unit u, which is not of the current epoch, writable: what a running checkpoint still needs of it is saved first.
func (t *Table) thaw(u uint32) error {
	id := t.pages.units[u].page
	if f := t.frozen; f != nil && int(id) < len(f.at) && f.at[id] >= 0 {
		if err := f.save(t.account, int(f.at[id])); err != nil {
			return err
		}
		f.frozen--
	}
	e := &t.pages.list[id]
	units := t.pages.units[e.first : e.first+e.units]
	for i := range units {
		units[i].epoch = t.pages.epoch
	}
	return nil
}

// save encodes a page, or copies its rows when their values are in the heap, if the writer has not taken it.
func (f *Frozen) save(account *memory.Account, i int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &f.pages[i]
	if p.done || f.abandoned {
		return nil
	}
	buffers := writeBuffers.Get().(*writeBuffer)
	defer writeBuffers.Put(buffers)
	rows := f.rowsOf(p, buffers)
	saving := viewBytes(rows[:p.rows*f.table.stride])
	if !f.table.variable {
		buffers.encoded = f.encode(buffers.encoded[:0], p, rows)
		saving = buffers.encoded
	}
	saved, err := allocate(account, len(saving))
	if err != nil {
		return err
	}
	copy(saved, saving)
	p.saved, p.done = saved, true
	return nil
}

// rowsOf returns the rows of a page that are needed, packed, in place if all are. mu is held.
func (f *Frozen) rowsOf(p *frozenPage, buffers *writeBuffer) []uint64 {
	all := ^uint64(0)
	for _, u := range f.units[p.units : p.units+int(p.page.units)] {
		all &= u.need
	}
	if stride := f.table.stride; all == ^uint64(0) {
		return f.words[int(p.page.first)*64*stride:][:p.rows*stride]
	}
	f.copyRows(buffers, p)
	return buffers.rows
}

// copyRows copies the rows of a page that are needed, packed. mu is held.
func (f *Frozen) copyRows(buffers *writeBuffer, p *frozenPage) {
	stride := f.table.stride
	if n := p.rows * stride; n > len(buffers.rows) {
		buffers.rows = make([]uint64, n)
	}
	dst := buffers.rows
	src := f.words[int(p.page.first)*64*stride:]
	n := 0
	for i, u := range f.units[p.units : p.units+int(p.page.units)] {
		base := i * 64 * stride
		if u.need == ^uint64(0) {
			n += copy(dst[n:], src[base:base+64*stride])
			continue
		}
		for need := u.need; need != 0; need &= need - 1 {
			o := base + bits.TrailingZeros64(need)*stride
			row := src[o : o+stride]
			for k := range row {
				dst[n+k] = row[k]
			}
			n += stride
		}
	}
}

// Pages returns the number of pages that the checkpoint writes; tombstones count.
func (f *Frozen) Pages() int { return f.count }

// Bytes returns the encoded bytes that Write has handed to the sink. Any goroutine may call it.
func (f *Frozen) Bytes() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

// Write encodes the pages and gives them to sink, a mebibyte or so at a time. It is called once, by any goroutine, and
// returns ErrAbandoned soon after Abandon, else the sink's error.
func (f *Frozen) Write(sink PageSink) error {
	f.mu.Lock()
	if f.writing || f.written || f.resolved {
		f.mu.Unlock()
		return ErrAbandoned
	}
	f.writing = true
	f.mu.Unlock()
	err := f.write(sink)
	f.mu.Lock()
	f.writing = false
	f.written = err == nil
	last := f.abandoned
	if last {
		f.dropSaved()
	}
	f.mu.Unlock()
	if last {
		f.unpin()
	}
	return err
}

// writeBuffer is the memory for encoding pages, between two of them.
type writeBuffer struct {
	encoded []byte
	rows    []uint64
}

var writeBuffers = sync.Pool{New: func() any { return new(writeBuffer) }}

func (f *Frozen) write(sink PageSink) error {
	t := f.table
	buffers := writeBuffers.Get().(*writeBuffer)
	out := pageWriter{sink: sink, operator: t.options.Operator, table: t.options.Table, buffer: buffers.encoded[:0]}
	defer func() {
		buffers.encoded = out.buffer
		writeBuffers.Put(buffers)
	}()
	for i := range f.pages {
		p := &f.pages[i]
		f.mu.Lock()
		if f.abandoned {
			f.mu.Unlock()
			return ErrAbandoned
		}
		saved := p.saved
		p.saved = nil
		if !p.done {
			f.copyRows(buffers, p)
			p.done = true
		}
		f.bytes = out.bytes
		f.mu.Unlock()
		out.begin(p.page.group, p.page.number, p.kind)
		switch {
		case saved == nil:
			out.buffer = f.encode(out.buffer, p, buffers.rows)
		case t.variable:
			out.buffer = f.encode(out.buffer, p, viewWords(saved))
		default:
			out.buffer = append(out.buffer, saved...)
		}
		t.account.Free(saved)
		if err := out.end(); err != nil {
			return err
		}
	}
	for _, n := range f.dropped {
		out.begin(n.group, n.number, Tombstone)
		if err := out.end(); err != nil {
			return err
		}
	}
	err := out.flush()
	f.mu.Lock()
	f.bytes = out.bytes
	f.mu.Unlock()
	return err
}

// Complete says that the checkpoint is durable: later ones are relative to it. The worker calls it, after Write succeeded.
func (f *Frozen) Complete() error {
	f.mu.Lock()
	if !f.written || f.resolved {
		f.mu.Unlock()
		return errors.New("state: a checkpoint was completed that is not written, or resolved already")
	}
	f.resolved = true
	f.mu.Unlock()
	t := f.table
	for i := range f.pages {
		p := &f.pages[i]
		e := t.pages.entry(p)
		if e == nil { // given up meanwhile: the next checkpoint says so
			t.pages.dropped = append(t.pages.dropped, name{p.page.group, p.page.number})
			continue
		}
		e.based = true
		if p.kind == WholePage {
			e.deltas = 0
		} else {
			e.deltas++
		}
	}
	t.frozen, t.spent = nil, f
	f.unpin()
	t.heap.trySettle()
	return nil
}

// Abandon gives the checkpoint up at any time: what it would have written is dirty again. The worker calls it. A Write that runs
// ends soon.
func (f *Frozen) Abandon() {
	f.mu.Lock()
	if f.resolved {
		f.mu.Unlock()
		return
	}
	f.resolved, f.abandoned = true, true
	running := f.writing
	if !running {
		f.dropSaved()
	}
	f.mu.Unlock()
	t := f.table
	for i := range f.pages {
		p := &f.pages[i]
		e := t.pages.entry(p)
		if e == nil {
			continue
		}
		units := t.pages.units[e.first : e.first+e.units]
		for k := range units {
			units[k].dirty |= f.units[p.units+k].dirty
		}
	}
	t.pages.dropped = append(f.gone, t.pages.dropped...)
	t.frozen = nil
	if !running {
		f.unpin()
	}
}

// dropSaved frees what the worker saved and nobody will write. mu is held.
func (f *Frozen) dropSaved() {
	for i := range f.pages {
		p := &f.pages[i]
		if p.saved != nil {
			f.table.account.Free(p.saved)
			p.saved = nil
		}
		p.done = true
	}
}

// unpin gives up the rows and the heap; called once, when neither Write runs nor will run.
func (f *Frozen) unpin() {
	f.table.heap.pins.Add(-1)
	f.arena.release()
}
