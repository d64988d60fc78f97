package file

import (
	"context"
	"fmt"
	"io"

	"turbo/core"
	"turbo/internal/vfs"
	"turbo/io/compress"
	"turbo/io/connector"
)

// fetcher reads splits one after the other: the blocking side behind a connector.AsyncReader.
type fetcher struct {
	s       *Source
	starts  []*split // restored ones that are not announced yet
	claimed []*split // announced ones in the order of their indexes
	todo    []int    // indexes of announced splits that are not read yet
	current int      // index of the split being read
	open    splitReader
	meta    []metaColumn
	pos     []byte
	looked  bool // there was no file since the last one ended
}

// splitReader reads one split. Its events have no Split index yet; SplitEnd is the last one.
type splitReader interface {
	fetch() (connector.FetchEvent, error)
	close()
}

func (s *Source) fetcher(worker int) (*fetcher, error) {
	f := &fetcher{s: s, current: -1, starts: s.restored[worker]}
	for _, m := range s.c.Metadata {
		if metadataType(m.Key).Kind == core.Invalid {
			return nil, s.errorf("no metadata column %q", m.Key)
		}
		f.meta = append(f.meta, metaColumn(m))
	}
	return f, nil
}

// metaColumn says which column gets which value.
type metaColumn connector.MetadataIndex

func metadataType(key string) core.Type {
	for _, m := range metadataColumns {
		if m.Key == key {
			return m.Type
		}
	}
	return core.Type{}
}

// Fetch implements connector.Fetcher.
func (f *fetcher) Fetch(ctx context.Context) (connector.FetchEvent, error) {
	if len(f.starts) > 0 { // all restored splits count for the watermark from the beginning
		sp := f.starts[0]
		f.starts = f.starts[1:]
		return f.start(sp), nil
	}
	for f.open == nil {
		if len(f.todo) > 0 {
			f.current = f.todo[0]
			f.todo = f.todo[1:]
			sp := f.claimed[f.current]
			var err error
			if f.open, err = f.s.openSplit(sp, f.meta); err != nil {
				return connector.FetchEvent{}, f.s.errorf("%s: %w", sp.path, err)
			}
			break
		}
		sp, end, changed, err := f.s.next()
		switch {
		case err != nil:
			return connector.FetchEvent{}, err
		case sp != nil:
			return f.start(sp), nil
		case end:
			return connector.FetchEvent{Event: core.Event{Kind: core.EndOfInput}}, nil
		}
		if !f.looked {
			f.looked = true
			return connector.FetchEvent{}, nil
		}
		timer := f.s.clock.NewTimer(f.s.poll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return connector.FetchEvent{}, ctx.Err()
		case <-changed:
			timer.Stop()
		case <-timer.C():
		}
	}
	e, err := f.open.fetch()
	if err != nil {
		return connector.FetchEvent{}, f.s.errorf("%s: %w", f.claimed[f.current].path, err)
	}
	e.Split = f.current
	if e.Kind == core.SplitEnd {
		f.looked = false
		f.open.close()
		f.open = nil
	}
	f.pos = f.claimed[f.current].pos.append(f.pos[:0])
	e.Position = f.pos
	return e, nil
}

func (f *fetcher) start(sp *split) connector.FetchEvent {
	f.claimed = append(f.claimed, sp)
	f.todo = append(f.todo, len(f.claimed)-1)
	f.pos = sp.pos.append(f.pos[:0])
	return connector.FetchEvent{Event: core.Event{Kind: core.SplitStart, Split: len(f.claimed) - 1, ID: sp.id()}, Position: f.pos}
}

// Close implements connector.Fetcher.
func (f *fetcher) Close() error {
	if f.open != nil {
		f.open.close()
		f.open = nil
	}
	return nil
}

