package memory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"turbo/internal/invariants"
)

// shards is the number of independent sets of free lists. An account keeps to one, so that two workers meet on a lock only over
// the slabs of an exchange between them.
const shards = 8

// Pool is a budget of bytes and the free slabs within it. All methods are safe for concurrent use.
//
// Free lists are stacks (the slab freed last is the one still in a cache), one per class and shard, under the shard's mutex. An
// uncontended pair of lock and unlock is some 10 ns, so an Allocate and a Free together cost some 30 ns. A lock-free stack was
// rejected: without tagged pointers it has the ABA problem, in Go its nodes would be garbage, and the lock is held for a
// handful of instructions. A sync.Pool was rejected: its contents are invisible to the budget.
type Pool struct {
	limit int64
	_     [56]byte
	held  atomic.Int64 // invariant 1; changed only when memory comes from or goes to the heap, not when a slab is reused
	_     [56]byte

	shard [shards]shard

	mu       sync.RWMutex
	accounts map[string]*Account
	track    tracker
}

type shard struct {
	mu       sync.Mutex
	retained int64 // bytes in the lists below
	free     [classes]freeList
	_        [40]byte
}

// freeList is a stack of free slabs of one class. low is its smallest depth since the last Tidy: that many slabs were not
// needed in all that time.
type freeList struct {
	slabs []unsafe.Pointer
	low   int
}

// NewPool returns a pool that never holds more than limit bytes. A limit of 0 or less means no limit.
func NewPool(limit int64) *Pool {
	if limit <= 0 {
		limit = 1<<63 - 1
	}
	return &Pool{limit: limit, accounts: make(map[string]*Account)}
}

// Account returns the account of that name, making it at the first call. Nested names are separated by slashes
// ("job/operator"); nesting matters to UsedUnder only.
func (p *Pool) Account(name string) *Account {
	p.mu.RLock()
	a := p.accounts[name]
	p.mu.RUnlock()
	if a != nil {
		return a
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a = p.accounts[name]; a == nil {
		a = &Account{pool: p, name: name, home: &p.shard[len(p.accounts)%shards]}
		p.accounts[name] = a
	}
	return a
}

// Accounts returns all accounts sorted by name.
func (p *Pool) Accounts() []*Account {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := make([]*Account, 0, len(p.accounts))
	for _, a := range p.accounts {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *Account) int { return cmp.Compare(a.name, b.name) })
	return list
}

// Limit returns the bytes that the pool may hold.
func (p *Pool) Limit() int64 { return p.limit }

// Held returns the bytes that the pool holds: in use, reserved, or kept for reuse.
func (p *Pool) Held() int64 { return p.held.Load() }

// Used returns the bytes in use and reserved over all accounts.
func (p *Pool) Used() int64 { return p.UsedUnder("") }

// UsedUnder returns the bytes used by the account of that name and by all nested below it; "" is all accounts.
func (p *Pool) UsedUnder(name string) int64 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var n int64
	for _, a := range p.accounts {
		if name == "" || a.name == name || strings.HasPrefix(a.name, name) && a.name[len(name)] == '/' {
			n += a.used.Load()
		}
	}
	return n
}

// Retained returns the bytes of free slabs that are kept for reuse.
func (p *Pool) Retained() int64 {
	var n int64
	for i := range p.shard {
		s := &p.shard[i]
		s.mu.Lock()
		n += s.retained
		s.mu.Unlock()
	}
	return n
}

// CheckZero returns an error that names every account that still uses memory, or nil. In the invariants build it also says where
// the slabs were allocated. Tests call it at their end.
func (p *Pool) CheckZero() error {
	var errs []error
	for _, a := range p.Accounts() {
		if n := a.used.Load(); n != 0 {
			errs = append(errs, fmt.Errorf("memory: account %q still uses %d bytes%s", a.name, n, p.track.origins(a)))
		}
	}
	return errors.Join(errs...)
}

// Tidy drops the free slabs that nothing has needed since the last Tidy. The engine calls it about once a second, so that the
// memory of a burst goes back, and a steady load keeps exactly what it turns over.
func (p *Pool) Tidy() {
	for i := range p.shard {
		s := &p.shard[i]
		s.mu.Lock()
		var dropped int64
		for class := range s.free {
			l := &s.free[class]
			dropped += l.drop(l.low, class, &p.track)
			l.low = len(l.slabs)
		}
		s.retained -= dropped
		s.mu.Unlock()
		p.held.Add(-dropped)
	}
}

