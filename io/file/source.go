package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/io/compress"
	"turbo/io/connector"
)

// Source reads files. It divides them into splits and hands these out to whichever reader is free, those of a restored
// checkpoint first, each to the reader that has it in its snapshot. It implements core.Source and core.Validator.
//
// A file is read as long as it was when it was found. With a poll interval new files are looked for; a file is taken when
// two looks in a row saw the same size and time, so that one that is being copied in is not read half.
type Source struct {
	c        *connector.SourceContext
	format   *connector.FormatConfig
	path     string
	codec    compress.Codec
	detect   bool          // codec by extension
	cut      int64         // bytes of a split; 0: files are not cut
	poll     time.Duration // 0: the files that are there now
	clock    clock.Clock
	log      *slog.Logger
	readers  int
	restored [][]*split          // by reader, in progress
	states   [][]core.SplitState // by reader, all that it restores

	mu       sync.Mutex
	pending  []*split
	known    map[string]bool  // paths that were divided
	sighted  map[string]found // seen once, waiting for a second look
	lastScan int64            // clock's Nanos
	changed  chan struct{}    // closed when pending grew
}

func newSource(c *connector.SourceContext) (*Source, error) {
	s := &Source{c: c, format: c.Config.Format("format"), path: c.Config.String("path"), clock: c.Clock, log: c.Log, readers: max(c.Parallelism, 1)}
	if s.clock == nil {
		s.clock = clock.Real()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if c.Config.Has("watch") {
		s.poll = c.Config.Duration("watch")
	}
	switch name := c.Config.String("compression"); name {
	case "auto":
		s.detect = true
	default:
		var err error
		if s.codec, err = compress.Parse(name); err != nil {
			return nil, c.Config.Errorf("compression", "%w", err)
		}
	}
	if s.mayCut() {
		s.cut = c.Config.Bytes("split-size")
	}
	return s, nil
}

// mayCut reports whether files can be read from the middle: containers by their units, text when a record is a line.
func (s *Source) mayCut() bool {
	switch {
	case s.c.Config.String("split") == "never":
		return false
	case s.format.Spec.OpenFile != nil || s.c.Config.String("split") == "lines":
		return true
	}
	switch s.format.Spec.Name {
	case "raw", "json":
		return true
	case "csv":
		return s.format.Config.String("quote") == "none"
	}
	return false
}

func (s *Source) errorf(format string, args ...any) error {
	return fmt.Errorf("source %s: "+format, append([]any{s.c.Name}, args...)...)
}

// Open implements core.Source. A split that comes before one of the checkpoint's was taken, too, by a reader that had not said so when the barrier came. It
// starts together with those of the checkpoint: if it waited for a free reader, the watermark would pass its rows.
func (s *Source) Open(_ context.Context, restored []core.SplitState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.sighted, s.pending = map[string]bool{}, map[string]found{}, nil
	s.changed = make(chan struct{})
	s.restored, s.states = make([][]*split, s.readers), make([][]core.SplitState, s.readers)
	type file struct {
		cut, size int64
		ids       map[string]bool
	}
	files := map[string]*file{}
	var order []string
	var last *split // of the restored ones, in the order in which splits are handed out
	next := 0
	for i, state := range restored {
		sp, err := parseSplit(state)
		if err != nil {
			return s.errorf("%w", err)
		}
		f := files[sp.path]
		if f == nil {
			f = &file{sp.pos.Cut, sp.pos.Size, map[string]bool{}}
			files[sp.path] = f
			order = append(order, sp.path)
		}
		f.ids[state.ID] = true
		if last == nil || last.before(sp) {
			last = sp
		}
		if sp.pos.End {
			s.states[i%s.readers] = append(s.states[i%s.readers], state)
			continue
		}
		if err := s.checkSize(sp.path, sp.pos.Size); err != nil {
			return err
		}
		s.restored[next%s.readers] = append(s.restored[next%s.readers], sp)
		s.states[next%s.readers] = append(s.states[next%s.readers], state)
		next++
	}
	for _, path := range order { // splits of these files that nobody had claimed
		s.known[path] = true
		f := files[path]
		if f.cut == 0 || f.size <= f.cut {
			continue
		}
		missing, err := s.divide(found{path: path, size: f.size}, f.cut)
		if errors.Is(err, fs.ErrNotExist) && s.allEnded(path, f.size, restored) {
			continue
		}
		if err != nil {
			return s.errorf("%s: %w", path, err)
		}
		for _, sp := range missing {
			if !f.ids[sp.id()] {
				if err := s.checkSize(path, f.size); err != nil {
					return err
				}
				s.pending = append(s.pending, sp)
			}
		}
	}
	list, err := discover(s.c.FS, s.path)
	if err != nil && !(s.poll > 0 && errors.Is(err, fs.ErrNotExist)) {
		return s.errorf("%w", err)
	}
	if len(list) == 0 && s.poll == 0 && len(restored) == 0 {
		return s.errorf("no file matches %s; set watch to wait for some", s.path)
	}
	s.lastScan = s.clock.Nanos()
	if err := s.add(list, s.poll > 0); err != nil || last == nil {
		return err
	}
	s.pending = slices.DeleteFunc(s.pending, func(sp *split) bool {
		overtaken := sp.before(last)
		if overtaken {
			s.restored[next%s.readers] = append(s.restored[next%s.readers], sp)
			next++
		}
		return overtaken
	})
	return nil
}

// allEnded reports whether the ended byte ranges of a file cover it: then it may be gone.
func (s *Source) allEnded(path string, size int64, restored []core.SplitState) bool {
	covered := int64(0)
	for _, state := range restored {
		if sp, err := parseSplit(state); err == nil && sp.path == path && sp.pos.End {
			covered += sp.pos.To - sp.pos.From
		}
	}
	return covered >= size
}

func (s *Source) checkSize(path string, size int64) error {
	info, err := s.c.FS.Stat(path)
	if err != nil {
		return s.errorf("a file of the restored checkpoint cannot be read: %w", err)
	}
	if info.Size() < size {
		return s.errorf("%s has %d bytes, but it had %d when its reading began; put the file back, or start again with --fresh", path, info.Size(), size)
	}
	return nil
}

// add divides new files. When cautious, a file must have been seen before as it is now.
func (s *Source) add(list []found, cautious bool) error {
	grown := false
	for _, f := range list {
		if s.known[f.path] {
			continue
		}
		if before, seen := s.sighted[f.path]; cautious && (!seen || before != f) {
			s.sighted[f.path] = f
			continue
		}
		delete(s.sighted, f.path)
		splits, err := s.divide(f, s.cut)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since
		}
		if err != nil {
			return s.errorf("%s: %w", f.path, err)
		}
		s.known[f.path] = true
		s.pending = append(s.pending, splits...)
		grown = true
	}
	if grown {
		close(s.changed)
		s.changed = make(chan struct{})
	}
	return nil
}

