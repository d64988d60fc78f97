package memory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unsafe"

	arrow "github.com/apache/arrow/go/v17/arrow/memory"

	"turbo/internal/invariants"
)

var _ arrow.Allocator = (*Account)(nil)

func TestSizes(t *testing.T) {
	for _, c := range []struct{ n, want int }{
		{0, 0}, {1, 64}, {63, 64}, {64, 64}, {65, 128}, {128, 128}, {129, 256}, {4096, 4096}, {4097, 8192},
		{1<<20 - 1, 1 << 20}, {1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + 8192}, {5 << 20, 5 << 20},
	} {
		if got := SlabSize(c.n); got != c.want {
			t.Errorf("SlabSize(%d) = %d, want %d", c.n, got, c.want)
		}
		p := NewPool(0)
		a := p.Account("a")
		b := a.Allocate(c.n)
		if len(b) != c.n || cap(b) != c.want || a.Used() != int64(c.want) {
			t.Errorf("Allocate(%d): len %d cap %d used %d", c.n, len(b), cap(b), a.Used())
		}
		if c.n > 0 && uintptr(unsafe.Pointer(&b[0]))%Alignment != 0 {
			t.Errorf("Allocate(%d) is not aligned", c.n)
		}
		a.Free(b)
		if err := p.CheckZero(); err != nil {
			t.Error(err)
		}
	}
}

func TestReuse(t *testing.T) {
	p := NewPool(1 << 20)
	a, other := p.Account("a"), p.Account("other")
	first := a.Allocate(1000)
	at := unsafe.SliceData(first)
	a.Free(first)
	if p.Retained() != 1024 || p.Held() != 1024 || p.Used() != 0 {
		t.Fatalf("after free: retained %d held %d used %d", p.Retained(), p.Held(), p.Used())
	}
	again := other.Allocate(600) // from the other account's shard
	if unsafe.SliceData(again) != at {
		t.Error("the free slab was not reused")
	}
	if p.Retained() != 0 || p.Held() != 1024 {
		t.Errorf("after reuse: retained %d held %d", p.Retained(), p.Held())
	}
	other.Free(again)
}

// limitOf runs f and returns the limit error it panics with.
func limitOf(f func()) (e *LimitError) {
	defer func() { e, _ = recover().(*LimitError) }()
	f()
	return nil
}

func TestLimit(t *testing.T) {
	p := NewPool(1 << 20)
	a := p.Account("job/a")
	if err := p.Account("job/big").Reserve(900 << 10); err != nil {
		t.Fatal(err)
	}
	b := a.Allocate(64 << 10)
	e := limitOf(func() { a.Allocate(128 << 10) })
	if e == nil {
		t.Fatal("the limit was not enforced")
	}
	want := "out of memory: job/a asked for 128.0 KiB, but 964.0 KiB of the 1.0 MiB that engine.memory leaves for data are taken; " +
		"largest first: job/big 900.0 KiB, job/a 64.0 KiB. Raise engine.memory; what queues and batches have also follows engine.parallelism and engine.batch-rows"
	if e.Error() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
	if e := limitOf(func() { a.Allocate(2 << 20) }); e == nil {
		t.Error("the limit was not enforced on a direct allocation")
	}
	var le *LimitError
	if err := a.Reserve(1 << 20); !errors.As(err, &le) || le.Requested != 1<<20 {
		t.Errorf("Reserve: %v", err)
	}
	if a.Used() != 64<<10 || p.Used() != 964<<10 || p.UsedUnder("job") != 964<<10 || p.UsedUnder("job/a") != 64<<10 || p.UsedUnder("jo") != 0 {
		t.Errorf("refused requests left traces: %d %d", a.Used(), p.Used())
	}
	a.SetLimit(70 << 10)
	if e := limitOf(func() { a.Allocate(8 << 10) }); e == nil || !e.OfAccount || e.Limit != 70<<10 {
		t.Errorf("account limit: %v", e)
	}
	if err := a.Reserve(8 << 10); !errors.As(err, &le) || !le.OfAccount {
		t.Errorf("account limit on Reserve: %v", err)
	}
	a.Free(b)
	p.Account("job/big").Unreserve(900 << 10)
	if err := p.CheckZero(); err != nil {
		t.Error(err)
	}
}

