package property

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// row is a row of the input. Times are microseconds, as everywhere here; in files they have milliseconds.
type row struct {
	id     int64
	k      string // "": null
	g      int64
	ts     int64 // never: null
	v      int64 // never: null
	gap    int64 // µs
	source int
	// low and high bound the operator's watermark when the row comes.
	low, high int64
}

const (
	never = math.MinInt64
	ever  = math.MaxInt64
)

// schema is that of each source.
const schema = "{id: BIGINT NOT NULL, k: STRING, g: INT NOT NULL, ts: TIMESTAMP(3), v: BIGINT, gap: BIGINT NOT NULL}"

func (r *row) json(b *bytes.Buffer) {
	text := func(name, value string, null bool) {
		if null {
			value = "null"
		}
		fmt.Fprintf(b, ",%q:%s", name, value)
	}
	fmt.Fprintf(b, `{"id":%d`, r.id)
	text("k", strconv.Quote(r.k), r.k == "")
	text("g", fmt.Sprint(r.g), false)
	text("ts", strconv.Quote(sqlTime(r.ts)), r.ts == never)
	text("v", fmt.Sprint(r.v), r.v == never)
	text("gap", fmt.Sprint(r.gap/1000), false)
	b.WriteString("}\n")
}

func (r *row) csv(b *bytes.Buffer) {
	ts, v := "", ""
	if r.ts != never {
		ts = sqlTime(r.ts)
	}
	if r.v != never {
		v = fmt.Sprint(r.v)
	}
	fmt.Fprintf(b, "%d,%s,%d,%s,%s,%d\n", r.id, r.k, r.g, ts, v, r.gap/1000)
}

func sqlTime(us int64) string { return time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05.000") }

// source is one source of a job with its rows in the order of its files.
type source struct {
	name      string
	format    string // json or csv
	connector string // file or replay
	delay     int64  // max-out-of-orderness, µs
	rows      []row
	files     []int // rows of each file
	split     int   // split-size in bytes, 0: never cut
	batch     int   // paced: rows of a segment are a multiple of it

	paths []string
	ends  [][]int64 // by file, where each row ends
}

// write writes the files below dir.
func (s *source) write(dir string) error {
	dir = filepath.Join(dir, s.name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	at := 0
	for i, n := range s.files {
		var b bytes.Buffer
		ends := make([]int64, n)
		for j := range n {
			r := &s.rows[at+j]
			if s.format == "csv" {
				r.csv(&b)
			} else {
				r.json(&b)
			}
			ends[j] = int64(b.Len())
		}
		at += n
		path := filepath.Join(dir, fmt.Sprintf("%03d.%s", i, s.format))
		s.paths, s.ends = append(s.paths, path), append(s.ends, ends)
		if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// limits lets the first n rows through; all: the end of the files, too.
func (s *source) limits(into map[string]int64, n int, all bool) {
	for i, ends := range s.ends {
		path := s.paths[i]
		switch {
		case all:
			into[path] = ever
		case n >= len(ends):
			into[path] = ends[len(ends)-1]
			if i+1 < len(s.ends) {
				into[path] = ever
			}
		case n > 0:
			into[path] = ends[n-1]
		default:
			into[path] = 0
		}
		n = max(0, n-len(ends))
	}
}

// times is how event time goes in a job.
type times struct {
	begin int64
	unit  int64 // sizes of windows are some units
	delay int64 // disorder
	pace  int64 // average time between two rows of a source
	// grid is what times are multiples of. On a coarse one rows come at the bounds of windows, and exactly as late as the watermark allows.
	grid int64
	// slack is how much the watermark stays behind what the disorder needs. Sessions need some: a row at the least time that is not late touches a
	// session that ends there, and the watermark that has just closed it may or may not have come.
	slack int64
}

var begins = []int64{0, -7_200_000_000, 1_356_998_400_000_000, 1_711_843_200_000_000, 1_729_987_200_000_000, 946_684_800_000_000} // two of them before changes of clocks

func newTimes(r *rand.Rand) times {
	t := times{begin: begins[r.IntN(len(begins))], unit: []int64{1_000_000, 10_000_000, 60_000_000, 3_600_000_000}[r.IntN(4)]}
	t.grid = []int64{1000, 1000, t.unit / 10, t.unit / 4}[r.IntN(4)]
	t.slack = 1000 * r.Int64N(2)
	t.delay = t.some(r, 2*t.unit)
	if r.IntN(5) == 0 {
		t.delay = 0
	}
	t.pace = max(t.unit/int64(2+r.IntN(40)), 2000)
	return t
}

// some is a random time on the grid from 0 to most.
func (t times) some(r *rand.Rand, most int64) int64 { return r.Int64N(most/t.grid+1) * t.grid }

// onGrid is the last time of the grid that is not after at.
func (t times) onGrid(at int64) int64 { return floor(at, 0, t.grid) }

// domain is what values rows have.
type domain struct {
	keys              int
	nullK, nullT, nlV float64
	negative          bool
}

func newDomain(r *rand.Rand) domain {
	d := domain{keys: 1 + r.IntN(12), negative: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		d.nullK = 0.1
	}
	if r.IntN(2) == 0 {
		d.nullT = 0.03
	}
	if r.IntN(2) == 0 {
		d.nlV = 0.15
	}
	return d
}

// make makes a row at a time of arrival, with a time at most delay before.
func (d domain) make(r *rand.Rand, t times, id int64, source int, arrival int64) row {
	x := row{id: id, source: source, g: r.Int64N(3), v: r.Int64N(20), gap: t.grid + t.some(r, 2*t.unit), low: never, high: never}
	if d.negative {
		x.v -= 8
	}
	if r.Float64() >= d.nullK {
		x.k = fmt.Sprint("k", r.IntN(d.keys))
	}
	if r.Float64() < d.nlV {
		x.v = never
	}
	x.ts = t.onGrid(arrival) - t.some(r, t.delay)
	if r.Float64() < d.nullT {
		x.ts = never
	}
	return x
}
