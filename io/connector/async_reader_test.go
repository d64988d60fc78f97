package connector

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/spec"
	"turbo/memory"
)

// testFetcher plays a script of functions, each of which makes an event.
type testFetcher struct {
	events chan func() (FetchEvent, error)
	closed atomic.Bool
}

func (f *testFetcher) Fetch(ctx context.Context) (FetchEvent, error) {
	select {
	case e := <-f.events:
		return e()
	case <-ctx.Done():
		return FetchEvent{}, ctx.Err()
	}
}

func (f *testFetcher) Close() error { f.closed.Store(true); return nil }

var testSchema = core.NewSchema(core.Field{Name: "n", Type: core.Of(core.Int64)}, core.Field{Name: "s", Type: core.Of(core.String)})

func batchOf(account *memory.Account, from, rows int) *core.Batch {
	b := core.NewBatch(account, testSchema)
	n, s := core.NewVector(account, testSchema.Fields[0].Type, rows), core.NewVector(account, testSchema.Fields[1].Type, rows)
	for i := range rows {
		n.AppendInt64(int64(from + i))
		s.AppendString(fmt.Sprint("row ", from+i))
	}
	b.Columns, b.Len = append(b.Columns, n, s), rows
	return b
}

func position(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func data(account *memory.Account, split, from, rows int) func() (FetchEvent, error) {
	return func() (FetchEvent, error) {
		return FetchEvent{core.Event{Kind: core.DataEvent, Split: split, Batch: batchOf(account, from, rows), Read: int64(rows)}, position(from + rows)}, nil
	}
}

func start(split int, id string) func() (FetchEvent, error) {
	return func() (FetchEvent, error) {
		return FetchEvent{core.Event{Kind: core.SplitStart, Split: split, ID: id}, position(0)}, nil
	}
}

func kind(k core.EventKind, split int) func() (FetchEvent, error) {
	return func() (FetchEvent, error) { return FetchEvent{Event: core.Event{Kind: k, Split: split}}, nil }
}

type readerTest struct {
	t       *testing.T
	pool    *memory.Pool
	account *memory.Account
	clock   *clock.Manual
	fetcher *testFetcher
	reader  *AsyncReader
	woken   chan struct{}
}

func newReaderTest(t *testing.T, o AsyncReaderOptions) *readerTest {
	pool := memory.NewPool(64 << 20)
	r := &readerTest{t: t, pool: pool, account: pool.Account("test"), clock: clock.NewManual(time.Unix(1000, 0)), woken: make(chan struct{}, 1000)}
	r.fetcher = &testFetcher{events: make(chan func() (FetchEvent, error), 1000)}
	o.Account, o.Clock, o.Name = r.account, r.clock, "rides"
	r.reader = NewAsyncReader(r.fetcher, o)
	r.reader.SetWaker(func() { r.woken <- struct{}{} })
	t.Cleanup(func() {
		if err := r.reader.Close(); err != nil {
			t.Error(err)
		}
		if !r.fetcher.closed.Load() {
			t.Error("the fetcher was not closed")
		}
		if err := pool.CheckZero(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *readerTest) send(events ...func() (FetchEvent, error)) {
	for _, e := range events {
		r.fetcher.events <- e
	}
}

// next polls until there is an event, sleeping until the waker is called.
func (r *readerTest) next() core.Event {
	r.t.Helper()
	for {
		e, err := r.reader.Poll()
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Kind != core.NoEvent {
			return e
		}
		select {
		case <-r.woken:
		case <-time.After(time.Minute):
			r.t.Fatal("the waker is not called")
		}
	}
}

// fetched waits until the goroutine has taken all events that were sent.
func (r *readerTest) fetched() {
	r.send(kind(core.NoEvent, 0), kind(core.NoEvent, 0))
	for len(r.fetcher.events) > 0 {
		time.Sleep(time.Millisecond)
	}
}

func (r *readerTest) expect(rows int) {
	r.t.Helper()
	e := r.next()
	if e.Kind != core.DataEvent || e.Batch.Rows() != rows || e.Read != int64(rows) {
		r.t.Fatalf("got event %+v, want %d rows", e, rows)
	}
	e.Batch.Release()
}

func (r *readerTest) at(want string) {
	r.t.Helper()
	states, err := r.reader.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	var got []string
	for _, s := range states {
		n := -1
		if len(s.Position) == 8 {
			n = int(binary.BigEndian.Uint64(s.Position))
		}
		got = append(got, fmt.Sprintf("%s=%d", s.ID, n))
	}
	if strings.Join(got, " ") != want {
		r.t.Fatalf("the snapshot is %v, want %s", got, want)
	}
}

func TestReaderPositionsTravelWithEvents(t *testing.T) {
	r := newReaderTest(t, AsyncReaderOptions{Restored: []core.SplitState{{ID: "done", Position: position(9)}, {ID: "a", Position: position(5)}},
		Runtime: Runtime{BatchRows: 1}}) // so that all batches are full
	_, _ = r.reader.Poll() // starts the goroutine
	r.send(start(0, "a"), data(r.account, 0, 0, 3), data(r.account, 0, 3, 4), start(1, "b"), data(r.account, 1, 0, 2), kind(core.SplitEnd, 0), kind(core.EndOfInput, 0))
	for len(r.fetcher.events) > 0 { // everything is fetched, nothing polled
		time.Sleep(time.Millisecond)
	}
	r.at("done=9 a=5")
	if e := r.next(); e.Kind != core.SplitStart || e.ID != "a" {
		t.Fatal(e)
	}
	r.at("done=9 a=0")
	r.expect(3)
	r.at("done=9 a=3")
	r.expect(4)
	before, _ := r.reader.Snapshot()
	r.next()
	r.expect(2)
	r.at("done=9 a=7 b=2")
	if got := binary.BigEndian.Uint64(before[1].Position); got != 7 || len(before) != 2 {
		t.Error("an earlier snapshot has changed", got)
	}
	if e := r.next(); e.Kind != core.SplitEnd {
		t.Fatal(e)
	}
	if e := r.next(); e.Kind != core.EndOfInput {
		t.Fatal(e)
	}
	if e, err := r.reader.Poll(); e.Kind != core.NoEvent || err != nil {
		t.Fatal(e, err)
	}
}

func TestReaderMergesForTheBufferTimeout(t *testing.T) {
	r := newReaderTest(t, AsyncReaderOptions{Runtime: Runtime{BufferTimeout: 10 * time.Millisecond, BatchRows: 100}})
	r.send(start(0, "a"), start(1, "b"))
	r.next()
	r.next()
	r.send(data(r.account, 0, 0, 3), data(r.account, 1, 0, 2), data(r.account, 0, 3, 4))
	r.fetched()
	if e, _ := r.reader.Poll(); e.Kind != core.NoEvent {
		t.Fatal("handed over before the timeout", e)
	}
	if d := r.reader.Deadline(); d != r.clock.Nanos()+int64(10*time.Millisecond) {
		t.Error("the deadline is wrong:", d)
	}
	r.at("a=0 b=0")
	r.clock.Advance(9 * time.Millisecond)
	if e, _ := r.reader.Poll(); e.Kind != core.NoEvent {
		t.Fatal("handed over before the timeout", e)
	}
	r.clock.Advance(time.Millisecond)
	r.expect(7)
	r.at("a=7 b=0")
	r.expect(2)
	r.at("a=7 b=2")
	if r.reader.Deadline() != 0 {
		t.Error("a deadline is left")
	}
	// A full batch goes at once, and so does what must not wait behind another event.
	r.send(data(r.account, 0, 7, 60), data(r.account, 0, 67, 60), kind(core.SplitEnd, 0))
	r.expect(60)
	r.expect(60)
	if e := r.next(); e.Kind != core.SplitEnd {
		t.Fatal(e)
	}
	// Poll hands over what is due even when no timer has fired.
	r.send(data(r.account, 1, 2, 5))
	r.fetched()
	r.reader.timer.Stop()
	r.clock.Advance(10 * time.Millisecond)
	e, err := r.reader.Poll()
	if err != nil || e.Kind != core.DataEvent {
		t.Fatal(e, err)
	}
	e.Batch.Release()
	r.send(data(r.account, 1, 7, 5), kind(core.EndOfInput, 0))
	r.expect(5)
}

func TestReaderMergesAtZeroWhatTheWorkerLeaves(t *testing.T) {
	r := newReaderTest(t, AsyncReaderOptions{Batches: 2, Runtime: Runtime{BatchRows: 10}})
	r.send(start(0, "a"))
	r.next()
	r.send(data(r.account, 0, 0, 1))
	r.expect(1) // at once
	r.send(data(r.account, 0, 1, 2), data(r.account, 0, 3, 3), data(r.account, 0, 6, 1), data(r.account, 0, 7, 2))
	r.fetched()
	r.expect(2) // the worker was waiting for it
	r.at("a=3")
	r.expect(6) // all that came since
	r.at("a=9")
	if _, err := r.reader.Poll(); err != nil || r.reader.Deadline() != 0 {
		t.Error("a deadline of nothing", err)
	}
	for i := range 5 { // two batches in the queue and one that is being filled
		r.send(data(r.account, 0, 9+4*i, 4))
	}
	r.fetched()
	r.expect(4)
	r.expect(8)
	r.at("a=21")
	r.expect(8)
	r.at("a=29")
	r.send(start(1, "b"), data(r.account, 1, 0, 1), kind(core.EndOfInput, 0))
	for r.next().Kind != core.SplitStart {
	}
	r.expect(1)
	if e := r.next(); e.Kind != core.EndOfInput {
		t.Fatal(e)
	}
}

func TestReaderUnlimitedTimeoutWaitsForFullBatches(t *testing.T) {
	r := newReaderTest(t, AsyncReaderOptions{Runtime: Runtime{BufferTimeout: spec.Unlimited, BatchRows: 10}})
	r.send(start(0, "a"), data(r.account, 0, 0, 4), data(r.account, 0, 4, 5))
	r.next()
	r.fetched()
	r.clock.Advance(time.Hour)
	if e, _ := r.reader.Poll(); e.Kind != core.NoEvent {
		t.Fatal(e)
	}
	r.send(data(r.account, 0, 9, 1))
	r.expect(10)
	r.at("a=10")
	r.send(data(r.account, 0, 10, 1), kind(core.EndOfInput, 0))
	r.expect(1)
}

func TestReaderIsBounded(t *testing.T) {
	for _, o := range []AsyncReaderOptions{{Batches: 4}, {Batches: 100, Bytes: 1}} {
		o.BatchRows = 1
		r := newReaderTest(t, o)
		r.send(start(0, "a"))
		r.next()
		for i := range 50 {
			r.send(data(r.account, 0, i, 1))
		}
		time.Sleep(5 * time.Millisecond)
		limit := o.Batches
		if o.Bytes == 1 {
			limit = 1
		}
		if taken := 50 - len(r.fetcher.events); taken > limit+1 {
			t.Errorf("%d batches were fetched in advance, the bound is %d", taken, limit)
		}
		for i := range 50 {
			r.expect(1)
			r.at(fmt.Sprintf("a=%d", i+1))
		}
	}
}

func TestReaderErrors(t *testing.T) {
	boom := errors.New("broker gone")
	for name, c := range map[string]struct {
		event func() (FetchEvent, error)
		want  string
	}{
		"error": {func() (FetchEvent, error) { return FetchEvent{}, boom }, "source rides, worker 0: broker gone"},
		"panic": {func() (FetchEvent, error) { panic("index out of range") }, "source rides, worker 0: panic: index out of range"},
		"limit": {func() (FetchEvent, error) { panic(&memory.LimitError{}) }, "source rides, worker 0: "},
		"split": {kind(core.SplitEnd, 3), "source rides, worker 0: an event of split 3 before its start"},
		"start": {start(2, "x"), `source rides, worker 0: split "x" starts with number 2 instead of 1`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReaderTest(t, AsyncReaderOptions{Runtime: Runtime{BufferTimeout: time.Second}})
			r.send(start(0, "a"), data(r.account, 0, 0, 3), c.event)
			r.next()
			r.expect(3) // what came before the error is not lost
			for range 2 {
				var err error
				for err == nil {
					_, err = r.reader.Poll()
				}
				if !strings.HasPrefix(err.Error(), c.want) {
					t.Fatal(err)
				}
				var limit *memory.LimitError
				if name == "limit" && !errors.As(err, &limit) || name == "error" && !errors.Is(err, boom) {
					t.Error("the cause is lost:", err)
				}
			}
			r.at("a=3")
		})
	}
}

func TestReaderCloses(t *testing.T) {
	// Never polled; in the middle of a fetch; with a full queue; with an open batch.
	newReaderTest(t, AsyncReaderOptions{})
	r := newReaderTest(t, AsyncReaderOptions{})
	_, _ = r.reader.Poll()
	r = newReaderTest(t, AsyncReaderOptions{Batches: 2})
	_, _ = r.reader.Poll()
	r.send(start(0, "a"))
	for i := range 10 {
		r.send(data(r.account, 0, i, 1))
	}
	r = newReaderTest(t, AsyncReaderOptions{Runtime: Runtime{BufferTimeout: time.Hour}})
	r.send(start(0, "a"), data(r.account, 0, 0, 1), data(r.account, 0, 1, 1))
	r.next()
	r.fetched()
}

// TestReaderLosesNothing compares what comes out with what went in, for random batches, splits and timeouts, under the
// real clock, polling in a tight loop and by waker.
func TestReaderLosesNothing(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		pool := memory.NewPool(64 << 20)
		account := pool.Account("test")
		f := &testFetcher{events: make(chan func() (FetchEvent, error), 5000)}
		r := NewAsyncReader(f, AsyncReaderOptions{Batches: 1 + random.IntN(5), Bytes: 1 << (8 + random.IntN(12)), Runtime: Runtime{Account: account,
			BatchRows: 1 + random.IntN(50), BufferTimeout: []time.Duration{0, spec.Unlimited, 50 * time.Microsecond, 3 * time.Millisecond}[random.IntN(4)]}})
		woken := make(chan struct{}, 1)
		r.SetWaker(func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		splits := 1 + random.IntN(4)
		ends := make([]int, splits)
		for s := range splits {
			f.events <- start(s, fmt.Sprint("s", s))
		}
		for range 400 {
			s, rows := random.IntN(splits), random.IntN(20)
			f.events <- data(account, s, ends[s], rows)
			ends[s] += rows
		}
		f.events <- kind(core.EndOfInput, 0)
		got := make([]int, splits)
		for {
			e, err := r.Poll()
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == core.EndOfInput {
				break
			}
			switch e.Kind {
			case core.DataEvent:
				for i := range e.Batch.Rows() {
					if v := e.Batch.Columns[0].Int64s()[e.Batch.Row(i)]; v != int64(got[e.Split]) || e.Batch.Columns[1].StringAt(e.Batch.Row(i)) != fmt.Sprint("row ", v) {
						t.Fatalf("seed %d: split %d has row %d, want %d", seed, e.Split, v, got[e.Split])
					}
					got[e.Split]++
				}
				e.Batch.Release()
				states, _ := r.Snapshot()
				if p := binary.BigEndian.Uint64(states[e.Split].Position); p != uint64(got[e.Split]) {
					t.Fatalf("seed %d: the position is %d after %d rows", seed, p, got[e.Split])
				}
			case core.NoEvent:
				if seed%2 == 0 {
					<-woken
				}
			}
		}
		if !slices.Equal(got, ends) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, ends)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := pool.CheckZero(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReaderSaysWhenItHasLooked: it has not before its fetcher has started the splits of the beginning, however often it is polled.
func TestReaderSaysWhenItHasLooked(t *testing.T) {
	r := newReaderTest(t, AsyncReaderOptions{})
	for range 3 {
		if e, err := r.reader.Poll(); e.Kind != core.NoEvent || err != nil || r.reader.Settled() {
			t.Fatalf("event %+v, error %v, settled %v before the fetcher has found anything", e, err, r.reader.Settled())
		}
	}
	r.send(start(0, "a"), start(1, "b"), kind(core.NoEvent, 0))
	for _, id := range []string{"a", "b"} {
		if e := r.next(); e.Kind != core.SplitStart || e.ID != id || r.reader.Settled() {
			t.Fatalf("event %+v, settled %v", e, r.reader.Settled())
		}
	}
	for deadline := time.After(time.Minute); !r.reader.Settled(); {
		if e, err := r.reader.Poll(); e.Kind != core.NoEvent || err != nil {
			t.Fatalf("event %+v, error %v", e, err)
		}
		if r.reader.Settled() {
			break
		}
		select {
		case <-r.woken:
		case <-deadline:
			t.Fatal("the worker is not woken")
		}
	}
}
