package file

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"

	"turbo/core"
	"turbo/io/compress"
	"turbo/io/connector"
	"turbo/io/ledger"
)

// Parts says how files of a container format are made of parts that are appended to one another.
type Parts struct {
	// Wrap stands between a part's writer and the file; nil: parts are written as they are.
	Wrap func(to io.Writer, first bool) io.Writer
	// Footer makes the file's end, given where each part ends. Without Wrap a single part needs none.
	Footer func(r io.ReaderAt, ends []int64) ([]byte, error)
}

// PartsOf knows the containers that can be made of parts, by the format's name; nil for others.
func PartsOf(format string) *Parts {
	switch format {
	case "parquet":
		return &Parts{Footer: parquetFooter}
	case "arrow":
		return &Parts{Wrap: newArrowPart, Footer: arrowFooter}
	}
	return nil
}

// holder is a container's writer that can keep its buffers' memory for the next rows once it has written what is in them. Without
// Hold(true) it gives it back. It is asked to while all rows of a worker go to one file.
type holder interface{ Hold(hold bool) }

// committable is what a worker puts into a checkpoint.
type committable struct {
	Worker int           `json:"worker"`
	Sealed []ledger.File `json:"sealed,omitempty"` // complete, to be shown (unless an earlier commit has)
	Open   []openRecord  `json:"open,omitempty"`   // with their durable prefix
}

// sealedFile is a file that waits for a checkpoint that covers it to be committed.
type sealedFile struct {
	ledger.File
	prepared uint64 // the first checkpoint that has it; 0: none yet
}

// writer writes the rows of one worker: the blocking side behind a connector.AsyncWriter.
type writer struct {
	sink    *Sink
	worker  int
	encoder connector.Encoder // of text formats
	split   partitioner
	open    map[string]*openFile // by partition
	sealed  []sealedFile
	names   *dirSync // directories with new hidden names
	flush   *flusher
	base    uint64 // newest prepared checkpoint
	seq     int    // files opened since then
	text    []byte
	ends    []int32
	failed  error
}

// Write implements connector.Writer.
func (w *writer) Write(_ context.Context, b *core.Batch) error {
	defer b.Release()
	if w.check() != nil {
		return w.failed
	}
	if b.Rows() == 0 {
		return nil
	}
	now := w.sink.clock.Now()
	groups := w.split.split(b)
	if groups == nil {
		w.failed = w.write("", b, b.Sel, now)
	}
	for _, g := range groups {
		if w.failed == nil {
			w.failed = w.write(g.partition, b, g.rows, now)
		}
	}
	w.split.done()
	return w.failed
}

// check returns what has failed, here or on the way to the disk.
func (w *writer) check() error {
	if w.failed == nil {
		w.failed = w.flush.failed()
	}
	return w.failed
}

// write puts rows of a batch into the open file of a partition. A nil sel means all rows.
func (w *writer) write(partition string, b *core.Batch, sel []int32, now time.Time) error {
	f := w.open[partition]
	if f == nil {
		var err error
		if f, err = w.create(partition, now); err != nil {
			return err
		}
	}
	view := w.view(b, sel)
	rows := int64(view.Rows())
	f.dirty = true
	if w.encoder != nil {
		var err error
		w.text, w.ends, err = w.encoder.Encode(w.text[:0], w.ends[:0], view)
		view.Release()
		if err != nil {
			return fmt.Errorf("sink %s: %w", w.sink.o.Name, err)
		}
		if _, err := f.text.Write(w.text); err != nil {
			return f.failed(err)
		}
		if cap(w.text) > 4<<20 {
			w.text = nil
		}
	} else {
		if f.container == nil {
			var err error
			if f.container, err = w.sink.newContainer(f); err != nil {
				view.Release()
				return f.failed(err)
			}
		}
		if h, ok := f.container.(holder); ok {
			h.Hold(len(w.open) == 1)
		}
		if err := f.container.Write(view); err != nil {
			return f.failed(err)
		}
	}
	f.rows += rows
	f.written = now
	f.syncEarly(w.flush)
	if err := w.relieve(); err != nil {
		return err
	}
	if limit := w.sink.o.Roll.Size; limit > 0 && f.size() >= limit || len(f.parts) >= maxParts {
		return w.seal(f)
	}
	return nil
}

