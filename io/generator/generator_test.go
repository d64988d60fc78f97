package generator

import (
	"context"
	"log/slog"
	"sort"
	"strings"
	"testing"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/io/connector"
	"turbo/memory"
)

const rideSchema = "ride_id BIGINT, event STRING, ts TIMESTAMP(3), other_ts TIMESTAMP(3), lon DOUBLE, lat DOUBLE, passengers INT"

// collect runs a source by hand over parallelism readers, in turn, with a snapshot and a restore after every "every" events,
// and returns all rows as text, sorted.
func collect(t *testing.T, yaml, schema string, parallelism, batch, every int) []string {
	t.Helper()
	row, err := core.ParseType("ROW<" + schema + ">")
	if err != nil {
		t.Fatal(err)
	}
	record := core.NewSchema(row.Elements...)
	pool := memory.NewPool(64 << 20)
	open := func(parallelism int, restored []core.SplitState) (core.Source, []core.SourceReader) {
		config, err := connector.FromYAML("source", connector.LookupSource("generator").Fields, yaml)
		if err != nil {
			t.Fatal(err)
		}
		ctx := &connector.SourceContext{Config: config, Record: record, Schema: record}
		ctx.Parallelism, ctx.BatchRows, ctx.Account, ctx.Clock, ctx.Log = parallelism, batch, pool.Account("t"), clock.Real(), slog.Default()
		for i := range record.Fields {
			ctx.Columns = append(ctx.Columns, i)
		}
		s, err := newSource(ctx)
		if err == nil {
			err = s.Open(context.Background(), restored)
		}
		if err != nil {
			t.Fatal(err)
		}
		var readers []core.SourceReader
		for w := range parallelism {
			r, err := s.Reader(w)
			if err != nil {
				t.Fatal(err)
			}
			readers = append(readers, r)
		}
		return s, readers
	}
	_, readers := open(parallelism, nil)
	var rows []string
	for ended, events := 0, 0; ended < len(readers); {
		for i := 0; i < len(readers); i++ {
			e, err := readers[i].Poll()
			if err != nil {
				t.Fatal(err)
			}
			switch e.Kind {
			case core.EndOfInput:
				ended++
			case core.DataEvent:
				for r := range e.Batch.Len {
					var line []byte
					for _, c := range e.Batch.Columns {
						line = append(c.AppendText(line, r), ',')
					}
					rows = append(rows, string(line))
				}
				e.Batch.Release()
			}
			if events++; every > 0 && events%every == 0 && events < 40*every {
				var states []core.SplitState
				for _, r := range readers {
					s, err := r.Snapshot()
					if err != nil {
						t.Fatal(err)
					}
					states = append(states, s...)
					r.Close()
				}
				parallelism = parallelism%3 + 1
				_, readers = open(parallelism, states)
				ended = 0
				break
			}
		}
	}
	for _, r := range readers {
		r.Close()
	}
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
	sort.Strings(rows)
	return rows
}

// TestSameRowsHoweverRead: parallelism, batch size and restarts change nothing.
func TestSameRowsHoweverRead(t *testing.T) {
	for _, c := range []struct{ yaml, schema string }{
		{"data: rides\nrows: 5001\nmax-disorder: 5s", rideSchema},
		{"data: random\nrows: 1000\nsplits: 3\ncolumns: {a: {distribution: zipf, max: 100}, b: {nulls: 0.5}}", "a BIGINT, b STRING, c DOUBLE, d TIMESTAMP(3), e BOOLEAN, f DECIMAL(20, 2)"},
		{"data: sequence\nrows: 77\nsplits: 5", "a BIGINT, t TIMESTAMP(3)"},
	} {
		want := collect(t, c.yaml, c.schema, 1, 1000, 0)
		for _, v := range [][3]int{{1, 1, 0}, {2, 64, 0}, {3, 7, 11}, {1, 100, 13}} {
			got := collect(t, c.yaml, c.schema, v[0], v[1], v[2])
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s: %v gives %d rows that differ from the %d wanted", c.yaml, v, len(got), len(want))
			}
		}
	}
}