// codecOf is the compression of a file.
func (s *Source) codecOf(path string) compress.Codec {
	if s.detect && s.format.Spec.OpenFile == nil {
		return compress.ByExtension(path)
	}
	return s.codec
}

// divide makes the splits of a file.
func (s *Source) divide(f found, cut int64) ([]*split, error) {
	whole := []*split{{path: f.path, pos: position{Size: f.size, Cut: cut}}}
	if cut <= 0 || f.size <= cut || s.codecOf(f.path) != compress.None {
		if s.codecOf(f.path) != compress.None {
			whole[0].pos.Cut = 0
		}
		return whole, nil
	}
	end, step := f.size, cut
	if s.format.Spec.OpenFile != nil {
		units, err := s.units(f)
		if err != nil {
			return nil, err
		}
		if units <= 1 {
			return whole, nil
		}
		end = int64(units)
		step = max(cut*end/f.size, 1)
	}
	var out []*split
	for from := int64(0); from < end; from += step {
		sp := &split{path: f.path, pos: position{Size: f.size, Cut: cut, From: from, To: min(from+step, end)}}
		if s.format.Spec.OpenFile != nil {
			sp.pos.Unit = int(from)
		} else {
			sp.pos.Offset = from
		}
		out = append(out, sp)
	}
	return out, nil
}

func (s *Source) units(f found) (int, error) {
	file, err := s.c.FS.Open(f.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	r, err := s.format.Spec.OpenFile(s.fileContext(), file, f.size)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return r.Units(), nil
}

func (s *Source) fileContext() connector.FileContext {
	return connector.FileContext{Config: s.format.Config, Record: s.c.Record, Schema: s.c.Schema, Columns: s.c.Columns, BatchRows: s.c.BatchRows, Account: s.c.Account}
}

// next hands out a split. With none left it is nil: for good (end), or until the channel is closed or poll is over.
func (s *Source) next() (sp *split, end bool, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 && s.poll > 0 && s.clock.Nanos()-s.lastScan >= int64(s.poll) {
		s.lastScan = s.clock.Nanos()
		list, err := discover(s.c.FS, s.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil, s.errorf("%w", err)
		}
		if err := s.add(list, true); err != nil {
			return nil, false, nil, err
		}
	}
	if len(s.pending) == 0 {
		return nil, s.poll == 0, s.changed, nil
	}
	sp = s.pending[0]
	s.pending = slices.Delete(s.pending, 0, 1)
	return sp, false, nil, nil
}

// Reader implements core.Source.
func (s *Source) Reader(worker int) (core.SourceReader, error) {
	f, err := s.fetcher(worker)
	if err != nil {
		return nil, err
	}
	return connector.NewAsyncReader(f, connector.AsyncReaderOptions{Runtime: s.c.Runtime, Worker: worker, Restored: s.states[worker]}), nil
}

// Committed implements core.Source: there is nobody to tell.
func (s *Source) Committed(context.Context, uint64, []core.SplitState) error { return nil }

// Close implements core.Source.
func (s *Source) Close() error { return nil }

// Validate implements core.Validator: the files can be found and the first one can be opened.
func (s *Source) Validate(context.Context) error {
	list, err := discover(s.c.FS, s.path)
	if err != nil && !(s.poll > 0 && errors.Is(err, fs.ErrNotExist)) {
		return s.errorf("%w", err)
	}
	if len(list) == 0 {
		if s.poll > 0 {
			return nil
		}
		return s.errorf("no file matches %s; set watch to wait for some", s.path)
	}
	f, err := s.c.FS.Open(list[0].path)
	if err != nil {
		return s.errorf("%w", err)
	}
	return f.Close()
}