// Free slabs never make a request fail (invariant 4).
func TestRetainedGivesWay(t *testing.T) {
	p := NewPool(1 << 20)
	a := p.Account("a")
	var list [][]byte
	for range 256 {
		list = append(list, a.Allocate(4096))
	}
	for _, b := range list {
		a.Free(b)
	}
	if p.Retained() != 1<<20 {
		t.Fatalf("retained %d", p.Retained())
	}
	b := a.Allocate(64 << 10)
	if p.Held() > p.Limit() || p.Retained() != 1<<20-64<<10 {
		t.Errorf("held %d retained %d", p.Held(), p.Retained())
	}
	if err := a.Reserve(900 << 10); err != nil {
		t.Error(err)
	}
	a.Unreserve(900 << 10)
	a.Free(b)
}

func TestTidy(t *testing.T) {
	p := NewPool(0)
	a := p.Account("a")
	var list [][]byte
	for range 10 {
		list = append(list, a.Allocate(4096))
	}
	for _, b := range list {
		a.Free(b)
	}
	p.Tidy() // all ten were in use since the start
	if got := p.Retained(); got != 10*4096 {
		t.Fatalf("retained %d", got)
	}
	for range 5 { // a steady load of two slabs
		x, y := a.Allocate(4096), a.Allocate(4096)
		a.Free(x)
		a.Free(y)
	}
	p.Tidy()
	if got := p.Retained(); got != 2*4096 {
		t.Errorf("retained %d, want the two that are turned over", got)
	}
	p.Tidy()
	if got := p.Retained(); got != 0 || p.Held() != 0 {
		t.Errorf("retained %d held %d after an idle time", got, p.Held())
	}
}

func TestReallocate(t *testing.T) {
	p := NewPool(0)
	a := p.Account("a")
	b := a.Allocate(3)
	copy(b, "abc")
	for _, n := range []int{10, 64, 65, 5000, 3 << 20, 4 << 20, 100, 4, 3} {
		b = a.Reallocate(n, b)
		if len(b) != n || string(b[:3]) != "abc" {
			t.Fatalf("Reallocate(%d): len %d %q", n, len(b), b[:3])
		}
	}
	if got := a.Reallocate(0, b); len(got) != 0 {
		t.Errorf("len %d", len(got))
	}
	if err := p.CheckZero(); err != nil {
		t.Error(err)
	}
}

func TestCheckZero(t *testing.T) {
	p := NewPool(0)
	b := p.Account("job/leaky").Allocate(100)
	err := p.CheckZero()
	if err == nil || !strings.HasPrefix(err.Error(), `memory: account "job/leaky" still uses 128 bytes`) {
		t.Errorf("got %v", err)
	}
	if invariants.Enabled && !strings.Contains(err.Error(), "pool_test.go") {
		t.Errorf("the leak's origin is not named: %v", err)
	}
	p.Account("job/leaky").Free(b)
}

func TestMisuse(t *testing.T) {
	if !invariants.Enabled {
		t.Skip("needs the build tag invariants")
	}
	for _, c := range []struct {
		name, want string
		run        func(p *Pool, a *Account)
	}{
		{"double free", "is not in use", func(p *Pool, a *Account) { b := a.Allocate(100); a.Free(b); a.Free(b) }},
		{"double free direct", "is not in use", func(p *Pool, a *Account) { b := a.Allocate(2 << 20); a.Free(b); a.Free(b) }},
		{"wrong account", `frees a slab of "a"`, func(p *Pool, a *Account) { p.Account("b").Free(a.Allocate(100)) }},
		{"middle of a slab", "is not in use", func(p *Pool, a *Account) { a.Free(a.Allocate(128)[64:]) }},
		{"cut capacity", "frees 64 bytes of a slab of 128", func(p *Pool, a *Account) { a.Free(a.Allocate(128)[:64:64]) }},
		{"write after free", "written at offset 7 after", func(p *Pool, a *Account) { b := a.Allocate(100); a.Free(b); b[7] = 1; a.Allocate(100) }},
		{"write after free, trimmed", "written at offset 7 after", func(p *Pool, a *Account) { b := a.Allocate(100); a.Free(b); b[7] = 1; p.Trim(1) }},
		{"unreserve too much", "gave back more", func(p *Pool, a *Account) { a.Unreserve(1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}()
			p := NewPool(0)
			c.run(p, p.Account("a"))
		})
	}
}

