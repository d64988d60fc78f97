package vfs

import (
	"math/rand/v2"
	"sort"
)

// crashBlock is the unit in which random mode keeps or loses unsynced content.
const crashBlock = 512

// Crash takes the power away and gives it back: every byte, name, rename and removal that was not synced is forgotten, and
// every open file is dead. This is the strict mode: the least that the contract of FS promises.
func (m *Mem) Crash() { m.crash(nil) }

// CrashRandom is Crash with a disk that had, by chance, written some of what was not synced: any subset of the changes of
// names, any blocks of the content. The same seed keeps the same.
func (m *Mem) CrashRandom(seed uint64) {
	m.crash(rand.New(rand.NewPCG(seed, 0x70776c)))
}

func (m *Mem) crash(random *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life++
	m.stopAt = -1
	seen := map[*node]bool{}
	var visit func(n *node)
	visit = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if !n.dir {
			n.crashContent(random)
			return
		}
		n.crashNames(random)
		names := make([]string, 0, len(n.entries))
		for name := range n.entries {
			names = append(names, name)
		}
		sort.Strings(names) // random choices must not depend on the order of a map
		for _, name := range names {
			visit(n.entries[name])
		}
	}
	visit(m.root)
}

func (n *node) crashNames(random *rand.Rand) {
	if random != nil {
		prefix := len(n.log)
		subset := random.IntN(2) == 0
		if !subset {
			prefix = random.IntN(len(n.log) + 1)
		}
		for _, op := range n.log[:prefix] {
			if subset && random.IntN(2) == 0 {
				continue
			}
			for name, target := range op.set {
				if target == nil {
					delete(n.durable, name)
				} else {
					n.durable[name] = target
				}
			}
		}
	}
	n.log = nil
	n.entries = make(map[string]*node, len(n.durable))
	for name, child := range n.durable {
		n.entries[name] = child
	}
}

func (n *node) crashContent(random *rand.Rand) {
	if random != nil && (n.dirtyFrom < len(n.data) || len(n.data) != len(n.synced)) {
		size := len(n.synced)
		if d := len(n.data) - size; d > 0 {
			size += random.IntN(d + 1)
		} else if d < 0 && random.IntN(2) == 0 {
			size = len(n.data)
		}
		kept := make([]byte, size)
		copy(kept, n.synced)
		for at := n.dirtyFrom / crashBlock * crashBlock; at < min(size, len(n.data)); at += crashBlock {
			if random.IntN(2) == 0 {
				copy(kept[at:min(at+crashBlock, size)], n.data[at:])
			}
		}
		n.synced = kept
	}
	n.data = append([]byte(nil), n.synced...)
	n.dirtyFrom = len(n.data)
}
