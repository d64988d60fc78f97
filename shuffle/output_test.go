package shuffle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/memory"
)

const ms = int64(time.Millisecond)

// newOutput returns an output over one-column batches.
func newOutput(t testing.TB, account *memory.Account, c OutputConfig, budget Budget, receivers int) *Output {
	t.Helper()
	for range receivers {
		c.Channels = append(c.Channels, NewChannel(budget, sleepless(), sleepless()))
	}
	c.Schema, c.Account, c.Keys = oneInt, account, []int{0}
	o, err := NewOutput(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func expect(t testing.TB, what string, o *Output, receiver int, want string) {
	t.Helper()
	if got := strings.Join(drain(o.Channels[receiver]), " "); got != want {
		t.Errorf("%s: receiver %d got %q, want %q", what, receiver, got, want)
	}
}

func TestBufferTimeout(t *testing.T) {
	account := newPool(t).Account("exchange")
	emit := func(o *Output, values ...int64) { o.Emit(ints(account, oneInt, values...)) }
	t.Run("positive", func(t *testing.T) {
		o := newOutput(t, account, OutputConfig{BufferTimeout: 10 * time.Millisecond, BatchRows: 4}, Budget{}, 1)
		defer o.Close()
		o.SetNow(100 * ms)
		if _, ok := o.Deadline(); ok {
			t.Error("a deadline without rows")
		}
		emit(o, 1)
		o.Poll(105 * ms)
		emit(o, 2)
		if at, ok := o.Deadline(); !ok || at != 110*ms {
			t.Errorf("deadline %d, %v; want that of the first row", at, ok)
		}
		o.Poll(110*ms - 1)
		expect(t, "before the deadline", o, 0, "")
		o.Poll(110 * ms)
		expect(t, "at the deadline", o, 0, "[1 2]")
		emit(o, 3)
		emit(o, 4, 5, 6, 7, 8) // large: but something is open
		expect(t, "full", o, 0, "[3 4 5 6]")
		if at, _ := o.Deadline(); at != 120*ms {
			t.Errorf("deadline of the rest: %d", at)
		}
		o.Flush()
		expect(t, "flushed", o, 0, "[7 8]")
		emit(o, 9, 10, 11)
		expect(t, "large", o, 0, "[9 10 11]")
		if s := o.Stats(); s != (OutputStats{Rows: 11, Batches: 4, WhenFull: 2, AtTimeout: 1, OnDemand: 1, Moved: 1}) {
			t.Errorf("stats %+v", s)
		}
	})
	t.Run("riding watermarks", func(t *testing.T) {
		ride := func(o *Output, at core.Time) {
			if !o.Control(core.Message{Kind: core.WatermarkMessage, Flags: core.Riding, Time: at}) {
				t.Error("not done at once")
			}
		}
		o := newOutput(t, account, OutputConfig{Kind: Forward, BatchRows: 3, BufferTimeout: -1}, Budget{}, 1)
		defer o.Close()
		emit(o, 1)
		ride(o, 5)
		expect(t, "waits for the rows", o, 0, "")
		ride(o, 6)
		emit(o, 2)
		emit(o, 3)
		expect(t, "goes behind them", o, 0, "[1 2 3] R6")
		ride(o, 7)
		emit(o, 4, 5, 6)
		emit(o, 7)
		ride(o, 8)
		o.Control(core.Message{Kind: core.WatermarkMessage, Time: 8})
		emit(o, 8)
		o.Control(core.Message{Kind: core.WatermarkMessage, Time: 9})
		expect(t, "once, and with what flushes", o, 0, "[4 5 6] R7 [7] R8 W8 [8] W9")
		ride(o, 10)
		o.Control(core.Message{Kind: core.WatermarkMessage, Time: 11})
		emit(o, 9)
		o.Flush()
		expect(t, "not after a later one", o, 0, "W11 [9]")

		o = newOutput(t, account, OutputConfig{Kind: Rebalance, BatchRows: 1, BufferTimeout: -1}, Budget{}, 2)
		defer o.Close()
		emit(o, 1)
		ride(o, 5)
		emit(o, 2)
		ride(o, 6)
		emit(o, 3)
		emit(o, 4)
		expect(t, "rebalance: each receiver once", o, 0, "[1] [3] R6")
		expect(t, "rebalance: each receiver once", o, 1, "[2] R5 [4] R6")

		o = newOutput(t, account, OutputConfig{Kind: Forward, BatchRows: 1, BufferTimeout: -1}, Budget{Slots: 2}, 1)
		defer o.Close()
		for i := range 3 {
			ride(o, core.Time(i))
			emit(o, int64(i))
		}
		ride(o, 3)
		expect(t, "full", o, 0, "[0] R0 [1] R1")
		o.Resume()
		expect(t, "beyond the ring, with its own", o, 0, "[2] R2")
	})
	t.Run("zero", func(t *testing.T) {
		o := newOutput(t, account, OutputConfig{Kind: Hash, BufferTimeout: 0}, Budget{}, 2)
		defer o.Close()
		emit(o, 1, 2, 3, 4, 5, 6)
		if o.Channels[0].Len() != 1 || o.Channels[1].Len() != 1 {
			t.Error("want a batch on each channel at once")
		}
		drain(o.Channels[0])
		drain(o.Channels[1])
		emit(o, 1)
		a, b := drain(o.Channels[0]), drain(o.Channels[1])
		if len(a)+len(b) != 1 {
			t.Errorf("got %v and %v, want one batch", a, b)
		}
	})
	t.Run("zero, receiver behind", func(t *testing.T) {
		woken := 0
		ch := NewChannel(Budget{Slots: 4}, sleepless(), NewWaker(func() { woken++ }))
		o, err := NewOutput(OutputConfig{Schema: oneInt, Account: account, Channels: []*Channel{ch}, BatchRows: 100})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		emit(o, 1) // moved: the receiver keeps up
		emit(o, 2)
		ch.receiver.Park()
		emit(o, 3)
		if woken != 1 {
			t.Error("rows were added for a sleeping receiver, and it was not woken")
		}
		emit(o, 4)
		if m, _ := ch.pop(); m.Batch.Len != 1 {
			t.Error("a batch that was moved has grown")
		} else {
			m.Batch.Release()
		}
		emit(o, 5)
		o.Control(core.Message{Kind: core.WatermarkMessage, Time: 7})
		emit(o, 6) // may not pass the watermark
		emit(o, 7)
		expect(t, "behind", o, 0, "[2 3 4 5] W7 [6 7]")
		emit(o, 8)
		expect(t, "keeps up", o, 0, "[8]")
		if s := o.Stats(); s != (OutputStats{Rows: 8, Batches: 4, OnDemand: 4, Moved: 2, Joined: 4}) {
			t.Errorf("stats %+v", s)
		}
		for i := range int64(2 * 100) {
			emit(o, i)
		}
		if ch.Len() != 3 { // one moved, then full ones
			t.Errorf("%d batches on the way, want 3", ch.Len())
		}
		drain(ch)
	})
	t.Run("never", func(t *testing.T) {
		o := newOutput(t, account, OutputConfig{BufferTimeout: -1, FlushWhenIdle: true}, Budget{}, 1)
		defer o.Close()
		o.Channels[0].receiver.Idle()
		emit(o, 1)
		o.Poll(1 << 62)
		if _, ok := o.Deadline(); ok {
			t.Error("a deadline")
		}
		expect(t, "waits", o, 0, "")
		if !o.Control(core.Message{Kind: core.WatermarkMessage, Time: 7}) {
			t.Error("blocked")
		}
		expect(t, "control", o, 0, "[1] W7")
	})
	t.Run("idle", func(t *testing.T) {
		o := newOutput(t, account, OutputConfig{Kind: Hash, BufferTimeout: time.Hour, FlushWhenIdle: true}, Budget{}, 1)
		defer o.Close()
		emit(o, 1)
		expect(t, "busy", o, 0, "")
		o.Channels[0].receiver.Idle()
		o.Poll(1)
		if o.Channels[0].Len() != 1 {
			t.Error("not flushed to an idle receiver")
		}
		emit(o, 2)
		o.Poll(2)
		expect(t, "not again while that is on the way", o, 0, "[1]")
		o.Poll(3)
		expect(t, "then", o, 0, "[2]")
		o.Channels[0].receiver.Park()
		emit(o, 3)
		expect(t, "at once when it sleeps", o, 0, "[3]")
	})
}

func TestBatchBytes(t *testing.T) {
	account := newPool(t).Account("exchange")
	schema := core.NewSchema(core.Field{Name: "s", Type: core.Of(core.String)})
	ch := NewChannel(Budget{}, sleepless(), sleepless())
	o, err := NewOutput(OutputConfig{Schema: schema, Account: account, Channels: []*Channel{ch}, BatchBytes: 1000, BufferTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		b := core.NewBatch(account, schema)
		v := core.NewVector(account, core.Of(core.String), 1)
		v.AppendString(strings.Repeat("x", 100))
		b.Columns, b.Len = append(b.Columns, v), 1
		o.Emit(b)
	}
	if ch.Len() != 2 {
		t.Errorf("%d batches of 1000 bytes out of 2500", ch.Len())
	}
	o.channelsClose()
	o.Close()
}

// channelsClose releases what is on the way, as a gate does.
func (o *Output) channelsClose() {
	for _, c := range o.Channels {
		c.close()
	}
}

// At most one batch beyond the ring; then Full, until the receiver has taken something.
func TestBlocked(t *testing.T) {
	account := newPool(t).Account("exchange")
	for _, kind := range []Kind{Forward, Hash, Broadcast, Rebalance} {
		t.Run(kind.String(), func(t *testing.T) {
			o := newOutput(t, account, OutputConfig{Kind: kind, BufferTimeout: 0, BatchRows: 1}, Budget{Slots: 2}, 1)
			defer o.Close()
			for i := range int64(4) {
				if o.Full() != (i == 3) {
					t.Errorf("Full is %v after %d batches", o.Full(), i)
				}
				o.Emit(ints(account, oneInt, i)) // the fourth is the one that an operator may emit although Full
			}
			o.Emit(ints(account, oneInt, 4))
			if o.Resume() || o.lanes[0].overflow.Batch.Len != 1 || o.open[0].batch.Len != 2 {
				t.Error("want two batches in the ring, one beyond, and the rest open")
			}
			if _, ok := o.Deadline(); ok {
				t.Error("a blocked batch has a deadline: its worker would spin")
			}
			if o.Control(core.Message{Kind: core.WatermarkMessage, Time: 1}) {
				t.Error("control overtook rows")
			}
			if m, _ := o.Channels[0].pop(); m.Batch.Columns[0].Int64s()[0] != 0 {
				t.Error("not in order")
			} else {
				m.Batch.Release()
			}
			if o.Control(core.Message{Kind: core.WatermarkMessage, Time: 1}) || !o.Full() {
				t.Error("want the overflow in the ring and the open batch in its place")
			}
			expect(t, "the ring", o, 0, "[1] [2]")
			if !o.Control(core.Message{Kind: core.WatermarkMessage, Time: 1}) || o.Full() {
				t.Error("still blocked")
			}
			expect(t, "the rest", o, 0, "[3 4] W1")
		})
	}
}

// A receiver that takes something wakes a sender that had asked for it, and only such a one.
func TestCreditWakesSender(t *testing.T) {
	account := newPool(t).Account("exchange")
	woken := 0
	sender := NewWaker(func() { woken++ })
	ch := NewChannel(Budget{Slots: 2}, sender, sleepless())
	o, err := NewOutput(OutputConfig{Schema: oneInt, Account: account, Channels: []*Channel{ch}, BatchRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	take := func() {
		m, _ := ch.pop()
		m.Batch.Release()
	}
	o.Emit(ints(account, oneInt, 1))
	sender.Park()
	take()
	if woken != 0 {
		t.Error("woken without need")
	}
	sender.Busy()
	for i := range int64(3) {
		o.Emit(ints(account, oneInt, i))
	}
	sender.Park()
	if o.Resume() {
		t.Error("not blocked")
	}
	take()
	take()
	if woken != 1 {
		t.Errorf("woken %d times, want once", woken)
	}
	if !o.Resume() {
		t.Error("still blocked")
	}
	o.channelsClose()
	o.Close()
}

// Control reaches each receiver once, those with a free slot at once, however often it is tried.
func TestControlResumes(t *testing.T) {
	account := newPool(t).Account("exchange")
	o := newOutput(t, account, OutputConfig{Kind: Broadcast, BufferTimeout: 0}, Budget{Slots: 2}, 3)
	defer o.Close()
	barrier := func(n uint64) core.Message { return core.Message{Kind: core.BarrierMessage, Checkpoint: n} }
	o.Control(barrier(1))
	o.Control(barrier(2))
	expect(t, "free", o, 1, "B1 B2")
	for range 3 {
		if o.Control(barrier(3)) {
			t.Error("two rings are full")
		}
	}
	expect(t, "once", o, 1, "B3")
	expect(t, "full", o, 0, "B1 B2")
	if o.Control(barrier(3)) {
		t.Error("one ring is full")
	}
	expect(t, "full", o, 2, "B1 B2")
	if !o.Control(barrier(3)) {
		t.Error("not done")
	}
	for r, want := range []string{"B3", "", "B3"} {
		expect(t, "last", o, r, want)
	}
}

func TestRebalance(t *testing.T) {
	account := newPool(t).Account("exchange")
	o := newOutput(t, account, OutputConfig{Kind: Rebalance, BufferTimeout: 0}, Budget{Slots: 2}, 3)
	defer o.Close()
	for i := range int64(6) {
		o.Emit(ints(account, oneInt, i))
	}
	expect(t, "in turn", o, 1, "[1] [4]")
	o.Emit(ints(account, oneInt, 6)) // it is 0's turn, but 0 is full
	o.Emit(ints(account, oneInt, 7))
	o.Emit(ints(account, oneInt, 8))
	if o.Full() {
		t.Error("full with free overflow slots")
	}
	expect(t, "who has credit", o, 1, "[6] [7]")
	o.Emit(ints(account, oneInt, 9))
	o.Emit(ints(account, oneInt, 10))
	o.Emit(ints(account, oneInt, 11))
	o.Emit(ints(account, oneInt, 12))
	if !o.Full() {
		t.Error("not full with all rings and overflow slots taken")
	}
	o.channelsClose()
}

// A batch that carries another exchange's hashes gets those of this one's key, or none.
func TestHashesReplaced(t *testing.T) {
	account := newPool(t).Account("exchange")
	for _, kind := range []Kind{Forward, Hash} {
		o := newOutput(t, account, OutputConfig{Kind: kind, BufferTimeout: 0}, Budget{}, 1)
		b := ints(account, oneInt, 5)
		b.MakeHashes()[0] = 42
		o.Emit(b)
		m, _ := o.Channels[0].pop()
		if kind == Forward && m.Batch.Hashes != nil || kind == Hash && m.Batch.Hashes[0] == 42 {
			t.Errorf("%v: hashes %v", kind, m.Batch.Hashes)
		}
		m.Batch.Release()
		o.Close()
	}
}

func TestNewOutputRefuses(t *testing.T) {
	one := []*Channel{NewChannel(Budget{}, sleepless(), sleepless())}
	for _, c := range []struct {
		config OutputConfig
		want   string
	}{
		{OutputConfig{Kind: Hash, Keys: []int{0}}, "a hash exchange without receivers"},
		{OutputConfig{Kind: Forward, Channels: append(one, one...)}, "a forward exchange to 2 receivers; it has exactly one"},
		{OutputConfig{Kind: Hash, Channels: one}, "a hash exchange without key columns"},
		{OutputConfig{Kind: Hash, Channels: one, Keys: []int{1}}, "key column 1 of 1 columns"},
		{OutputConfig{Kind: Hash, Channels: one, Keys: []int{0}, KeyGroups: 1 << 20}, "1048576 key groups; 1 to 32768 are possible"},
		{OutputConfig{Kind: Hash, Channels: append(one, one...), Keys: []int{0}, KeyGroups: 1}, "2 receivers for 1 key groups; lower the parallelism or start with more key groups"},
	} {
		c.config.Schema = oneInt
		if _, err := NewOutput(c.config); fmt.Sprint(err) != "shuffle: "+c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