// Trim drops free slabs, largest classes first, until at least n bytes have gone or none is left. It returns the bytes that went.
func (p *Pool) Trim(n int64) int64 {
	var total int64
	for class := classes - 1; class >= 0 && total < n; class-- {
		for i := range p.shard {
			if total >= n {
				break
			}
			s := &p.shard[i]
			s.mu.Lock()
			l := &s.free[class]
			want := (n - total + int64(classBytes(class)) - 1) / int64(classBytes(class))
			dropped := l.drop(int(min(want, int64(len(l.slabs)))), class, &p.track)
			s.retained -= dropped
			s.mu.Unlock()
			p.held.Add(-dropped)
			total += dropped
		}
	}
	return total
}

// drop forgets the n coldest slabs of the list and returns their bytes.
func (l *freeList) drop(n, class int, t *tracker) int64 {
	if n <= 0 {
		return 0
	}
	if invariants.Enabled {
		for _, s := range l.slabs[:n] {
			t.verify(s, classBytes(class))
		}
	}
	kept := copy(l.slabs, l.slabs[n:])
	clear(l.slabs[kept:])
	l.slabs = l.slabs[:kept]
	l.low = min(l.low, kept)
	return int64(n) * int64(classBytes(class))
}

// grow takes n more bytes from the budget, dropping free slabs if need be. It returns false when they are not there.
func (p *Pool) grow(n int64) bool {
	for {
		held := p.held.Load()
		if n <= p.limit-held {
			if p.held.CompareAndSwap(held, held+n) {
				return true
			}
			continue
		}
		if p.Trim(n-(p.limit-held)) == 0 && p.held.Load() >= held {
			return false
		}
	}
}

// take returns a slab of the class, from the free lists if one has it, and nil when the budget is spent.
func (p *Pool) take(class int, home *shard) unsafe.Pointer {
	if s := home.pop(class); s != nil {
		return s
	}
	for i := range p.shard {
		if other := &p.shard[i]; other != home {
			if s := other.pop(class); s != nil {
				return s
			}
		}
	}
	if !p.grow(int64(classBytes(class))) {
		return nil
	}
	s := newSlab(classBytes(class))
	if invariants.Enabled {
		poison(s, classBytes(class))
	}
	return s
}

func (s *shard) pop(class int) unsafe.Pointer {
	s.mu.Lock()
	l := &s.free[class]
	n := len(l.slabs) - 1
	if n < 0 {
		s.mu.Unlock()
		return nil
	}
	slab := l.slabs[n]
	l.slabs[n] = nil
	l.slabs = l.slabs[:n]
	if n < l.low {
		l.low = n
	}
	s.retained -= int64(classBytes(class))
	s.mu.Unlock()
	return slab
}

func (s *shard) push(class int, slab unsafe.Pointer) {
	s.mu.Lock()
	l := &s.free[class]
	l.slabs = append(l.slabs, slab)
	s.retained += int64(classBytes(class))
	s.mu.Unlock()
}

// limitError describes a request that the budget refused, with the largest accounts.
func (p *Pool) limitError(a *Account, n int64) *LimitError {
	list := p.Accounts()
	slices.SortStableFunc(list, func(x, y *Account) int { return cmp.Compare(y.used.Load(), x.used.Load()) })
	e := &LimitError{Account: a.name, Requested: n, Used: p.held.Load(), Limit: p.limit}
	for _, x := range list[:min(len(list), 5)] {
		if used := x.used.Load(); used > 0 {
			e.Largest = append(e.Largest, AccountUse{x.name, used})
		}
	}
	return e
}

// AccountUse is an account's name with the bytes it uses.
type AccountUse struct {
	Name string
	Used int64
}

// LimitError says that a request went beyond a limit. Reserve returns it; Allocate and Reallocate panic with it (a *LimitError),
// because Arrow's interface has no error, and the worker turns it into a failure of the job.
type LimitError struct {
	Account   string       // who asked
	Requested int64        // bytes asked for
	Used      int64        // bytes held already against the limit that refused
	Limit     int64        // the limit that refused: the pool's, or the account's
	OfAccount bool         // the account's own limit refused, not the pool's
	Largest   []AccountUse // the largest accounts, largest first
}

func (e *LimitError) Error() string {
	var b strings.Builder
	what := "that engine.memory leaves for data"
	if e.OfAccount {
		what = "of its limit"
	}
	fmt.Fprintf(&b, "out of memory: %s asked for %s, but %s of the %s %s are taken", e.Account, size(e.Requested), size(e.Used), size(e.Limit), what)
	for i, a := range e.Largest {
		if i == 0 {
			b.WriteString("; largest first: ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", a.Name, size(a.Used))
	}
	b.WriteString(". Raise engine.memory; what queues and batches have also follows engine.parallelism and engine.batch-rows")
	return b.String()
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
