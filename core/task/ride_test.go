package task

import (
	"slices"
	"testing"
	"time"

	"turbo/core"
	"turbo/memory"
)

// TestRidingWatermarks: after each rideRows rows a watermark rides, whatever the time; the one by time is told although it rode before, and a task with an
// operator that waits is not given those that ride.
func TestRidingWatermarks(t *testing.T) {
	account := memory.NewPool(0).Account("rows")
	const rows = rideRows/2 + 1
	s := &scripted{poll: func(n int) (core.Event, error) {
		if n == 0 {
			return core.Event{Kind: core.SplitStart, ID: "s"}, nil
		}
		if n > 5 {
			return core.Event{}, nil
		}
		b := core.NewBuilder(account, pairSchema, rows)
		defer b.Close()
		for i := range rows {
			b.Column(0).AppendInt64(0)
			b.Column(1).AppendInt64(int64(n*rows + i))
		}
		return core.Event{Kind: core.DataEvent, Batch: b.Finish(), Read: rows}, nil
	}}
	a := openOne(t, s, &Watermark{Column: 1})
	r := a.tasks[0].root.(*sourceRoot)
	var got []string
	next := func(at time.Duration) {
		for {
			m, _, err := r.next(int64(at))
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case m.Kind == core.NoMessage:
				return
			case m.Kind == core.ActiveMessage:
				got = append(got, "active")
			case m.Kind == core.WatermarkMessage && m.Flags == core.Riding:
				got = append(got, "rides "+m.Time.String())
			case m.Kind == core.WatermarkMessage:
				got = append(got, "watermark "+m.Time.String())
			case m.Batch != nil:
				got = append(got, "rows")
				m.Batch.Release()
			}
		}
	}
	next(time.Millisecond)
	next(time.Duration(r.interval) + time.Second)
	at := func(n int) string { return core.Time((n+1)*rows - 2).String() }
	want := []string{"rows", "active", "watermark " + at(1), "rows", "rows", "rides " + at(3), "rows", "rows", "rides " + at(5), "watermark " + at(5)}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	for _, waits := range []bool{false, true} {
		end := &stepEnd{room: 10}
		task := &task{attempt: a, elements: []element{end}, waits: waits, metrics: &taskMetrics{}}
		for _, m := range []core.Message{{Kind: core.WatermarkMessage, Flags: core.Riding, Time: 5}, {Kind: core.WatermarkMessage, Time: 5}} {
			if err := task.begin(m, 0); err != nil {
				t.Fatal(err)
			}
		}
		if want := 2 - b2i(waits); end.marks != want {
			t.Errorf("waits %v: %d watermarks, want %d", waits, end.marks, want)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
