package shuffle

import (
	"fmt"
	"strconv"
	"strings"

	"turbo/core"
	"turbo/memory"
)

// scripted returns the message of a verb of a test script.
func scripted(account *memory.Account, verb string) core.Message {
	number, mark, _ := strings.Cut(verb[1:], "@")
	n, _ := strconv.ParseInt(number, 10, 64)
	switch verb[0] {
	case 'r':
		t, _ := strconv.ParseInt(mark, 10, 64)
		return core.Message{Kind: core.DataMessage, Flags: core.Riding, Time: core.Time(t), Batch: ints(account, oneInt, n)}
	case 'd':
		return core.Message{Kind: core.DataMessage, Batch: ints(account, oneInt, n)}
	case 'w':
		return core.Message{Kind: core.WatermarkMessage, Time: core.Time(n)}
	case 'i':
		return core.Message{Kind: core.IdleMessage}
	case 'a':
		return core.Message{Kind: core.ActiveMessage}
	case 'e':
		return core.Message{Kind: core.EndMessage}
	case 'b':
		return core.Message{Kind: core.BarrierMessage, Checkpoint: uint64(n)}
	case 'f':
		return core.Message{Kind: core.BarrierMessage, Checkpoint: uint64(n), Flags: core.FinalBarrier}
	}
	panic(verb)
}

// model is a gate written for reading: slices of verbs for rings, and all conditions worked out anew from what each channel has sent.
type model struct {
	ports   []int
	queues  [][]string // not consumed yet
	history [][]string // consumed
	from    int        // the channel to look at first
	pending []string
	merged  int64
	told    int64 // by a W
	allIdle bool
	aligned []bool
	barrier map[int]int64 // the channels that stand at a barrier
	newest  int64         // given or given up
}

const never = int64(core.MinTime)

func newModel(g *Gate) *model {
	m := &model{merged: never, told: never, barrier: map[int]int64{}}
	for _, in := range g.inputs {
		m.ports = append(m.ports, in.port)
		m.queues = append(m.queues, nil)
		m.history = append(m.history, nil)
		m.aligned = append(m.aligned, true)
	}
	return m
}

// sent returns all that each channel has sent.
func (m *model) sent() [][]string {
	var all [][]string
	for i := range m.queues {
		all = append(all, append(append([]string(nil), m.history[i]...), m.queues[i]...))
	}
	return all
}

// status replays a channel's history: its watermark (those sent while idle do not count), whether it is idle, whether it has ended.
func (m *model) status(i int) (watermark int64, idle, ended bool) {
	watermark = never
	for _, v := range m.history[i] {
		switch v[0] {
		case 'w', 'r':
			if n, _ := strconv.ParseInt(v[strings.IndexAny(v, "w@")+1:], 10, 64); !idle {
				watermark = max(watermark, n)
			}
		case 'i':
			idle = true
		case 'a':
			idle = false
		case 'e':
			ended = true
		}
	}
	return watermark, idle && !ended, ended
}

func (m *model) poll() (string, bool) {
	for {
		if len(m.pending) > 0 {
			e := m.pending[0]
			m.pending = m.pending[1:]
			return e, true
		}
		i := m.next()
		if i < 0 {
			return "", false
		}
		v := m.queues[i][0]
		m.queues[i] = m.queues[i][1:]
		before, wasIdle, _ := m.status(i)
		m.history[i] = append(m.history[i], v)
		m.from = i
		switch v[0] {
		case 'd':
			m.from = (i + 1) % len(m.queues)
			return fmt.Sprintf("%d:%s", m.ports[i], v[1:]), true
		case 'b':
			m.arrive(i, v)
		case 'r':
			m.from = (i + 1) % len(m.queues)
			old, told := m.merged, m.told
			m.grow(i, before, wasIdle)
			m.pending, m.told = nil, told
			if m.merged > old {
				m.pending = []string{fmt.Sprintf("R%d", m.merged)}
			}
			value, _, _ := strings.Cut(v[1:], "@")
			return fmt.Sprintf("%d:%s", m.ports[i], value), true
		case 'w':
			if m.grow(i, before, wasIdle); m.told < m.merged {
				m.told = m.merged
				m.pending = append(m.pending, fmt.Sprintf("W%d", m.merged))
			}
		case 'a':
			if wasIdle {
				m.aligned[i] = before >= m.merged
				if m.allIdle {
					m.allIdle = false
					m.pending = append(m.pending, "active")
				}
			}
		case 'i', 'e':
			if v == "i" && wasIdle {
				continue
			}
			m.aligned[i] = false
			m.left(i, before)
			if v == "e" && m.portEnded(m.ports[i]) {
				m.pending = append(m.pending, fmt.Sprintf("end%d", m.ports[i]))
			}
		}
	}
}

// next returns the first channel, beginning with from, that has something and does not stand at a barrier, or -1.
func (m *model) next() int {
	for k := range m.queues {
		i := (m.from + k) % len(m.queues)
		if _, stands := m.barrier[i]; len(m.queues[i]) > 0 && !stands {
			return i
		}
	}
	return -1
}

// grow takes the watermark that channel i has got, which was before.
func (m *model) grow(i int, before int64, wasIdle bool) {
	if now, _, _ := m.status(i); !wasIdle && now > before {
		m.aligned[i] = m.aligned[i] || now >= m.merged
		if m.aligned[i] {
			m.minimum()
		}
	}
}

func (m *model) raise(to int64) {
	if to > m.merged {
		m.merged, m.told = to, to
		m.pending = append(m.pending, fmt.Sprintf("W%d", to))
	}
}

// minimum raises the merged watermark to the minimum over the aligned channels.
func (m *model) minimum() {
	low, some := int64(core.MaxTime), false
	for i := range m.queues {
		if w, _, _ := m.status(i); m.aligned[i] {
			low, some = min(low, w), true
		}
	}
	if some {
		m.raise(low)
	}
}

// left handles that channel i, whose watermark was own, is idle or has ended.
func (m *model) left(i int, own int64) {
	idlers, high := 0, never
	for j := range m.queues {
		w, idle, ended := m.status(j)
		if !idle && !ended {
			m.minimum()
			return
		}
		if idle {
			idlers++
			high = max(high, w)
		}
	}
	if idlers > 0 && !m.allIdle {
		if own == m.merged {
			m.raise(high)
		}
		m.allIdle = true
		m.pending = append(m.pending, "idle")
	}
}

func (m *model) portEnded(port int) bool {
	for i := range m.queues {
		if _, _, ended := m.status(i); m.ports[i] == port && !ended {
			return false
		}
	}
	return true
}

// arrive handles barrier v of channel i.
func (m *model) arrive(i int, v string) {
	id, _ := strconv.ParseInt(v[1:], 10, 64)
	for _, current := range m.barrier {
		if id < current {
			return
		}
		if id > current {
			m.barrier = map[int]int64{} // given up
			break
		}
	}
	if id <= m.newest {
		return
	}
	m.barrier[i] = id
	if len(m.barrier) == len(m.queues) {
		m.newest, m.barrier = id, map[int]int64{}
		m.pending = append(m.pending, "B"+v[1:])
	}
}
