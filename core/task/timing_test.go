package task

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/memory"
)

// TestFutureRows: a row from too far in the future goes to the dead letters and leaves the watermark alone; one within the bound counts.
func TestFutureRows(t *testing.T) {
	pool := memory.NewPool(0)
	c := clock.NewManual(time.UnixMicro(1_000_000))
	times := []int64{500_000, 90_000_000_000, 1_500_000, 2_000_001}
	src := sourceNode(&scripted{poll: func(n int) (core.Event, error) {
		switch {
		case n == 0:
			return core.Event{Kind: core.SplitStart, ID: "rides/3"}, nil
		case n == 1:
			b := core.NewBuilder(pool.Account("rows"), pairSchema, 8)
			defer b.Close()
			for i, at := range times {
				b.Column(0).AppendInt64(int64(i))
				b.Column(1).AppendInt64(at)
			}
			return core.Event{Kind: core.DataEvent, Batch: b.Finish(), Read: 4}, nil
		}
		return core.Event{}, nil
	}}, &Watermark{Column: 1, MaxFutureSkew: time.Second})
	var rows, letters []string
	note := func(to *[]string) func() core.Operator {
		return func() core.Operator { return &noting{to: to} }
	}
	dead := &Node{ID: "dead", Label: "dead letters", Schema: core.DeadLetterSchema, Sink: func() (core.Sink, error) { return &notingSink{to: &letters}, nil }}
	src.DeadLetters = dead
	out := &Node{ID: "out", Label: "out", Schema: pairSchema, Operator: note(&rows), Inputs: []Input{{From: src}}}
	a, err := Open(context.Background(), small(pool, c, 1, dead, src, out), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := a.workers[0].round(int64(i) * int64(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(rows, " "); got != "0 2" {
		t.Errorf("rows %s", got)
	}
	if len(letters) != 2 || !strings.Contains(letters[0], "rides/3") || !strings.Contains(letters[0], "1970-01-02 01:00:00.000") || !strings.Contains(letters[0], "max-future-skew takes no row that is more than 1s ahead of the clock, at 1970-01-01 00:00:01.000") {
		t.Errorf("letters %q", letters)
	}
	marks := a.tasks[0].root.(*sourceRoot)
	if low, _ := marks.marks.low(); low != 1_499_999 || marks.count.DeadLettered != 2 {
		t.Errorf("watermark %d, %d dead-lettered", low, marks.count.DeadLettered)
	}
	a.Stop()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
}

// noting writes down the first column of rows, or dead letters in full: as an operator, and as a sink.
type noting struct {
	hooked
	to *[]string
}

func (n *noting) Process(_ int, b *core.Batch, _ core.Emitter) error {
	for i := range b.Rows() {
		text := ""
		if b.Schema == core.DeadLetterSchema {
			text = fmt.Sprint(b.Columns[1].StringAt(b.Row(i)), ": ", b.Columns[3].StringAt(b.Row(i)), string(b.Columns[5].BytesAt(b.Row(i))))
		} else {
			text = fmt.Sprint(b.Columns[0].Int64s()[b.Row(i)])
		}
		*n.to = append(*n.to, text)
	}
	b.Release()
	return nil
}

type notingSink struct {
	testSink
	to *[]string
}

func (s *notingSink) Writer(int) (core.SinkWriter, error) { return &notingWriter{to: s.to}, nil }

type notingWriter struct {
	testWriter
	to *[]string
}

func (w *notingWriter) Write(b *core.Batch) error { return (&noting{to: w.to}).Process(0, b, nil) }

// counted is a generator that says what it is told: the watermark is the number of rows seen, or the processing time in seconds.
type counted struct{ rows core.Time }

func (c *counted) Observe(b *core.Batch) (core.Time, error) {
	c.rows += core.Time(b.Rows())
	return c.rows, nil
}
func (c *counted) Tick(now core.Time) core.Time { return now / 1_000_000 }

// TestGenerator: each split has a generator of its own, and a watermark never goes back.
func TestGenerator(t *testing.T) {
	w := newWatermarks(&Watermark{Column: 1, Generator: func() core.WatermarkGenerator { return &counted{} }})
	w.start("a", 5, false, 0)
	w.start("b", core.MinTime, false, 0)
	see := func(split, rows int) {
		for range rows {
			b := rowAt(1 << 40)
			if err := w.observe(split, b, core.MinTime, 0); err != nil {
				t.Error(err)
			}
			b.Release()
		}
	}
	see(0, 3)
	see(1, 2)
	if low, n := w.low(); low != 2 || n != 2 || w.splits[0].watermark != 5 {
		t.Errorf("watermark %d of %d splits, the restored one %d", low, n, w.splits[0].watermark)
	}
	w.end(1)
	w.tick(9_500_000)
	if low, _ := w.low(); low != 9 || w.splits[1].watermark != 2 {
		t.Errorf("watermark %d after a tick, the ended split %d", low, w.splits[1].watermark)
	}
}

// TestIngestion: the last column is when the task took the row, and event time may be it.
func TestIngestion(t *testing.T) {
	pool := memory.NewPool(0)
	c := clock.NewManual(time.UnixMicro(7_000_000))
	src := sourceNode(&scripted{poll: func(n int) (core.Event, error) {
		switch n {
		case 0:
			return core.Event{Kind: core.SplitStart, ID: "s"}, nil
		case 1:
			b := rowAt(1)
			b.Columns = b.Columns[:1]
			return core.Event{Kind: core.DataEvent, Batch: b, Read: 1}, nil
		}
		return core.Event{}, nil
	}}, &Watermark{Column: 1})
	src.Ingestion = true
	op := &hooked{}
	out := &collector{hooked: *op}
	a, err := Open(context.Background(), small(pool, c, 1, src, &Node{ID: "out", Label: "out", Schema: pairSchema, Operator: func() core.Operator { return out }, Inputs: []Input{{From: src}}}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := a.workers[0].round(c.Nanos()); err != nil {
			t.Fatal(err)
		}
	}
	if low, _ := a.tasks[0].root.(*sourceRoot).marks.low(); len(out.rows) != 1 || out.rows[0] != 7_000_000 || low != 6_999_999 {
		t.Errorf("rows at %v, watermark %d", out.rows, low)
	}
	a.Stop()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestDrift: a source that is ahead of the slowest of its group waits, and is woken when that one moves on, turns idle or ends.
func TestDrift(t *testing.T) {
	woken := 0
	groups := drifts{}
	w := &Watermark{MaxDrift: 10 * time.Microsecond, Group: "g"}
	fast, slow := groups.join(w, func() { woken++ }), groups.join(w, func() {})
	if groups.join(&Watermark{}, nil) != nil || (*driftMember)(nil).wait() {
		t.Error("a source without a bound waits")
	}
	marks := func(at core.Time) *watermarks {
		m := newWatermarks(w)
		m.start("s", at, false, 0)
		return m
	}
	fast.publish(marks(5))
	if !fast.wait() || slow.wait() {
		t.Error("the first must wait for one that has nothing yet, and that one for none")
	}
	slow.publish(marks(-5))
	if woken != 1 || fast.wait() {
		t.Errorf("woken %d times; 10 ahead is allowed", woken)
	}
	fast.publish(marks(6))
	if !fast.wait() {
		t.Error("11 ahead is too much")
	}
	idle := marks(-5)
	idle.splits[0].idle, idle.looked = true, true
	slow.publish(idle)
	if woken != 2 || fast.wait() {
		t.Errorf("woken %d times; an idle source holds nobody", woken)
	}
	slow.publish(marks(-5))
	if !fast.wait() {
		t.Error("a source that is back holds the others again")
	}
	slow.leave()
	if woken != 3 || fast.wait() {
		t.Errorf("woken %d times; a source that has ended holds nobody", woken)
	}
}
