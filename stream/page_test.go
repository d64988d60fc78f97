package stream_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"turbo/stream"
	"turbo/stream/streamtest"
)

// PageTrip and PageArrivals are the rows of docs/api.md.
type (
	PageTrip struct {
		Cell       string
		At         time.Time `turbo:"ts,TIMESTAMP(3),time"`
		Passengers int64
	}
	PageArrivals struct {
		Cell      string
		WindowEnd time.Time
		Sum       int64
		Kind      string
	}
)

// TestPage does what the test of docs/api.md does, and holds the page to the calls that are here.
func TestPage(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	job := stream.New("test")
	trips := streamtest.Source[PageTrip](job, "trips")
	windows := trips.KeyBy("cell").Window(stream.Tumbling(5 * time.Minute))
	stream.AggregateWindow[PageArrivals](windows, "arrivals", stream.Column{Name: "sum", Expression: "SUM(passengers)"}).Collect("busy")

	h := streamtest.New(job, streamtest.WithT(t), streamtest.Workers(2))
	in, out := streamtest.Input[PageTrip](h, "trips"), streamtest.Output[PageArrivals](h, "busy")
	in.Push(PageTrip{"a", noon, 2}, PageTrip{"a", noon.Add(time.Minute), 3})
	in.Watermark(noon.Add(5 * time.Minute)) // no row of this time or before will come
	h.Advance(time.Hour)                    // processing time
	if got := out.Rows(); len(got) != 1 || got[0].Sum != 5 {
		t.Errorf("got %v", got)
	}
	if _, err := h.Snapshot(t.Context()); err != nil {
		t.Error(err)
	}

	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("page_test.go")
	if err != nil {
		t.Fatal(err)
	}
	test, calls := string(page), 0
	test = test[strings.Index(test, "func TestBusy"):]
	for line := range strings.Lines(test[:strings.Index(test, "```")]) {
		line = strings.NewReplacer("Trip", "PageTrip", "Arrivals", "PageArrivals").Replace(strings.TrimSpace(line))
		if strings.HasPrefix(line, "in") || strings.HasPrefix(line, "h") || strings.HasPrefix(line, "trips") || strings.HasPrefix(line, "job") {
			if calls++; !strings.Contains(string(own), line) {
				t.Errorf("docs/api.md has a line that is not tested here: %s", line)
			}
		}
	}
	if calls < 6 {
		t.Errorf("only %d lines of docs/api.md were compared", calls)
	}
}