// Slabs allocated by some goroutines and freed by others: contents stay apart and the figures end at zero.
func TestConcurrent(t *testing.T) {
	const limit = 8 << 20
	p := NewPool(limit)
	accounts := []*Account{p.Account("x"), p.Account("y")}
	type item struct {
		b    []byte
		a    *Account
		mark byte
	}
	items := make(chan item, 64)
	var senders, receivers sync.WaitGroup
	for g := range 4 {
		senders.Add(1)
		go func() {
			defer senders.Done()
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			for i := range 3000 {
				a := accounts[rng.IntN(2)]
				n := 1 << rng.IntN(16)
				if i%500 == 0 {
					n = 1<<20 + 5
				}
				var b []byte
				if e := limitOf(func() { b = a.Allocate(n) }); e != nil {
					t.Errorf("limit: %v", e)
					continue
				}
				b[0], b[n-1] = byte(i), byte(i)
				items <- item{b, a, byte(i)}
			}
		}()
	}
	for range 3 {
		receivers.Add(1)
		go func() {
			defer receivers.Done()
			for it := range items {
				if it.b[0] != it.mark || it.b[len(it.b)-1] != it.mark {
					t.Error("a slab was handed out twice")
				}
				it.a.Free(it.b)
				if held := p.Held(); held > limit {
					t.Errorf("held %d", held)
				}
			}
		}()
	}
	senders.Wait()
	close(items)
	receivers.Wait()
	if err := p.CheckZero(); err != nil {
		t.Error(err)
	}
	if p.Held() != p.Retained() {
		t.Errorf("held %d retained %d", p.Held(), p.Retained())
	}
	if p.Trim(1 << 40); p.Held() != 0 {
		t.Errorf("held %d after a full trim", p.Held())
	}
}

func TestPlan(t *testing.T) {
	for _, limit := range []int64{0, 32 << 20, 100<<20 + 7, 512 << 20, 64 << 30} {
		s := Split(limit)
		if limit > 0 && s.Limit != limit {
			t.Errorf("limit %d became %d", limit, s.Limit)
		}
		if sum := s.Runtime + s.Batches + s.State + s.Badger + s.Kafka + s.Parquet; sum != s.Limit {
			t.Errorf("the shares of %d add up to %d", limit, sum)
		}
		for _, n := range []int64{s.Runtime, s.Batches, s.State, s.Badger, s.Kafka, s.Parquet} {
			if n <= 0 {
				t.Errorf("limit %d: an empty share in %+v", limit, s)
			}
		}
		if s.SoftLimit() >= s.Limit || s.SoftLimit() < s.Pool() {
			t.Errorf("limit %d: soft limit %d, pool %d", limit, s.SoftLimit(), s.Pool())
		}
	}
}

func BenchmarkAllocateFree(b *testing.B) {
	for _, n := range []int{64, 4096, 32 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := NewPool(1 << 30).Account("a")
			b.ReportAllocs()
			for b.Loop() {
				a.Free(a.Allocate(n))
			}
		})
	}
	b.Run("parallel", func(b *testing.B) {
		p := NewPool(1 << 30)
		var mu sync.Mutex
		i := 0
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			mu.Lock()
			a := p.Account(fmt.Sprint(i))
			i++
			mu.Unlock()
			for pb.Next() {
				a.Free(a.Allocate(4096))
			}
		})
	})
}
