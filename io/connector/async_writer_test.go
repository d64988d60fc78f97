package connector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/spec"
	"turbo/memory"
)

// testWriter records what it is asked to do. hold, when not nil, makes Write wait.
type testWriter struct {
	mu     sync.Mutex
	log    []string
	did    chan string
	hold   chan struct{}
	fail   map[string]error
	panics bool
	closed bool
}

func newTestWriter() *testWriter {
	return &testWriter{did: make(chan string, 10000), fail: map[string]error{}}
}

func (w *testWriter) record(what string) error {
	w.mu.Lock()
	w.log = append(w.log, what)
	err := w.fail[what]
	w.mu.Unlock()
	w.did <- what
	return err
}

func (w *testWriter) Write(ctx context.Context, b *core.Batch) error {
	what := fmt.Sprintf("write %d..%d", b.Columns[0].Int64s()[0], b.Columns[0].Int64s()[b.Len-1])
	b.Release()
	if w.hold != nil {
		select {
		case <-w.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if w.panics {
		panic("nil map")
	}
	return w.record(what)
}

func (w *testWriter) Tick(context.Context, time.Time) error { return w.record("tick") }

func (w *testWriter) Prepare(_ context.Context, checkpoint uint64, final bool) ([]byte, error) {
	what := fmt.Sprintf("prepare %d %t", checkpoint, final)
	return []byte(what), w.record(what)
}

func (w *testWriter) Close() error { w.closed = true; return nil }

type writerTest struct {
	t       *testing.T
	account *memory.Account
	clock   *clock.Manual
	inner   *testWriter
	writer  *AsyncWriter
	woken   chan struct{}
}

func newWriterTest(t *testing.T, o AsyncWriterOptions) *writerTest {
	pool := memory.NewPool(64 << 20)
	w := &writerTest{t: t, account: pool.Account("test"), clock: clock.NewManual(time.Unix(1000, 0)), inner: newTestWriter(), woken: make(chan struct{}, 1000)}
	o.Clock, o.Name = w.clock, "files"
	if o.TickInterval == 0 {
		o.TickInterval = time.Hour
	}
	w.writer = NewAsyncWriter(w.inner, o)
	t.Cleanup(func() {
		if err := w.writer.Close(); err != nil || !w.inner.closed {
			t.Error("close", err, w.inner.closed)
		}
		if err := w.writer.Close(); err != nil {
			t.Error("close again", err)
		}
		if err := pool.CheckZero(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *writerTest) start() {
	w.writer.SetWaker(func() { w.woken <- struct{}{} })
	w.asleep()
}

// asleep waits until the goroutine sleeps.
func (w *writerTest) asleep() {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Microsecond) {
		w.writer.mu.Lock()
		sleeping := w.writer.sleeping && w.writer.head == len(w.writer.queue)
		w.writer.mu.Unlock()
		if sleeping {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal("the goroutine does not come to rest")
		}
	}
}

func (w *writerTest) write(from, rows int) {
	w.t.Helper()
	if err := w.writer.Write(batchOf(w.account, from, rows)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writerTest) expect(want string) {
	w.t.Helper()
	select {
	case got := <-w.inner.did:
		if got != want {
			w.t.Fatalf("got %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		w.t.Fatalf("no %q", want)
	}
}

func (w *writerTest) quiet() {
	w.t.Helper()
	select {
	case got := <-w.inner.did:
		w.t.Fatalf("%q came too early", got)
	case <-time.After(2 * time.Millisecond):
	}
}

func TestWriterHandsOverByTheBufferTimeout(t *testing.T) {
	w := newWriterTest(t, AsyncWriterOptions{Runtime: Runtime{BufferTimeout: 10 * time.Millisecond, BatchRows: 100}})
	w.start()
	w.write(0, 5)
	w.write(5, 5)
	w.quiet()
	w.clock.Advance(9 * time.Millisecond)
	w.quiet()
	w.clock.Advance(time.Millisecond)
	w.expect("write 0..4")
	w.expect("write 5..9")
	w.asleep()
	w.write(10, 100) // full: at once
	w.expect("write 10..109")
	w.asleep()
	w.write(110, 1)
	w.quiet()
	w.writer.Prepare(1, false, func([]byte, error) {}) // and so before a control message
	w.expect("write 110..110")
	w.expect("prepare 1 false")

	w = newWriterTest(t, AsyncWriterOptions{Runtime: Runtime{BufferTimeout: 0}})
	w.start()
	w.write(0, 1)
	w.expect("write 0..0")

	w = newWriterTest(t, AsyncWriterOptions{Batches: 8, Runtime: Runtime{BufferTimeout: spec.Unlimited}})
	w.start()
	for i := range 3 {
		w.write(i, 1)
	}
	w.clock.Advance(time.Minute)
	w.quiet()
	w.write(3, 1) // half of the bound
	for i := range 4 {
		w.expect(fmt.Sprintf("write %d..%d", i, i))
	}
}

func TestWriterTicksWithoutData(t *testing.T) {
	w := newWriterTest(t, AsyncWriterOptions{TickInterval: 100 * time.Millisecond})
	w.start()
	for range 3 {
		w.quiet()
		w.clock.AwaitPending(1, nil)
		w.clock.Advance(100 * time.Millisecond)
		w.expect("tick")
		w.asleep()
	}
}

func TestWriterIsBoundedAndWakes(t *testing.T) {
	for _, o := range []AsyncWriterOptions{{Batches: 4}, {Batches: 1000, Bytes: 1}} {
		w := newWriterTest(t, o)
		w.inner.hold = make(chan struct{}, 1000)
		w.start()
		n := 0
		for ; !w.writer.Full() && n < 100; n++ {
			w.write(n, 1)
			w.writer.mu.Lock()
			if w.writer.batches > max(o.Batches, 1) {
				t.Error("more than the bound is queued")
			}
			w.writer.mu.Unlock()
		}
		if n > 6 {
			t.Fatalf("not full after %d batches", n)
		}
		for range n {
			w.inner.hold <- struct{}{}
		}
		// The first call may be an older one: the goroutine can have made room once while the loop above was filling.
		for first := true; first || w.writer.Full(); first = false {
			select {
			case <-w.woken:
			case <-time.After(time.Minute):
				t.Fatal("the waker is not called")
			}
		}
		for i := range n {
			w.expect(fmt.Sprintf("write %d..%d", i, i))
		}
	}
}

func TestWriterErrors(t *testing.T) {
	boom := errors.New("disk full")
	for _, c := range []struct {
		at, want string
		panics   bool
	}{{"write 0..0", "sink files, worker 0: disk full", false}, {"prepare 1 false", "sink files, worker 0: disk full", false}, {"", "sink files, worker 0: panic: nil map", true}} {
		w := newWriterTest(t, AsyncWriterOptions{})
		w.inner.fail[c.at], w.inner.panics = boom, c.panics
		w.start()
		w.write(0, 1)
		results := make(chan error, 2)
		for id := range uint64(2) {
			w.writer.Prepare(id+1, false, func(b []byte, err error) {
				if b != nil {
					err = errors.New("a committable beside the error")
				}
				results <- err
			})
		}
		for range 2 { // this checkpoint and each later one
			if err := <-results; err == nil || !strings.HasPrefix(err.Error(), c.want) || !c.panics && !errors.Is(err, boom) {
				t.Errorf("%s: the checkpoint got %v", c.at, err)
			}
		}
		if err := w.writer.Write(batchOf(w.account, 1, 1)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: the next Write got %v", c.at, err)
		}
		if w.writer.Full() {
			t.Error("a failed writer is full: nobody would find the error")
		}
	}
}

func TestWriterClosesInTheMiddle(t *testing.T) {
	w := newWriterTest(t, AsyncWriterOptions{})
	w.inner.hold = make(chan struct{})
	w.start()
	w.write(0, 1)
	w.write(1, 1)
	results := make(chan error, 2)
	w.writer.Prepare(1, false, func(_ []byte, err error) { results <- err })
	if err := w.writer.Close(); err != nil {
		t.Fatal(err)
	}
	w.writer.Prepare(2, false, func(_ []byte, err error) { results <- err })
	for range 2 {
		if err := <-results; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if len(w.inner.log) != 0 {
		t.Error("it went on:", w.inner.log)
	}
}

// TestWriterKeepsOrder sends batches and checkpoints at random, under the real clock, and compares the order.
func TestWriterKeepsOrder(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 2))
		pool := memory.NewPool(64 << 20)
		account := pool.Account("test")
		inner := newTestWriter()
		w := NewAsyncWriter(inner, AsyncWriterOptions{Batches: 1 + random.IntN(8), TickInterval: time.Hour,
			Runtime: Runtime{BatchRows: 1 + random.IntN(30), BufferTimeout: []time.Duration{0, spec.Unlimited, 100 * time.Microsecond, 3 * time.Millisecond}[random.IntN(4)]}})
		woken := make(chan struct{}, 1)
		w.SetWaker(func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		var want []string
		at, prepared := 0, make(chan string, 1000)
		for i := range 500 {
			if random.IntN(20) == 0 || i == 499 {
				what := fmt.Sprintf("prepare %d %t", i, i == 499)
				want = append(want, what)
				w.Prepare(uint64(i), i == 499, func(b []byte, err error) { prepared <- fmt.Sprint(string(b), err) })
				if got := <-prepared; got != what+"<nil>" {
					t.Fatalf("seed %d: %s", seed, got)
				}
				continue
			}
			for w.Full() {
				<-woken
			}
			rows := 1 + random.IntN(20)
			if err := w.Write(batchOf(account, at, rows)); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("write %d..%d", at, at+rows-1))
			at += rows
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(inner.log, "\n"); got != strings.Join(want, "\n") {
			t.Fatalf("seed %d: the order is wrong", seed)
		}
		if err := pool.CheckZero(); err != nil {
			t.Fatal(err)
		}
	}
}
