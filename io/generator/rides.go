package generator

import (
	"fmt"

	"turbo/core"
	"turbo/io/connector"
)

// Generated rides: even rows start ride n/2; odd rows end a ride that started lag rides before, within a block of
// shuffled rides, so that durations differ and every ride ends once. The first ends have no ride to end: those rows start rides
// that stay open, as some do in real data.
const (
	rideLag   = 6000 // rides between a start and its end, about: 756 s of event time at the default interval of 63 ms
	rideBlock = 1024 // rides whose ends are shuffled among themselves; a power of two
	openRides = 1 << 40
)

// ride is one event.
type ride struct {
	id     int64
	end    bool
	startN int64 // the row of the START event
}

// shuffled maps the position of a block to another one: a bijection on [0, rideBlock) for each block.
func shuffled(seed uint64, block, at int64) int64 {
	k := mix(seed ^ uint64(block))
	x := uint64(at)
	for round := range 4 {
		x = (x*(2*(k>>(8*round)&0xff)+1) + k>>(16+4*round)) & (rideBlock - 1) // odd multiplier: a bijection modulo 2^k
		x ^= x >> 5                                                           // and so is this
	}
	return int64(x)
}

func rideOf(seed uint64, n int64) ride {
	if n%2 == 0 {
		return ride{id: n / 2, startN: n}
	}
	at := n / 2
	block := at / rideBlock
	id := block*rideBlock + shuffled(seed, block, at%rideBlock) - rideLag
	if id < 0 {
		return ride{id: openRides + at, startN: n}
	}
	return ride{id: id, end: true, startN: 2 * id}
}

// Some 2 % of positions are wrong, as in the real data: data to be cleansed.
const wrongPositions = 0.02

func position(seed uint64, id int64, end uint64) (lon, lat float64) {
	r := draw(seed, 2+end, id)
	if unit(r) < wrongPositions {
		return 0, 0
	}
	lon, lat = place(r)
	return micro(lon), micro(lat)
}

// micro rounds to six decimals.
func micro(x float64) float64 {
	if x < 0 {
		return -micro(-x)
	}
	return float64(int64(x*1e6+0.5)) / 1e6
}

type rideColumn func(v *core.Vector, r ride, n int64)

func rides(ctx *connector.SourceContext, times eventTimes) (func(*core.Builder, []int64), error) {
	seed := times.seed
	where := func(lat bool, which int) rideColumn { // which: 0 start, 1 end, 2 where the event happened
		return func(v *core.Vector, r ride, _ int64) {
			end := which == 1 || which == 2 && r.end
			salt := uint64(0)
			if end {
				salt = 1
			}
			x, y := position(seed, r.id, salt)
			if lat {
				x = y
			}
			v.AppendFloat64(x)
		}
	}
	known := map[string]struct {
		kind core.Kind
		fill rideColumn
	}{
		"ride_id": {core.Int64, func(v *core.Vector, r ride, _ int64) { v.AppendInt64(r.id) }},
		"event": {core.String, func(v *core.Vector, r ride, _ int64) {
			if r.end {
				v.AppendString("END")
			} else {
				v.AppendString("START")
			}
		}},
		"ts": {core.Timestamp, func(v *core.Vector, _ ride, n int64) { v.AppendInt64(times.at(n)) }},
		"other_ts": {core.Timestamp, func(v *core.Vector, r ride, _ int64) {
			if r.end {
				v.AppendInt64(times.at(r.startN))
			} else {
				v.AppendInt64(0)
			}
		}},
		"start_lon": {core.Float64, where(false, 0)}, "start_lat": {core.Float64, where(true, 0)},
		"end_lon": {core.Float64, where(false, 1)}, "end_lat": {core.Float64, where(true, 1)},
		"lon": {core.Float64, where(false, 2)}, "lat": {core.Float64, where(true, 2)},
		"passengers": {core.Int32, func(v *core.Vector, r ride, _ int64) {
			v.AppendInt32([...]int32{1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 6}[draw(seed, 5, r.id)%12])
		}},
		"taxi_id":   {core.Int64, func(v *core.Vector, r ride, _ int64) { v.AppendInt64(2013000000 + int64(draw(seed, 6, r.id)%12000)) }},
		"driver_id": {core.Int64, func(v *core.Vector, r ride, _ int64) { v.AppendInt64(2013000000 + int64(draw(seed, 7, r.id)%14000)) }},
	}
	names := []string{"ride_id", "event", "ts", "other_ts", "start_lon", "start_lat", "end_lon", "end_lat", "lon", "lat", "passengers", "taxi_id", "driver_id"}
	type filled struct {
		at   int
		fill rideColumn
	}
	var fills []filled
	for i, f := range ctx.Record.Fields {
		k, ok := known[f.Name]
		if !ok {
			return nil, ctx.Config.Errorf("data", "rides have no column %s%s", f.Name, nearest(f.Name, names))
		}
		if f.Type.Kind != k.kind && !(k.kind == core.Timestamp && f.Type.Kind == core.TimestampLTZ) {
			return nil, ctx.Config.Errorf("data", "column %s of rides is %s, the schema says %s", f.Name, k.kind, f.Type)
		}
		if ctx.Columns[i] >= 0 {
			fills = append(fills, filled{ctx.Columns[i], k.fill})
		}
	}
	if len(fills) == 0 && len(ctx.Record.Fields) == 0 {
		return nil, fmt.Errorf("generator: rides need a schema with some of their columns: %v", names)
	}
	return func(b *core.Builder, rows []int64) {
		for _, row := range rows {
			r := rideOf(seed, row)
			for _, f := range fills {
				f.fill(b.Column(f.at), r, row)
			}
		}
	}, nil
}
