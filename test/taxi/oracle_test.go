package taxi

import (
	"math"
	"time"
)

// row is one line of output. Positions are rounded to a millionth of a degree.
type row struct {
	cell     int64
	lon, lat int64 // millionths of a degree
	arrivals int64
	kind     string // "" where the program has none
	at       int64  // time or window_end, microseconds since 1970
}

func micro(degrees float64) int64 { return int64(math.Round(degrees * 1e6)) }

// line makes the row of a cell: its centre is half a cell from its north-west corner.
func line(cell, arrivals int64, kind string, at time.Time) row {
	x, y := cell%250, cell/250
	return row{cell: cell, lon: -74_050_000 + 1400*x + 700, lat: 41_000_000 - 1250*y - 625, arrivals: arrivals, kind: kind, at: at.UnixMicro()}
}

// cellOf is where an event counts, if it does: an END event inside New York.
func cellOf(r ride) (cell int64, counts bool) {
	if !r.end || !r.located || !(r.lon >= -74.05 && r.lon < -73.7) || !(r.lat > 40.5 && r.lat <= 41.0) {
		return 0, false
	}
	x := math.Floor((74.05 - math.Abs(r.lon)) / 0.0014)
	y := math.Floor((41.0 - r.lat) / 0.00125)
	return int64(x) + 250*int64(y), true
}

// totalArrivals is one update per event.
func totalArrivals(rides []ride) (rows []row) {
	sum, latest := map[int64]int64{}, map[int64]time.Time{}
	for _, r := range rides {
		cell, counts := cellOf(r)
		if !counts {
			continue
		}
		sum[cell] += r.passengers
		if r.at.After(latest[cell]) {
			latest[cell] = r.at
		}
		rows = append(rows, line(cell, sum[cell], "", latest[cell]))
	}
	return rows
}

// lastPerCell keeps the row with the greatest sum of each cell.
func lastPerCell(rows []row) []row {
	last := map[int64]row{}
	for _, r := range rows {
		if before, is := last[r.cell]; !is || r.arrivals > before.arrivals {
			last[r.cell] = r
		}
	}
	var out []row
	for _, r := range last {
		out = append(out, r)
	}
	return out
}

type cellWindow struct {
	cell int64
	end  time.Time
}

// windows calls f for each window of fifteen minutes that a time is in: they begin every five.
func windows(at time.Time, f func(end time.Time)) {
	for begin := at.Truncate(5 * time.Minute); begin.Add(15 * time.Minute).After(at); begin = begin.Add(-5 * time.Minute) {
		f(begin.Add(15 * time.Minute))
	}
}

// slidingArrivals is one row per cell and window with arrivals.
func slidingArrivals(rides []ride) (rows []row) {
	sum := map[cellWindow]int64{}
	for _, r := range rides {
		if cell, counts := cellOf(r); counts {
			windows(r.at, func(end time.Time) { sum[cellWindow{cell, end}] += r.passengers })
		}
	}
	for w, n := range sum {
		rows = append(rows, line(w.cell, n, "final", w.end))
	}
	return rows
}

// earlyArrivals is an early row whenever fifty passengers have arrived in a window since its last early row, and a final one at its end.
func earlyArrivals(rides []ride) (rows []row) {
	sum, since := map[cellWindow]int64{}, map[cellWindow]int64{}
	for _, r := range rides {
		cell, counts := cellOf(r)
		if !counts {
			continue
		}
		windows(r.at, func(end time.Time) {
			w := cellWindow{cell, end}
			sum[w] += r.passengers
			since[w] += r.passengers
			if since[w] >= 50 {
				since[w] = 0
				rows = append(rows, line(cell, sum[w], "early", end))
			}
		})
	}
	for w, n := range sum {
		rows = append(rows, line(w.cell, n, "final", w.end))
	}
	return rows
}
