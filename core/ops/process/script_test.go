package process_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/ops/process"
	"turbo/memory"
)

// The script is rows of (key STRING, ts TIMESTAMP, op INT, arg BIGINT): each says what the function is to do with its states and timers.
var (
	scriptSchema = &core.Schema{Fields: []core.Field{{Name: "key", Type: core.Of(core.String)}, {Name: "ts", Type: core.Of(core.Timestamp)},
		{Name: "op", Type: core.Of(core.Int32)}, {Name: "arg", Type: core.Of(core.Int64)}}, TimeColumn: 1}
	saidSchema = core.NewSchema(core.Field{Name: "key", Type: core.Of(core.String)}, core.Field{Name: "said", Type: core.Of(core.String)})
)

const (
	opTotal = iota
	opTotalClear
	opTotalSay
	opBrief
	opBriefSay
	opRead
	opReadSay
	opLate
	opLateSay
	opLog
	opLogSay
	opLogClear
	opLogOdd
	opFading
	opFadingSay
	opDict
	opDictFind
	opDictRemove
	opDictSay
	opDictClear
	opCache
	opCacheFind
	opCacheSay
	opMost
	opMean
	opEventTimer
	opEventDelete
	opClockTimer
	opClockDelete
	opSide
	opCount
)

const scriptTTL = 50 * time.Microsecond

func scriptStates() []process.Descriptor {
	n := core.Of(core.Int64)
	x := []core.Field{{Name: "x", Type: n}}
	text := []core.Field{{Name: "s", Type: core.Of(core.String)}}
	return []process.Descriptor{
		{Name: "total", Fields: []core.Field{{Name: "n", Type: n.Required()}, {Name: "note", Type: core.Of(core.String)}, {Name: "mean", Type: core.Of(core.Float32)}}},
		{Name: "brief", Fields: x, TTL: process.TTL{After: scriptTTL}},
		{Name: "read", Fields: x, TTL: process.TTL{After: scriptTTL, OnRead: true}},
		{Name: "late", Fields: x, TTL: process.TTL{After: scriptTTL, EventTime: true}},
		{Name: "log", Kind: process.ListKind, Fields: append(slices.Clone(x), text...)},
		{Name: "fading", Kind: process.ListKind, Fields: x, TTL: process.TTL{After: scriptTTL}},
		{Name: "dict", Kind: process.MapKind, Keys: text, Fields: x},
		{Name: "cache", Kind: process.MapKind, Keys: x, Fields: text, TTL: process.TTL{After: scriptTTL, EventTime: true, OnRead: true}},
		{Name: "most", Kind: process.ReducingKind, Fields: x, Reduce: func(acc *process.Value, in process.Row) error {
			acc.SetInt64(0, max(acc.Int64(0), in.Int64(0)))
			return nil
		}},
		{Name: "mean", Kind: process.AggregatingKind, Fields: []core.Field{{Name: "sum", Type: n.Required()}, {Name: "n", Type: core.Of(core.Int16).Required()}},
			Add: func(acc *process.Value, in process.Row) error {
				acc.SetInt64(0, acc.Int64(0)+in.Int64(3))
				acc.SetInt64(1, acc.Int64(1)+1)
				return nil
			},
			Result: func(acc *process.Value, out *process.Output) error {
				out.String(1, fmt.Sprintf("mean %d/%d", acc.Int64(0), acc.Int64(1)))
				return nil
			}},
	}
}

// script is the function.
type script struct {
	process.BaseFunction
	total, brief, read, late *process.Value
	log, fading              *process.List
	dict, cache              *process.Map
	most                     *process.Reducing
	mean                     *process.Aggregating
	one                      *process.Record
	pool                     *core.BatchPool
}

func (f *script) Open(s *process.Setup) error {
	f.total, f.brief, f.read, f.late = s.Value("total"), s.Value("brief"), s.Value("read"), s.Value("late")
	f.log, f.fading, f.dict, f.cache = s.List("log"), s.List("fading"), s.Map("dict"), s.Map("cache")
	f.most, f.mean = s.Reducing("most"), s.Aggregating("mean")
	f.pool = core.NewBatchPool(s.Context().Account, core.NewSchema(core.Field{Name: "x", Type: core.Of(core.Int64)}), 1, 1)
	f.one = process.NewRecord(f.pool)
	return nil
}

func (f *script) Close() error {
	f.one.Release()
	f.pool.Close()
	return nil
}

