package file

import (
	"fmt"
	"runtime/debug"
	"sync"

	"turbo/core"
	"turbo/internal/vfs"
	"turbo/io/connector"
)

const (
	// maxFlushes bounds the files that wait for their sync: a writer that is that far ahead of the disk waits for it.
	maxFlushes = 32
	// earlySync is how many bytes a file may be ahead of its last sync before it gets one between two barriers, so that the disk
	// works all the time and the barrier's own sync is short.
	earlySync = 32 << 20
)

// flusher makes files durable, in order, on a goroutine beside the writer's, which goes on writing to them: a barrier fixes what its
// prefix is, and more bytes behind the prefix do no harm. The first error is final.
type flusher struct {
	beside bool // else everything is done at once, on the writer's goroutine

	mu      sync.Mutex
	changed *sync.Cond
	queue   []flushJob
	running bool // there is a goroutine
	closed  bool
	err     error
}

// flushJob is one step. Its parts are done in the order of the fields.
type flushJob struct {
	file   vfs.File // to be synced
	remove bool     // not synced: only closed
	close  bool     // nobody writes to it any more
	names  *dirSync // directories to be synced; the job's own
	done   func(error)
}

func newFlusher() *flusher {
	f := &flusher{}
	f.changed = sync.NewCond(&f.mu)
	return f
}

// add enters a step. It waits while there are too many.
func (f *flusher) add(job flushJob) {
	if !f.beside {
		f.carryOut(job, f.failed())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) >= maxFlushes {
		f.changed.Wait()
	}
	f.queue = append(f.queue, job)
	if !f.running {
		f.running = true
		go f.run()
	}
}

// idle reports whether nothing is under way.
func (f *flusher) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.running
}

// failed returns the first error.
func (f *flusher) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// run carries out what is in the queue, and ends.
func (f *flusher) run() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) > 0 {
		job := f.queue[0]
		f.queue = f.queue[:copy(f.queue, f.queue[1:])]
		err := f.err
		if f.closed && err == nil {
			err = connector.ErrClosed
		}
		f.changed.Broadcast()
		f.mu.Unlock()
		f.carryOut(job, err)
		f.mu.Lock()
	}
	f.running = false
	f.changed.Broadcast()
}

// carryOut does one step; after an error it only closes and reports.
func (f *flusher) carryOut(job flushJob, err error) {
	if err == nil {
		if err = job.sync(); err != nil {
			f.mu.Lock()
			f.err = err
			f.mu.Unlock()
		}
	}
	if job.close {
		if closeErr := job.file.Close(); closeErr != nil && err == nil && !job.remove {
			err = fileError(job.file, closeErr)
			f.mu.Lock()
			f.err = err
			f.mu.Unlock()
		}
	}
	if job.done != nil {
		job.done(err)
	}
}

func (j flushJob) sync() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if j.file != nil && !j.remove && !mutants.skipFileSync {
		if err := j.file.Sync(); err != nil {
			return fileError(j.file, err)
		}
	}
	if j.names != nil {
		return j.names.sync()
	}
	return nil
}

// stop gives up what is waiting, and returns when what is under way has ended. Nothing may be added from then on.
func (f *flusher) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for f.running {
		f.changed.Wait()
	}
}

// sinkWriter is a writer behind a queue whose barriers do not wait for the disk: done is called when the flusher is through.
type sinkWriter struct {
	*connector.AsyncWriter
	w *writer
}

// blocking is the side of a sinkWriter behind the queue.
type blocking struct{ *writer }

func newSinkWriter(w *writer, o connector.AsyncWriterOptions) *sinkWriter {
	w.flush.beside = true
	return &sinkWriter{connector.NewAsyncWriter(blocking{w}, o), w}
}

// Prepare implements core.SinkWriter. The inner done is called by the writer's goroutine when everything before the barrier has been
// written and is in the flusher's queue.
func (s *sinkWriter) Prepare(checkpoint uint64, final bool, done func([]byte, error)) {
	s.AsyncWriter.Prepare(checkpoint, final, func(committable []byte, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		s.w.flush.add(flushJob{done: func(err error) {
			if err != nil {
				done(nil, fmt.Errorf("sink %s, worker %d: %w", s.w.sink.o.Name, s.w.worker, err))
				return
			}
			done(committable, nil)
		}})
	})
}

var _ core.SinkWriter = (*sinkWriter)(nil)