// relieve ends the part of the container that buffers most while all of this worker's together buffer more than its share of
// the memory budget: many open partitions make smaller row groups, not a failed job.
func (w *writer) relieve() error {
	if w.encoder != nil || w.sink.o.Parts == nil || w.sink.o.Account == nil {
		return nil
	}
	// Vectors double, and growing needs the old and the new one at once: what is buffered takes up to three times its size.
	budget := max(w.sink.o.Account.Pool().Limit()/24/int64(max(w.sink.o.Parallelism, 1)), 256<<10)
	for {
		var sum, most int64
		var largest *openFile
		for _, f := range w.open {
			if f.container == nil {
				continue
			}
			n := f.container.Buffered()
			sum += n
			if n > most || n == most && n > 0 && f.path < largest.path {
				most, largest = n, f
			}
		}
		if sum <= budget || largest == nil {
			return nil
		}
		if err := largest.endFrame(); err != nil {
			return largest.failed(err)
		}
	}
}

// view is the batch without partition columns, narrowed to sel; it shares the columns.
func (w *writer) view(b *core.Batch, sel []int32) *core.Batch {
	v := core.NewBatch(b.Account(), w.sink.o.Schema)
	v.Len = b.Len
	for _, c := range w.sink.kept {
		v.Columns = append(v.Columns, b.Columns[c].Retain())
	}
	if sel != nil {
		v.Sel = v.SelBuffer(len(sel))
		copy(v.Sel, sel)
	}
	if b.Kinds != nil {
		copy(v.MakeKinds(len(b.Kinds)), b.Kinds)
	}
	return v
}

func (w *writer) create(partition string, now time.Time) (*openFile, error) {
	o := &w.sink.o
	if len(w.open) >= o.MaxOpen {
		if err := w.sealOldest(); err != nil {
			return nil, err
		}
	}
	reserved, err := w.reserve()
	if err != nil {
		return nil, err
	}
	w.seq++
	visible := path.Join(partition, fileName(o.Job, o.Run, w.worker, w.base, w.seq, o.Extension))
	file, err := create(o.FS, o.Dir, visible)
	if err != nil {
		w.unreserve(reserved)
		return nil, fmt.Errorf("sink %s: %w", o.Name, err)
	}
	w.names.changed(file.Name())
	f := &openFile{path: visible, partition: partition, opened: now, written: now, reserved: reserved, out: appender{file: file}}
	w.open[partition] = f // Close takes care of it from here on
	if err := w.attach(f); err != nil {
		return nil, err
	}
	if w.encoder != nil {
		if header := w.encoder.Header(); len(header) > 0 {
			if _, err := f.text.Write(header); err != nil {
				return nil, f.failed(err)
			}
		}
	}
	return f, nil
}

// reserve takes what an open file holds outside of slabs from the memory account, sealing files while there is not enough.
func (w *writer) reserve() (int64, error) {
	account := w.sink.o.Account
	if account == nil {
		return 0, nil
	}
	n := int64(writeBuffer)
	if w.encoder != nil && w.sink.o.Compression != compress.None {
		n += w.sink.o.Compression.EncoderMemory()
	}
	for {
		err := account.Reserve(n)
		if err == nil {
			return n, nil
		}
		if len(w.open) == 0 {
			return 0, fmt.Errorf("sink %s: open a file: %w", w.sink.o.Name, err)
		}
		if err := w.sealOldest(); err != nil {
			return 0, err
		}
	}
}

func (w *writer) unreserve(n int64) {
	if n > 0 {
		w.sink.o.Account.Unreserve(n)
	}
}

// attach gives a text file its compressor.
func (w *writer) attach(f *openFile) (err error) {
	if w.encoder != nil {
		f.text, err = w.sink.o.Compression.NewWriter(&f.out, w.sink.o.Level)
	}
	return err
}

// adopt continues a file that a checkpoint left open.
func (w *writer) adopt(r openRecord, f *openFile) error {
	reserved, err := w.reserve()
	if err != nil {
		f.abandon()
		return err
	}
	f.reserved, f.synced = reserved, f.out.bytes
	if err := w.attach(f); err != nil {
		f.abandon()
		w.unreserve(reserved)
		return err
	}
	f.parts = slices.Clone(r.Parts)
	if other := w.open[r.Partition]; other != nil { // of a worker that is no more
		if err := w.seal(other); err != nil {
			w.open[r.Partition] = f
			return err
		}
	}
	w.open[r.Partition] = f
	return nil
}

