package shuffle

import "turbo/core"

// Budget bounds what one channel holds. Zero fields take the defaults.
type Budget struct {
	Slots int   // messages; rounded up to a power of two
	Rows  int64 // rows of all batches
	Bytes int64 // memory of all batches
}

// The default budget of a channel: enough to hide a receiver's pause of a millisecond, little enough that a barrier behind
// it arrives soon.
const (
	DefaultSlots = 64
	DefaultRows  = 8 * DefaultBatchRows
	DefaultBytes = 4 << 20
)

// Channel is the way from one sender to one receiver. One Output pushes, one Gate pops.
type Channel struct {
	ring     *Ring[core.Message]
	sender   *Waker
	receiver *Waker
}

// NewChannel returns a channel between the workers of two wakers, which may be the same.
func NewChannel(budget Budget, sender, receiver *Waker) *Channel {
	if budget.Slots <= 0 {
		budget.Slots = DefaultSlots
	}
	if budget.Rows <= 0 {
		budget.Rows = DefaultRows
	}
	if budget.Bytes <= 0 {
		budget.Bytes = DefaultBytes
	}
	return &Channel{
		ring:   NewRing[core.Message](budget.Slots, Credit{budget.Rows, budget.Bytes}),
		sender: sender, receiver: receiver,
	}
}

// Connect returns the channels of an exchange from every sender to every receiver: channels[sender][receiver].
func Connect(budget Budget, senders, receivers []*Waker) [][]*Channel {
	all := make([][]*Channel, len(senders))
	for s, from := range senders {
		for _, to := range receivers {
			all[s] = append(all[s], NewChannel(budget, from, to))
		}
	}
	return all
}

// Receiving returns column r of the channels that Connect made: what receiver r polls.
func Receiving(channels [][]*Channel, r int) []*Channel {
	column := make([]*Channel, len(channels))
	for s := range channels {
		column[s] = channels[s][r]
	}
	return column
}

// Len returns the number of messages on the way. Any goroutine may call it.
func (c *Channel) Len() int { return c.ring.Len() }

// Slots returns the number of messages that the channel can hold.
func (c *Channel) Slots() int { return c.ring.Slots() }

// push sends a message and wakes the receiver's worker if it sleeps.
func (c *Channel) push(m core.Message, cost Credit) bool {
	if !c.ring.Push(m, cost) {
		return false
	}
	c.receiver.Notify()
	return true
}

// behind reports whether the receiver has left something that was sent.
func (c *Channel) behind() bool { return !c.ring.Drained() }

// reopen takes back the batch that was sent last, for more rows, unless the receiver has taken it. close ends it.
func (c *Channel) reopen() *core.Batch {
	m, _ := c.ring.Reopen()
	return m.Batch
}

// extend hands the reopened batch over again.
func (c *Channel) extend(cost Credit) {
	c.ring.Close(cost)
	c.receiver.Notify()
}

// pushOrStarve is push; when it fails, the sender's worker will be woken as soon as the receiver has taken something.
func (c *Channel) pushOrStarve(m core.Message, cost Credit) bool {
	if c.push(m, cost) {
		return true
	}
	c.ring.Starve()
	return c.push(m, cost) // the second try closes the race; see Ring
}

// pop takes a message and wakes the sender's worker if it waits for credit.
func (c *Channel) pop() (core.Message, bool) {
	m, ok, starved := c.ring.Pop()
	if starved {
		c.sender.Notify()
	}
	return m, ok
}

// close releases what is on the way. Both workers have stopped.
func (c *Channel) close() {
	for {
		m, ok := c.pop()
		if !ok {
			return
		}
		if m.Batch != nil {
			m.Batch.Release()
		}
	}
}
