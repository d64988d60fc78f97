package task

import (
	"cmp"
	"slices"
	"sync"

	"turbo/core"
)

// NodeCounters are the counters of one node's instance, or of all of them together.
type NodeCounters struct {
	Node string
	core.Counters
}

// Ack is what one task contributes to a checkpoint at the moment of its barrier.
type Ack struct {
	Task     string // id of the root's node
	Worker   int
	Splits   []core.SplitState // of a source
	Gate     []byte            // watermarks of a gate
	Counters []NodeCounters    // of the root and the elements
}

// Cut is everything that the tasks say about one checkpoint: the stream's state at the barrier, apart from the pages of tables.
type Cut struct {
	Checkpoint   uint64
	Final        bool
	Splits       map[string][]core.SplitState // by source
	Gates        map[string][][]byte          // by task, by worker
	Counters     map[string]core.Counters     // by node, summed over workers, since the attempt began
	Committables map[string][][]byte          // by sink, by worker
}

// barrierCollection gathers one checkpoint's acknowledgements, prepares and uploads, and calls done once: when all are in, or at the
// first error. Any goroutine may call it.
type barrierCollection struct {
	mu       sync.Mutex
	cut      Cut
	tasks    int // acknowledgements still out
	open     int // prepares and uploads still out
	finished bool
	restored map[string][]core.SplitState // what the attempt began with
	done     func(*Cut, error)
}

func newCollection(checkpoint uint64, final bool, tasks int, restored map[string][]core.SplitState, done func(*Cut, error)) *barrierCollection {
	return &barrierCollection{tasks: tasks, restored: restored, done: done, cut: Cut{
		Checkpoint: checkpoint, Final: final, Splits: map[string][]core.SplitState{}, Gates: map[string][][]byte{},
		Counters: map[string]core.Counters{}, Committables: map[string][][]byte{},
	}}
}

// expectPrepare and expectUpload are called before the acknowledgement of their task.
func (c *barrierCollection) expectPrepare() { c.expect() }
func (c *barrierCollection) expectUpload()  { c.expect() }

func (c *barrierCollection) expect() {
	c.mu.Lock()
	c.open++
	c.mu.Unlock()
}

func (c *barrierCollection) prepared(sink string, worker int, committable []byte, err error) {
	c.mu.Lock()
	if err == nil {
		c.cut.Committables[sink] = put(c.cut.Committables[sink], worker, committable)
	}
	c.open--
	c.settle(err)
}

func (c *barrierCollection) uploaded(err error) {
	c.mu.Lock()
	c.open--
	c.settle(err)
}

func (c *barrierCollection) ack(a Ack) {
	c.mu.Lock()
	if a.Splits != nil {
		c.cut.Splits[a.Task] = append(c.cut.Splits[a.Task], a.Splits...)
	}
	if a.Gate != nil {
		c.cut.Gates[a.Task] = put(c.cut.Gates[a.Task], a.Worker, a.Gate)
	}
	for _, n := range a.Counters {
		sum := c.cut.Counters[n.Node]
		sum.Add(n.Counters)
		c.cut.Counters[n.Node] = sum
	}
	c.tasks--
	c.settle(nil)
}

// settle is called with the lock held, and gives it back.
func (c *barrierCollection) settle(err error) {
	var call func(*Cut, error)
	if !c.finished && (err != nil || c.tasks == 0 && c.open == 0) {
		c.finished, call = true, c.done
	}
	c.mu.Unlock()
	if call == nil {
		return
	}
	if err != nil {
		call(nil, err)
		return
	}
	c.carryOver()
	for _, s := range c.cut.Splits {
		slices.SortFunc(s, func(a, b core.SplitState) int { return cmp.Compare(a.ID, b.ID) })
	}
	call(&c.cut, nil)
}

// carryOver keeps the restored state of splits that no reader has claimed yet: a checkpoint may come before the readers have
// got going, and such a split is still where it was.
func (c *barrierCollection) carryOver() {
	for source, states := range c.restored {
		claimed := map[string]bool{}
		for _, s := range c.cut.Splits[source] {
			claimed[s.ID] = true
		}
		for _, s := range states {
			if !claimed[s.ID] {
				c.cut.Splits[source] = append(c.cut.Splits[source], s)
			}
		}
	}
}

// put stores x at index i of a slice that grows as needed.
func put(s [][]byte, i int, x []byte) [][]byte {
	for len(s) <= i {
		s = append(s, nil)
	}
	s[i] = x
	return s
}
