//go:build invariants

package memory

import (
	"fmt"
	"runtime"
	"sort"
	"strings"
	"sync"
	"unsafe"

	"turbo/internal/invariants"
)

const poisonByte = 0xDB

// tracker knows every slab in use (invariants build only).
type tracker struct {
	mu   sync.Mutex
	live map[uintptr]origin
}

type origin struct {
	account *Account
	size    int
	pcs     [8]uintptr
}

// poison fills a slab so that reads of it stand out and writes to it are noticed.
func poison(p unsafe.Pointer, size int) {
	b := unsafe.Slice((*byte)(p), size)
	for i := range b {
		b[i] = poisonByte
	}
}

// verify checks that nobody has written to a free slab.
func (t *tracker) verify(p unsafe.Pointer, size int) {
	for i, c := range unsafe.Slice((*byte)(p), size) {
		if c != poisonByte {
			invariants.Checkf(false, "slab of %d bytes was written at offset %d after it was freed", size, i)
		}
	}
}

func (t *tracker) allocated(a *Account, p unsafe.Pointer, size int) {
	t.verify(p, size)
	o := origin{account: a, size: size}
	runtime.Callers(3, o.pcs[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live == nil {
		t.live = make(map[uintptr]origin)
	}
	_, twice := t.live[uintptr(p)]
	invariants.Checkf(!twice, "slab of %d bytes handed out twice", size)
	t.live[uintptr(p)] = o
}

func (t *tracker) freed(a *Account, p unsafe.Pointer, size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, ok := t.live[uintptr(p)]
	invariants.Checkf(ok, "account %q frees a slab of %d bytes that is not in use: freed twice, or not from its start", a.name, size)
	invariants.Checkf(o.account == a, "account %q frees a slab of %q", a.name, o.account.name)
	invariants.Checkf(o.size == size, "account %q frees %d bytes of a slab of %d bytes", a.name, size, o.size)
	delete(t.live, uintptr(p))
	poison(p, size)
}

// origins tells where the slabs that an account still uses were allocated.
func (t *tracker) origins(a *Account) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	count := make(map[string]int)
	for _, o := range t.live {
		if o.account != a {
			continue
		}
		var b strings.Builder
		for frames := runtime.CallersFrames(o.pcs[:]); ; {
			f, more := frames.Next()
			if f.Function != "" {
				fmt.Fprintf(&b, "\n\t\t%s:%d %s", f.File, f.Line, f.Function)
			}
			if !more {
				break
			}
		}
		count[b.String()]++
	}
	var out []string
	for at, n := range count {
		out = append(out, fmt.Sprintf("\n\t%d slabs allocated at%s", n, at))
	}
	sort.Strings(out)
	return strings.Join(out, "")
}