func (w *writer) sealOldest() error {
	var oldest *openFile
	for _, f := range w.open {
		if oldest == nil || f.written.Before(oldest.written) || f.written.Equal(oldest.written) && f.path < oldest.path {
			oldest = f
		}
	}
	if oldest == nil {
		return nil
	}
	return w.seal(oldest)
}

func (w *writer) seal(f *openFile) error {
	delete(w.open, f.partition)
	sealed, err := f.seal(w.sink.o.Parts, w.flush)
	w.unreserve(f.reserved)
	if err != nil {
		f.discard()
		w.flush.add(flushJob{file: f.out.file, remove: true, close: true}) // behind a sync that may be waiting
		return err
	}
	w.sealed = append(w.sealed, sealedFile{File: sealed})
	return nil
}

// Tick implements connector.Writer: files are sealed by time, also when no row comes.
func (w *writer) Tick(_ context.Context, now time.Time) error {
	if w.check() != nil {
		return w.failed
	}
	roll := &w.sink.o.Roll
	for _, partition := range slices.Sorted(maps.Keys(w.open)) {
		f := w.open[partition]
		if roll.Interval > 0 && now.Sub(f.opened) >= roll.Interval || roll.Inactivity > 0 && now.Sub(f.written) >= roll.Inactivity {
			if w.failed = w.seal(f); w.failed != nil {
				return w.failed
			}
		}
	}
	return nil
}

// Prepare implements connector.Writer. It waits until everything is durable.
func (w *writer) Prepare(ctx context.Context, checkpoint uint64, final bool) ([]byte, error) {
	committable, err := blocking{w}.Prepare(ctx, checkpoint, final)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	w.flush.add(flushJob{done: func(err error) { done <- err }})
	if w.failed = <-done; w.failed != nil {
		return nil, w.failed
	}
	return committable, nil
}

// Prepare implements connector.Writer but for the wait: everything is durable when what is in the flusher's queue has been done.
func (b blocking) Prepare(_ context.Context, checkpoint uint64, final bool) ([]byte, error) {
	w := b.writer
	if w.check() == nil {
		w.failed = w.prepare(final)
	}
	if w.failed != nil {
		return nil, w.failed
	}
	w.base, w.seq = checkpoint, 0
	done := w.sink.committed.Load()
	c := committable{Worker: w.worker}
	kept := w.sealed[:0]
	for _, f := range w.sealed {
		if f.prepared != 0 && f.prepared <= done {
			continue
		}
		if f.prepared == 0 {
			f.prepared = checkpoint
		}
		kept = append(kept, f)
		c.Sealed = append(c.Sealed, f.File)
	}
	w.sealed = kept
	for _, partition := range slices.Sorted(maps.Keys(w.open)) {
		c.Open = append(c.Open, w.open[partition].openRecord())
	}
	if mutants.commitEarly {
		for _, f := range c.Sealed {
			_ = w.sink.o.FS.Rename(join(w.sink.o.Dir, f.Temp), join(w.sink.o.Dir, f.Path))
		}
	}
	return json.Marshal(c)
}

func (w *writer) prepare(final bool) error {
	for _, partition := range slices.Sorted(maps.Keys(w.open)) {
		f := w.open[partition]
		var err error
		if final || w.sink.o.Roll.OnCheckpoint || w.encoder == nil && w.sink.o.Parts == nil {
			err = w.seal(f)
		} else {
			err = f.barrier(w.flush)
		}
		if err != nil {
			return err
		}
	}
	w.flush.add(flushJob{names: w.names})
	w.names = newDirSync(w.sink.o.FS)
	return nil
}

// Close implements connector.Writer. What is not prepared is given up; the files stay hidden for the next Open.
func (w *writer) Close() error {
	w.flush.stop()
	for _, f := range w.open {
		f.abandon()
		w.unreserve(f.reserved)
	}
	w.open = nil
	if c, ok := w.encoder.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}