// TestRidesEndOnce: every END has one START of the same ride, and its other time is that START's.
func TestRidesEndOnce(t *testing.T) {
	rows := collect(t, "data: rides\nrows: 60000", rideSchema, 2, 4096, 0)
	if len(rows) != 60000 {
		t.Fatalf("%d rows", len(rows))
	}
	starts, ends, wrong := map[string]string{}, map[string]string{}, 0
	for _, row := range rows {
		f := strings.Split(row, ",")
		into := starts
		if f[1] == "END" {
			into = ends
		}
		if into[f[0]] != "" {
			t.Fatalf("ride %s: two events %s", f[0], f[1])
		}
		into[f[0]] = f[2]
		if f[1] == "END" {
			into[f[0]] = f[3]
		}
		if f[4] == "0.0" {
			wrong++
		}
	}
	if len(ends) != 24000 {
		t.Errorf("%d rides end, want 24000", len(ends))
	}
	for id, start := range ends {
		if starts[id] != start {
			t.Errorf("ride %s: it ends with start time %s, it started at %q", id, start, starts[id])
		}
	}
	if wrong < 600 || wrong > 1800 {
		t.Errorf("%d of 60000 positions are wrong, want about 1200", wrong)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"data: rides", "rides have no column cell, did you mean"},
		{"columns: {cel: {min: 1}}", "there is no column cel in the schema, did you mean cell?"},
	} {
		config, err := connector.FromYAML("source", connector.LookupSource("generator").Fields, c.yaml)
		if err != nil {
			t.Fatal(err)
		}
		record := core.NewSchema(core.Field{Name: "cell", Type: core.Of(core.Int32)})
		_, err = newSource(&connector.SourceContext{Config: config, Record: record, Schema: record, Columns: []int{0}})
		if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(c.want, ", did you mean")) {
			t.Errorf("%s: got %v, want %s", c.yaml, err, c.want)
		}
	}
}

func BenchmarkRides(b *testing.B) {
	record := core.NewSchema(core.Field{Name: "ride_id", Type: core.Of(core.Int64)}, core.Field{Name: "lon", Type: core.Of(core.Float64)}, core.Field{Name: "event", Type: core.Of(core.String)})
	config, err := connector.FromYAML("source", connector.LookupSource("generator").Fields, "data: rides")
	if err != nil {
		b.Fatal(err)
	}
	ctx := &connector.SourceContext{Config: config, Record: record, Schema: record, Columns: []int{0, 1, 2}}
	ctx.Parallelism, ctx.BatchRows, ctx.Account, ctx.Clock = 1, 4096, memory.NewPool(0).Account("b"), clock.Real()
	s, err := newSource(ctx)
	if err != nil {
		b.Fatal(err)
	}
	_ = s.Open(context.Background(), nil)
	r, _ := s.Reader(0)
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		e, err := r.Poll()
		if err != nil {
			b.Fatal(err)
		}
		if e.Batch != nil {
			rows += e.Batch.Len
			e.Batch.Release()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}

// TestCity: most rides are on Manhattan, few of them in its park, some in the boroughs, and the popular places stand out.
func TestCity(t *testing.T) {
	const n = 50_000
	island, park, outside, cells, most := 0, 0, 0, map[[2]int]int{}, 0
	for i := range uint64(n) {
		lon, lat := place(mix(i))
		if lon < -74.1 || lon > -73.6 || lat < 40.5 || lat > 41 {
			outside++
		}
		if lon > middle(lat)-0.03 && lon < middle(lat)+0.03 && lat > 40.69 && lat < 40.88 {
			island++
		}
		if lat > 40.772 && lat < 40.79 && lon > middle(lat)-0.003 && lon < middle(lat)+0.001 {
			park++
		}
		c := [2]int{int((lon + 74.1) / 0.0014), int((lat - 40) / 0.00125)}
		cells[c]++
		most = max(most, cells[c])
	}
	if island < n*3/4 || island > n*9/10 || park > n/1000 || outside > 0 || len(cells) < 4000 || most < n/500 {
		t.Errorf("of %d rides %d on Manhattan, %d in the park, %d outside; %d cells, the busiest with %d", n, island, park, outside, len(cells), most)
	}
}
