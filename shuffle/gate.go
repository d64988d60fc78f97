package shuffle

import (
	"turbo/core"
	"turbo/internal/invariants"
)

// Event is what a Gate gives: a message, merged over channels, with the input port it belongs to. Kind is one of
//
//   - core.DataMessage: Batch of port Port, which the caller owns
//   - core.WatermarkMessage: the watermark of all inputs together has risen to Time, or is one that was only Riding before
//   - core.IdleMessage, core.ActiveMessage: all inputs together have become idle, active
//   - core.BarrierMessage: the barrier of Checkpoint has come on every channel; FinalBarrier is set when it was final on all
//   - core.EndMessage: no rows will come on port Port any more
type Event struct {
	Port int
	core.Message
}

// Gate is the receiving end of all exchanges into one chain instance. The worker that owns the chain polls it.
//
// # Barrier alignment
//
// A channel whose barrier has come is closed: it is not polled, so its messages stay in its ring and its sender feels that as
// backpressure; nothing is buffered here. When every channel has sent the barrier, the gate gives it and opens them all.
// Channels that have ended still send barriers and are counted. A channel that has sent a final barrier will send nothing any more
// and is not counted for later ones. A barrier with a higher id than the one being aligned means that the coordinator has given the
// older one up: the channels that were closed for it are opened, and it is never given; its remaining barriers are ignored.
type Gate struct {
	inputs []input
	valve  valve
	told   core.Time // the watermark that was given without Riding
	cursor int       // the channel to poll first
	open   []int
	queued [4]Event // events that came out of one message, to be given first
	first  int
	count  int

	aligning uint64 // the checkpoint being aligned, 0 = none
	last     uint64 // the newest checkpoint given or given up
	arrived  int    // channels closed for it
	final    bool   // so far all its barriers were final
}

type input struct {
	channel *Channel
	port    int
	ended   bool
	closed  bool // its barrier has come
	done    bool // its final barrier has been given
	isFinal bool // the barrier that closed it was final
}

// NewGate returns the gate over the channels of each input port.
func NewGate(ports ...[]*Channel) *Gate {
	g := &Gate{told: core.MinTime}
	for port, channels := range ports {
		g.open = append(g.open, len(channels))
		for _, c := range channels {
			g.inputs = append(g.inputs, input{channel: c, port: port})
		}
	}
	g.valve = newValve(len(g.inputs))
	return g
}

// Poll returns the next event; ok is false when there is none now. Channels take turns, a batch each. Control is handled on the
// way, so one call may take several messages, at most what the rings hold.
//
// Expected cost: a hit some 30 ns (a ring's Pop and two cache lines from the other core), a miss 2 ns a channel.
func (g *Gate) Poll() (e Event, ok bool) {
	if g.count > 0 {
		return g.dequeue(), true
	}
	n := len(g.inputs)
	for k, i := 0, g.cursor; k < n; {
		in := &g.inputs[i]
		if !in.closed && !in.done {
			if m, ok := in.channel.pop(); ok {
				if m.Kind == core.DataMessage {
					if invariants.Enabled {
						invariants.Check(!in.ended, "rows on a channel that has ended")
					}
					if g.cursor = i + 1; g.cursor == n {
						g.cursor = 0
					}
					if m.Flags&core.Riding != 0 {
						if g.valve.watermark(i, m.Time) {
							g.enqueue(0, core.Message{Kind: core.WatermarkMessage, Flags: core.Riding, Time: g.valve.last})
						}
						m.Flags, m.Time = 0, 0
					}
					return Event{in.port, m}, true
				}
				g.cursor = i
				if g.control(i, m); g.count > 0 {
					return g.dequeue(), true
				}
				k = 0 // the same channel again, and all others, because a barrier may have opened them
				continue
			}
		}
		k++
		if i++; i == n {
			i = 0
		}
	}
	return Event{}, false
}

// Ready reports whether Poll would find a message. It may say yes for one that yields no event. A worker that parks calls it after
// Waker.Park.
func (g *Gate) Ready() bool {
	if g.count > 0 {
		return true
	}
	for i := range g.inputs {
		if in := &g.inputs[i]; !in.closed && !in.done && in.channel.ring.Ready() {
			return true
		}
	}
	return false
}

