package task

import (
	"sync"

	"turbo/ckpt"
)

// Checkpoints is where tasks report. *ckpt.Driver is it; tests have their own.
type Checkpoints interface {
	// Ack takes a task's report about a barrier: one for each barrier that the task got.
	Ack(ckpt.Ack)
	// TaskEnded says that no row will come out of the task any more.
	TaskEnded(task int)
	// Write stores pages of a checkpoint. It blocks and is called beside the workers.
	Write(checkpoint uint64, pages []ckpt.Page) error
}

// pendingAck is a task's report about one barrier while it is put together: by the task's worker, by its sinks' prepares and by the
// upload of its pages. It is sent when nothing is open any more. Any goroutine may call it.
type pendingAck struct {
	mu     sync.Mutex
	ack    ckpt.Ack
	open   int
	report func(ckpt.Ack)
}

// expect announces a part that will come; done closes one. The worker holds one part itself until it has put everything in.
func (p *pendingAck) expect() {
	p.mu.Lock()
	p.open++
	p.mu.Unlock()
}

func (p *pendingAck) done(add func(*ckpt.Ack), err error) {
	p.mu.Lock()
	if add != nil {
		add(&p.ack)
	}
	if p.ack.Err == nil {
		p.ack.Err = err
	}
	p.open--
	last := p.open == 0
	p.mu.Unlock()
	if last {
		p.report(p.ack)
	}
}