func say(out *process.Output, key process.Row, format string, args ...any) {
	out.Copy(0, key.Column(0), key.Index())
	out.String(1, fmt.Sprintf(format, args...))
	out.End()
}

func valueText(v *process.Value) string {
	if !v.Present() {
		return "none"
	}
	return fmt.Sprint(v.Int64(0))
}

func (f *script) Process(ctx *process.Context, row process.Row) error {
	arg := row.Int64(3)
	out := ctx.Out()
	switch row.Int32(2) {
	case opTotal:
		f.total.SetInt64(0, f.total.Int64(0)+arg)
		f.total.SetString(1, fmt.Sprint(f.total.String(1), arg%10))
		f.total.SetFloat64(2, float64(arg)/3)
	case opTotalClear:
		f.total.Clear()
	case opTotalSay:
		say(out, row, "total %v %d %q %v", f.total.Present(), f.total.Int64(0), f.total.String(1), f.total.Float64(2))
	case opBrief:
		f.brief.SetInt64(0, arg)
	case opBriefSay:
		say(out, row, "brief %s", valueText(f.brief))
	case opRead:
		f.read.SetInt64(0, arg)
	case opReadSay:
		say(out, row, "read %s", valueText(f.read))
	case opLate:
		f.late.SetInt64(0, arg)
	case opLateSay:
		say(out, row, "late %s", valueText(f.late))
	case opLog:
		f.log.Stage().Int64(0, arg).String(1, fmt.Sprint("n", arg))
		f.log.Add()
	case opLogSay:
		var all []string
		if err := f.log.Each(func(at *process.Cells) error {
			all = append(all, fmt.Sprint(at.Int64(0), at.String(1)))
			return nil
		}); err != nil {
			return err
		}
		first := "none"
		if at := f.log.First(); at != nil {
			first = fmt.Sprint(at.Int64(0))
		}
		say(out, row, "log %d %s first %s", f.log.Len(), all, first)
	case opLogClear:
		f.log.Clear()
	case opLogOdd:
		return f.log.Each(func(at *process.Cells) error {
			if at.Int64(0)%2 != 0 {
				f.log.Remove()
			} else {
				at.SetInt64(0, at.Int64(0)+2)
			}
			return nil
		})
	case opFading:
		f.fading.Stage().Int64(0, arg)
		f.fading.Add()
	case opFadingSay:
		var all []int64
		if err := f.fading.Each(func(at *process.Cells) error { all = append(all, at.Int64(0)); return nil }); err != nil {
			return err
		}
		say(out, row, "fading %d %v", f.fading.Len(), all)
	case opDict, opDictFind, opDictRemove:
		k := f.dict.Key()
		if arg%7 == 0 {
			k.Null(0)
		} else {
			k.String(0, fmt.Sprint("key", arg%7))
		}
		switch row.Int32(2) {
		case opDict:
			created := f.dict.Put()
			f.dict.At().SetInt64(0, arg)
			say(out, row, "dict new %v", created)
		case opDictFind:
			found := f.dict.Find()
			say(out, row, "dict found %v %d", found, f.dict.At().Int64(0))
		default:
			if f.dict.Find() {
				f.dict.Remove()
			}
		}
	case opDictSay:
		var all []string
		if err := f.dict.Each(func() error {
			all = append(all, fmt.Sprint(f.dict.KeyString(0), "=", f.dict.At().Int64(0)))
			return nil
		}); err != nil {
			return err
		}
		say(out, row, "dict %d %v", f.dict.Len(), all)
	case opDictClear:
		f.dict.Clear()
	case opCache:
		f.cache.Key().Int64(0, arg%5)
		f.cache.Put()
		f.cache.At().SetString(0, fmt.Sprint(arg))
	case opCacheFind:
		f.cache.Key().Int64(0, arg%5)
		found := f.cache.Find()
		say(out, row, "cache found %v %q", found, f.cache.At().String(0))
	case opCacheSay:
		var all []string
		if err := f.cache.Each(func() error {
			all = append(all, fmt.Sprint(f.cache.KeyInt64(0), "=", f.cache.At().String(0)))
			return nil
		}); err != nil {
			return err
		}
		say(out, row, "cache %v", all)
	case opMost:
		if err := f.most.Add(f.one.Reset().Int64(0, arg).Row()); err != nil {
			return err
		}
		say(out, row, "most %d", f.most.Int64(0))
	case opMean:
		if err := f.mean.Add(row); err != nil {
			return err
		}
		out.Copy(0, row.Column(0), row.Index())
		if err := f.mean.Result(out, 1); err != nil {
			return err
		}
		out.End()
	case opEventTimer:
		ctx.RegisterEventTimer(core.Time(arg))
	case opEventDelete:
		ctx.DeleteEventTimer(core.Time(arg))
	case opClockTimer:
		ctx.RegisterProcessingTimer(ctx.ProcessingTime() + core.Time(arg%40))
	case opClockDelete:
		ctx.DeleteProcessingTimer(ctx.ProcessingTime() + core.Time(arg%40))
	case opSide:
		t, ok := ctx.EventTime()
		say(ctx.Side(0), row, "side %d %v %v at %v", arg, int64(t), ok, ctx.Watermark())
	}
	return nil
}

