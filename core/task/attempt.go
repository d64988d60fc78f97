package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"turbo/core"
)

// Restored is what an attempt starts from: the newest complete checkpoint, apart from the pages of tables, which the table
// store restores by itself. The zero value is a fresh start.
type Restored struct {
	Checkpoint uint64
	Splits     map[string][]core.SplitState  // by source
	Gates      map[string][][]byte           // by task, by worker: the parallelism may have been another
	Sinks      map[string]*core.RestoredSink // by sink
}

// TableStore gives operators their keyed state and takes what barriers freeze.
type TableStore interface {
	// Operator returns the tables of one operator instance, restored for the worker's key groups.
	Operator(id string, worker, workers, keyGroups int) (OperatorTables, error)
}

// OperatorTables are the tables of one operator instance.
type OperatorTables interface {
	core.TableFactory
	// Freeze cuts every table for the checkpoint: cheap, on the worker. The returned functions write what was cut, off the
	// worker; there are none when nothing has changed. Each reports its end by its error.
	Freeze(checkpoint uint64) ([]func() error, error)
	Close() error
}

// Attempt is one run of a graph, from a checkpoint (or from nothing) to its end, its failure or its stop. It starts
// nothing again by itself. Methods may be called from any goroutine.
type Attempt struct {
	graph    *Graph
	restored map[string][]core.SplitState
	sources  map[string]core.Source
	sinks    map[string]core.Sink
	tables   map[string][]OperatorTables
	workers  []*worker
	tasks    []*task

	injected atomic.Uint64 // barrierWord of the newest barrier
	running  atomic.Int64  // sources' readers that have not said EndOfInput
	ended    chan struct{}

	mu          sync.Mutex
	collections map[uint64]*barrierCollection

	uploads  chan upload
	uploadWG sync.WaitGroup

	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	err      error // valid once done is closed
}

type upload struct {
	write func() error
	into  *barrierCollection
}

// collection implements barrierSource.
func (a *Attempt) collection(checkpoint uint64) *barrierCollection {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.collections[checkpoint]
}

// Inject starts a checkpoint: every source reader puts its barrier behind the batch at hand. done is called once, from
// any goroutine, with the cut when every task has acknowledged, every upload is written and every sink is prepared, or with the first
// error; never when the attempt ends before. Ids must grow. A final barrier is the last thing that the attempt does.
func (a *Attempt) Inject(checkpoint uint64, final bool, done func(*Cut, error)) {
	c := newCollection(checkpoint, final, len(a.tasks), a.restored, func(cut *Cut, err error) {
		a.mu.Lock()
		delete(a.collections, checkpoint)
		a.mu.Unlock()
		done(cut, err)
	})
	a.mu.Lock()
	a.collections[checkpoint] = c
	a.mu.Unlock()
	a.injected.Store(barrierWord(checkpoint, final))
	for _, w := range a.workers {
		w.waker.Notify()
	}
}

// Start lets the workers run.
func (a *Attempt) Start() {
	for range uploaders {
		a.uploadWG.Add(1)
		go func() {
			defer a.uploadWG.Done()
			for u := range a.uploads {
				u.into.uploaded(u.write())
			}
		}()
	}
	results := make(chan error, len(a.workers))
	for _, w := range a.workers {
		go func() { results <- w.run(a.stop) }()
	}
	go func() {
		var first error
		for range a.workers {
			if err := <-results; err != nil {
				if first == nil {
					first = err
				}
				a.Stop()
			}
		}
		a.err = first
		close(a.done)
	}()
}

// uploaders is how many goroutines write frozen pages.
const uploaders = 1

// Ended is closed when every source has said that its input has ended: the time for the final checkpoint.
func (a *Attempt) Ended() <-chan struct{} { return a.ended }

// Done is closed when every worker has stopped: after the final barrier, a failure, or Stop.
func (a *Attempt) Done() <-chan struct{} { return a.done }

// Err returns why the attempt failed, nil when it did not. It is valid once Done is closed.
func (a *Attempt) Err() error { return a.err }

// Stop ends the workers at once, without a checkpoint.
func (a *Attempt) Stop() { a.stopOnce.Do(func() { close(a.stop) }) }

// Sink returns the sink of a node, to commit to.
func (a *Attempt) Sink(id string) core.Sink { return a.sinks[id] }

// Sinks returns the ids of the sinks.
func (a *Attempt) Sinks() []string {
	var out []string
	for _, n := range a.graph.Nodes {
		if n.Sink != nil {
			out = append(out, n.ID)
		}
	}
	return out
}

// Committed tells the sources that a checkpoint is complete.
func (a *Attempt) Committed(ctx context.Context, cut *Cut) error {
	var errs []error
	for id, s := range a.sources {
		if err := s.Committed(ctx, cut.Checkpoint, cut.Splits[id]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// Close frees everything. The workers must have stopped (Done), or never have been started.
func (a *Attempt) Close() error {
	close(a.uploads)
	a.uploadWG.Wait()
	var errs []error
	for _, t := range a.tasks {
		errs = append(errs, t.close())
	}
	for _, instances := range a.tables {
		for _, t := range instances {
			if t != nil {
				errs = append(errs, t.Close())
			}
		}
	}
	for _, s := range a.sources {
		errs = append(errs, s.Close())
	}
	for _, s := range a.sinks {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// freezer is the tableHandle of an operator instance.
type freezer struct {
	attempt *Attempt
	tables  OperatorTables
}

func (f freezer) freeze(checkpoint uint64, c *barrierCollection) error {
	writes, err := f.tables.Freeze(checkpoint)
	if err != nil {
		return err
	}
	for _, w := range writes {
		c.expectUpload()
		select {
		case f.attempt.uploads <- upload{w, c}:
		default:
			// The queue is as long as all tables of one checkpoint: it is full only when checkpoints overlap, which the coordinator
			// does not do. Writing here would block the worker.
			return fmt.Errorf("checkpoint %d: the upload queue of %d is full", checkpoint, cap(f.attempt.uploads))
		}
	}
	return nil
}