func (s *Source) openSplit(sp *split, meta []metaColumn) (splitReader, error) {
	file, err := s.c.FS.Open(sp.path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < sp.pos.Size {
		err = fmt.Errorf("it has %d bytes, but had %d when it was found", info.Size(), sp.pos.Size)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	var r splitReader
	if s.format.Spec.OpenFile != nil {
		r, err = s.openUnits(sp, file, meta)
	} else {
		r, err = s.openText(sp, file, meta)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

// textSplit reads records.
type textSplit struct {
	s        *Source
	sp       *split
	file     vfs.File
	in       io.ReadCloser
	records  *recordReader
	decoder  connector.Decoder
	builder  *core.Builder
	letters  *core.Builder
	meta     []metaColumn
	limit    int64 // records that begin here or later belong to the next split
	lines    bool  // line numbers are known
	reserved int64
	dead     []connector.FetchEvent // waits behind the batch before it
	deadPos  position
	done     bool
}

func (s *Source) openText(sp *split, file vfs.File, meta []metaColumn) (_ splitReader, err error) {
	t := &textSplit{s: s, sp: sp, file: file, meta: meta, limit: sp.pos.Size, lines: sp.pos.From == 0}
	splitter, err := s.format.Spec.NewSplitter(s.format.Config)
	if err != nil {
		return nil, err
	}
	t.decoder, err = s.format.Spec.NewDecoder(connector.DecoderContext{Config: s.format.Config, Record: s.c.Record, Schema: s.c.Schema, Columns: s.c.Columns})
	if err != nil {
		return nil, err
	}
	codec := s.codecOf(sp.path)
	header, hasHeader := t.decoder.(connector.HeaderDecoder)
	hasHeader = hasHeader && header.HasHeader()
	start := sp.pos.Offset
	if !sp.whole() {
		t.limit = sp.pos.To
	}
	fresh := sp.pos.Line == 0 && sp.pos.Offset == sp.pos.From
	if hasHeader && (start > 0 || !fresh) { // the header is elsewhere: read it first
		if err := t.readHeader(header, splitter, codec); err != nil {
			return nil, err
		}
	}
	seek := fresh && start > 0
	if codec == compress.None {
		if seek {
			start-- // to see whether a line ends right before the split
		}
		end := sp.pos.Size
		t.in = io.NopCloser(io.NewSectionReader(file, start, max(end-start, 0)))
	} else {
		if t.in, err = codec.NewReader(io.NewSectionReader(file, 0, sp.pos.Size)); err != nil {
			return nil, err
		}
		t.limit = 1<<63 - 1
		if _, err := io.CopyN(io.Discard, t.in, start); err != nil {
			t.in.Close()
			return nil, fmt.Errorf("skip to byte %d: %w", start, err)
		}
	}
	t.records = newRecordReader(t.in, splitter, start)
	t.records.line = sp.pos.Line
	if account := s.c.Account; account != nil {
		if err := account.Reserve(t.records.bytes()); err != nil {
			t.in.Close()
			return nil, err
		}
		t.reserved = t.records.bytes()
	}
	t.builder = core.NewBuilder(s.c.Account, s.c.Schema, s.c.BatchRows)
	switch {
	case seek: // the rest of a line that belongs to the split before
		err = t.records.skipLine()
	case hasHeader && fresh:
		var record []byte
		record, err = t.records.next()
		if err == nil {
			err = header.DecodeHeader(record)
		}
		if err == io.EOF {
			err = nil
		}
	}
	if err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

func (t *textSplit) readHeader(header connector.HeaderDecoder, splitter connector.Splitter, codec compress.Codec) error {
	in, err := codec.NewReader(io.NewSectionReader(t.file, 0, t.sp.pos.Size))
	if err != nil {
		return err
	}
	defer in.Close()
	record, err := newRecordReader(in, splitter, 0).next()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	return header.DecodeHeader(record)
}

// fetch implements splitReader.
func (t *textSplit) fetch() (connector.FetchEvent, error) {
	if len(t.dead) > 0 {
		e := t.dead[0]
		t.dead = t.dead[:0]
		t.sp.pos = t.deadPos
		return e, nil
	}
	pos := &t.sp.pos
	var e connector.FetchEvent
	for !t.done && e.Read < int64(max(t.s.c.BatchRows, 1)) && t.builder.Size() < maxBatchBytes {
		if t.records.offset >= t.limit {
			t.done = true
			break
		}
		record, err := t.records.next()
		if err == io.EOF {
			t.done = true
			break
		}
		if err != nil {
			return e, err
		}
		if grown := t.records.bytes() - t.reserved; grown > 0 && t.s.c.Account != nil {
			if err := t.s.c.Account.Reserve(grown); err != nil {
				return e, err
			}
			t.reserved += grown
		}
		before := *pos
		if err := t.decoder.Decode(record, t.builder); err != nil {
			if err := t.bad(record, err, &e); err != nil {
				return e, err
			}
			if len(t.dead) > 0 {
				if e.Read > 0 {
					t.deadPos = t.after(before)
					return t.data(e), nil
				}
				e = t.dead[0]
				t.dead = t.dead[:0]
				*pos = t.after(before)
				return e, nil
			}
			*pos = t.after(before)
			continue
		}
		t.addMetadata()
		e.Read++
		*pos = t.after(before)
	}
	if e.Read > 0 {
		return t.data(e), nil
	}
	pos.End = true
	return connector.FetchEvent{Event: core.Event{Kind: core.SplitEnd}}, nil
}

// maxBatchBytes ends a batch of long records early.
const maxBatchBytes = 4 << 20

func (t *textSplit) after(p position) position {
	p.Offset = t.records.offset
	if t.lines {
		p.Line = t.records.line
	}
	return p
}

func (t *textSplit) data(e connector.FetchEvent) connector.FetchEvent {
	e.Kind, e.Batch = core.DataEvent, t.builder.Finish()
	return e
}

// place is the record's line, or its byte where lines are not known.
func (t *textSplit) place() (int64, string) {
	if t.lines {
		return t.records.line, fmt.Sprintf("line %d", t.records.line)
	}
	return t.records.start, fmt.Sprintf("byte %d", t.records.start)
}

// bad treats a record that could not be decoded by the source's policy.
func (t *textSplit) bad(record []byte, cause error, e *connector.FetchEvent) error {
	at, words := t.place()
	switch t.s.c.OnError {
	case connector.SkipOnError:
		e.Read++
		e.Skipped++
		return nil
	case connector.DeadLetters:
		if t.letters == nil {
			t.letters = core.NewBuilder(t.s.c.Account, core.DeadLetterSchema, 1)
		}
		b := t.letters
		b.Column(0).AppendString(t.s.c.Name)
		b.Column(1).AppendString(t.sp.id())
		b.Column(2).AppendInt64(at)
		b.Column(3).AppendString(cause.Error())
		b.Column(4).AppendNull()
		b.Column(5).AppendBytes(record)
		b.Column(6).AppendNull()
		t.dead = append(t.dead, connector.FetchEvent{Event: core.Event{Kind: core.DeadLetter, Batch: b.Finish(), Read: 1, DeadLettered: 1}})
		return nil
	}
	return core.Permanent(fmt.Errorf("%s: %w; correct the file, or let the job go on without it by on-error: skip or dead-letter", words, cause))
}

func (t *textSplit) addMetadata() {
	for _, m := range t.meta {
		v := t.builder.Column(m.Column)
		switch {
		case m.Key == "path":
			v.AppendString(t.sp.path)
		case m.Key == "offset":
			v.AppendInt64(t.records.start)
		case t.lines:
			v.AppendInt64(t.records.line)
		default:
			v.AppendNull()
		}
	}
}

func (t *textSplit) release() {
	if t.builder != nil {
		t.builder.Close()
	}
	if t.letters != nil {
		t.letters.Close()
	}
	for _, e := range t.dead {
		e.Batch.Release()
	}
	t.dead = nil
	if t.reserved > 0 {
		t.s.c.Account.Unreserve(t.reserved)
		t.reserved = 0
	}
	t.in.Close()
}

func (t *textSplit) close() {
	t.release()
	t.file.Close()
}