// Watermark returns the merged watermark that was given last, core.MinTime at first.
func (g *Gate) Watermark() core.Time { return g.valve.last }

// Idle reports whether all inputs are idle.
func (g *Gate) Idle() bool { return g.valve.idle }

// Aligning returns the checkpoint whose barriers have come on some channels but not on all, and the number of channels that are
// still to send it; 0, 0 when there is none.
func (g *Gate) Aligning() (checkpoint uint64, missing int) {
	if g.aligning == 0 {
		return 0, 0
	}
	return g.aligning, g.counted() - g.arrived
}

// Queued returns the number of messages waiting in all channels. Any goroutine may call it.
func (g *Gate) Queued() int {
	n := 0
	for i := range g.inputs {
		n += g.inputs[i].channel.Len()
	}
	return n
}

// Close releases the batches that are still on the way. All workers have stopped.
func (g *Gate) Close() {
	for i := range g.inputs {
		g.inputs[i].channel.close()
	}
	g.count = 0
}

func (g *Gate) enqueue(port int, m core.Message) {
	g.queued[(g.first+g.count)%len(g.queued)] = Event{port, m}
	g.count++
	if invariants.Enabled {
		invariants.Check(g.count <= len(g.queued), "too many events out of one message")
	}
}

func (g *Gate) dequeue() Event {
	e := g.queued[g.first]
	g.queued[g.first] = Event{}
	g.first = (g.first + 1) % len(g.queued)
	g.count--
	return e
}

// control handles a control message of channel i.
func (g *Gate) control(i int, m core.Message) {
	in := &g.inputs[i]
	switch m.Kind {
	case core.WatermarkMessage:
		if g.valve.watermark(i, m.Time) || g.valve.last > g.told {
			g.giveWatermark()
		}
	case core.IdleMessage:
		g.leave(i, false)
	case core.ActiveMessage:
		if g.valve.enter(i) {
			g.enqueue(0, core.Message{Kind: core.ActiveMessage})
		}
	case core.EndMessage:
		if in.ended {
			return
		}
		in.ended = true
		g.leave(i, true)
		if g.open[in.port]--; g.open[in.port] == 0 {
			g.enqueue(in.port, core.Message{Kind: core.EndMessage})
		}
	case core.BarrierMessage:
		g.barrier(i, m)
	default:
		invariants.Checkf(false, "message of kind %d in a ring", m.Kind)
	}
}

func (g *Gate) giveWatermark() {
	g.told = g.valve.last
	g.enqueue(0, core.Message{Kind: core.WatermarkMessage, Time: g.valve.last})
}

func (g *Gate) leave(i int, ended bool) {
	risen, idle := g.valve.leave(i, ended)
	if risen {
		g.giveWatermark()
	}
	if idle {
		g.enqueue(0, core.Message{Kind: core.IdleMessage})
	}
}

// counted returns the number of channels that send barriers.
func (g *Gate) counted() int {
	n := 0
	for i := range g.inputs {
		if !g.inputs[i].done {
			n++
		}
	}
	return n
}

// barrier closes channel i and gives the barrier when it was the last one missing.
func (g *Gate) barrier(i int, m core.Message) {
	switch {
	case m.Checkpoint <= g.last || m.Checkpoint < g.aligning:
		return // given up
	case m.Checkpoint > g.aligning:
		g.reopen()
		g.aligning, g.arrived, g.final = m.Checkpoint, 0, true
	}
	in := &g.inputs[i]
	in.closed, in.isFinal = true, m.Flags&core.FinalBarrier != 0
	g.final = g.final && in.isFinal
	if g.arrived++; g.arrived < g.counted() {
		return
	}
	out := core.Message{Kind: core.BarrierMessage, Checkpoint: g.aligning}
	if g.final {
		out.Flags = core.FinalBarrier
	}
	for j := range g.inputs {
		in := &g.inputs[j]
		in.done = in.done || in.closed && in.isFinal
	}
	g.reopen()
	g.last, g.aligning = g.aligning, 0
	g.enqueue(0, out)
}

// reopen opens the channels that were closed for a barrier.
func (g *Gate) reopen() {
	for i := range g.inputs {
		g.inputs[i].closed = false
	}
}