func (f *script) OnTimer(ctx *process.Context, timer process.Timer) error {
	t := timer.Time
	say(ctx.Out(), timer.Key, "timer %d %v total %d late %s cache %d", t, timer.Processing, f.total.Int64(0), valueText(f.late), f.cache.Len())
	if timer.Processing {
		if t%4 == 0 {
			ctx.RegisterProcessingTimer(t + 7)
			ctx.RegisterEventTimer(ctx.Watermark() + 5)
		}
		return nil
	}
	if t%3 == 0 {
		ctx.RegisterEventTimer(t + 1)
		ctx.RegisterEventTimer(t + 1)
	}
	if t%20 == 0 {
		ctx.DeleteEventTimer(t + 10)
		ctx.RegisterEventTimer(t - 2)
	}
	if t%100 == 0 {
		ctx.DeleteEventTimer(t + 20)
		ctx.RegisterEventTimer(t + 20)
	}
	if t%50 == 0 {
		f.total.SetInt64(0, f.total.Int64(0)+1000)
		f.late.SetInt64(0, int64(t))
	}
	return nil
}

// TestScript runs random scripts against the model, over batch sizes and restarts.
func TestScript(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		variants(t, func(t *testing.T, restart, batchRows int) {
			rng := rand.New(rand.NewPCG(seed, 7))
			account := memory.NewPool(0).Account("rows")
			var columns []*core.Vector
			for _, f := range scriptSchema.Fields {
				columns = append(columns, core.NewVector(account, f.Type, 0))
			}
			w := &world{t: t, make: func() core.Operator {
				return process.New(process.Config{Name: "script", Ports: []process.Port{{Keys: []int{0}}}, Keyed: true, States: scriptStates(),
					New: func() process.Function { return &script{} }})
			}, inputs: []*core.Schema{scriptSchema}, keys: [][]int{{0}}, broadcast: []bool{false}, output: saidSchema, sides: []*core.Schema{saidSchema},
				account: account, restart: restart, batchRows: batchRows, outRows: 4, clock: 1000}
			m := &model{watermark: core.MinTime, clock: 1000, keys: map[string]*modelKey{}}
			w.begin()
			now := int64(-200)
			rows := 0
			for range 40 {
				from := rows
				for range rng.IntN(20) {
					rows++
					now += rng.Int64N(4)
					name := "null"
					if k := rng.IntN(6); k == 0 {
						columns[0].AppendNull()
					} else {
						columns[0].AppendString(fmt.Sprint("k", k))
						name = fmt.Sprintf("%q", fmt.Sprint("k", k))
					}
					ts, timed := now-rng.Int64N(60), rng.IntN(10) > 0
					if timed {
						columns[1].AppendInt64(ts)
					} else {
						columns[1].AppendNull()
					}
					op := rng.Int32N(opCount)
					arg := now + rng.Int64N(100) - 20
					if op == opEventTimer || op == opEventDelete {
						arg = arg / 5 * 5
					}
					columns[2].AppendInt32(op)
					columns[3].AppendInt64(arg)
					m.row(name, op, arg, core.Time(ts), timed)
				}
				w.feed(0, columns, from, rows)
				switch rng.IntN(3) {
				case 0:
					if at := core.Time(now - 20); at > m.watermark {
						m.advance(at)
						w.advance(at)
					}
				case 1:
					at := m.clock + core.Time(rng.IntN(30))
					m.tick(at)
					w.tick(at)
				}
			}
			m.tick(m.clock + 1_000_000)
			w.tick(m.clock)
			m.advance(core.MaxTime)
			w.advance(core.MaxTime)
			w.end()
			same(t, w.emitted, m.said)
			if len(m.said) < 200 || !strings.Contains(strings.Join(m.said, "\n"), "side 0") {
				t.Errorf("%d rows said: the script says too little", len(m.said))
			}
		})
	}
}
