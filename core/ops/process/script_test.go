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
	"turbo/internal/testkit"
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

// model is what the function must say, kept in maps by the simplest code.
type model struct {
	watermark, clock core.Time
	keys             map[string]*modelKey
	order            []string
	said             []string
}

type mortal struct {
	key   int64
	x     int64
	s     string
	until core.Time
}

func (m *mortal) live(now core.Time) bool { return m != nil && m.until > now }

func (m *mortal) extend(now core.Time) {
	m.until = max(m.until, now+core.Time(scriptTTL.Microseconds()))
}

type modelKey struct {
	name  string
	total *struct {
		n    int64
		note string
		mean float32
	}
	brief, read, late *mortal
	log               []int64
	logText           []string
	fading            []*mortal
	dictOrder         []string
	dict              map[string]int64
	cache             []*mortal
	most              *int64
	sum, n            int64
	event, timers     map[core.Time]bool
}

func (m *model) key(name string) *modelKey {
	k := m.keys[name]
	if k == nil {
		k = &modelKey{name: name, dict: map[string]int64{}, event: map[core.Time]bool{}, timers: map[core.Time]bool{}}
		m.keys[name] = k
		m.order = append(m.order, name)
	}
	return k
}

func (m *model) say(k *modelKey, output, format string, args ...any) {
	m.said = append(m.said, fmt.Sprintf("%s: %s | %q", output, k.name, fmt.Sprintf(format, args...)))
}

func write(at **mortal, x int64, now core.Time) {
	if !(*at).live(now) {
		*at = &mortal{until: core.MinTime}
	}
	(*at).x = x
	(*at).extend(now)
}

func mortalText(v *mortal, now core.Time) string {
	if !v.live(now) {
		return "none"
	}
	return fmt.Sprint(v.x)
}

func (m *model) row(name string, op int32, arg int64, ts core.Time, timed bool) {
	k := m.key(name)
	now := m.watermark
	if timed {
		now = ts
	}
	switch op {
	case opTotal:
		if k.total == nil {
			k.total = &struct {
				n    int64
				note string
				mean float32
			}{}
		}
		k.total.n += arg
		k.total.note += fmt.Sprint(arg % 10)
		k.total.mean = float32(float64(arg) / 3)
	case opTotalClear:
		k.total = nil
	case opTotalSay:
		t := k.total
		if t == nil {
			t = &struct {
				n    int64
				note string
				mean float32
			}{}
		}
		m.say(k, "main", "total %v %d %q %v", k.total != nil, t.n, t.note, float64(t.mean))
	case opBrief:
		write(&k.brief, arg, m.clock)
	case opBriefSay:
		m.say(k, "main", "brief %s", mortalText(k.brief, m.clock))
	case opRead:
		write(&k.read, arg, m.clock)
	case opReadSay:
		m.say(k, "main", "read %s", mortalText(k.read, m.clock))
		if k.read.live(m.clock) {
			k.read.extend(m.clock)
		}
	case opLate:
		write(&k.late, arg, now)
	case opLateSay:
		m.say(k, "main", "late %s", mortalText(k.late, now))
	case opLog:
		k.log, k.logText = append(k.log, arg), append(k.logText, fmt.Sprint("n", arg))
	case opLogSay:
		var all []string
		first := "none"
		for i := range k.log {
			all = append(all, fmt.Sprint(k.log[i], k.logText[i]))
		}
		if len(k.log) > 0 {
			first = fmt.Sprint(k.log[0])
		}
		m.say(k, "main", "log %d %s first %s", len(k.log), all, first)
	case opLogClear:
		k.log, k.logText = nil, nil
	case opLogOdd:
		var log []int64
		var text []string
		for i, x := range k.log {
			if x%2 == 0 {
				log, text = append(log, x+2), append(text, k.logText[i])
			}
		}
		k.log, k.logText = log, text
	case opFading:
		k.fading = append(k.fading, &mortal{x: arg, until: m.clock + core.Time(scriptTTL.Microseconds())})
	case opFadingSay:
		var all []int64
		for _, f := range k.fading {
			if f.live(m.clock) {
				all = append(all, f.x)
			}
		}
		m.say(k, "main", "fading %d %v", len(all), all)
	case opDict, opDictFind, opDictRemove:
		at := ""
		if arg%7 != 0 {
			at = fmt.Sprint("key", arg%7)
		}
		x, there := k.dict[at]
		switch op {
		case opDict:
			k.dict[at] = arg
			if !there {
				k.dictOrder = append(k.dictOrder, at)
			}
			m.say(k, "main", "dict new %v", !there)
		case opDictFind:
			m.say(k, "main", "dict found %v %d", there, x)
		default:
			delete(k.dict, at)
			k.dictOrder = slices.DeleteFunc(k.dictOrder, func(s string) bool { return s == at })
		}
	case opDictSay:
		var all []string
		for _, at := range k.dictOrder {
			all = append(all, fmt.Sprint(at, "=", k.dict[at]))
		}
		m.say(k, "main", "dict %d %v", len(k.dict), all)
	case opDictClear:
		k.dict, k.dictOrder = map[string]int64{}, nil
	case opCache, opCacheFind:
		i := slices.IndexFunc(k.cache, func(e *mortal) bool { return e.key == arg%5 })
		live := i >= 0 && k.cache[i].live(now)
		if op == opCacheFind {
			text := ""
			if live {
				text = k.cache[i].s
				k.cache[i].extend(now)
			}
			m.say(k, "main", "cache found %v %q", live, text)
			break
		}
		if !live {
			if i >= 0 {
				k.cache = slices.Delete(k.cache, i, i+1)
			}
			k.cache = append(k.cache, &mortal{key: arg % 5, until: core.MinTime})
			i = len(k.cache) - 1
		}
		k.cache[i].s = fmt.Sprint(arg)
		k.cache[i].extend(now)
	case opCacheSay:
		var all []string
		for _, e := range k.cache {
			if e.live(now) {
				all = append(all, fmt.Sprint(e.key, "=", e.s))
				e.extend(now)
			}
		}
		m.say(k, "main", "cache %v", all)
	case opMost:
		if k.most == nil || arg > *k.most {
			k.most = &arg
		}
		m.say(k, "main", "most %d", *k.most)
	case opMean:
		k.sum, k.n = k.sum+arg, k.n+1
		m.say(k, "main", "mean %d/%d", k.sum, k.n)
	case opEventTimer:
		k.event[core.Time(arg)] = true
	case opEventDelete:
		delete(k.event, core.Time(arg))
	case opClockTimer:
		k.timers[m.clock+core.Time(arg%40)] = true
	case opClockDelete:
		delete(k.timers, m.clock+core.Time(arg%40))
	case opSide:
		if !timed {
			ts = 0
		}
		m.say(k, "side 0", "side %d %v %v at %v", arg, int64(ts), timed, m.watermark)
	}
}

func (m *model) fire(limit core.Time, processing bool) {
	for _, name := range m.order {
		k := m.keys[name]
		set := k.event
		if processing {
			set = k.timers
		}
		for {
			t := core.MaxTime
			for at := range set {
				t = min(t, at)
			}
			if len(set) == 0 || t > limit {
				break
			}
			delete(set, t)
			now := t
			if processing {
				now = m.watermark
			}
			total, cache := int64(0), 0
			if k.total != nil {
				total = k.total.n
			}
			for _, e := range k.cache {
				if e.live(now) {
					cache++
				}
			}
			m.say(k, "main", "timer %d %v total %d late %s cache %d", t, processing, total, mortalText(k.late, now), cache)
			if processing {
				if t%4 == 0 {
					set[t+7] = true
					k.event[m.watermark+5] = true
				}
				continue
			}
			if t%3 == 0 {
				set[t+1] = true
			}
			if t%20 == 0 {
				delete(set, t+10)
				set[t-2] = true
			}
			if t%100 == 0 {
				set[t+20] = true
			}
			if t%50 == 0 {
				if k.total == nil {
					k.total = &struct {
						n    int64
						note string
						mean float32
					}{}
				}
				k.total.n += 1000
				write(&k.late, int64(t), now)
			}
		}
	}
}

func (m *model) advance(t core.Time) {
	m.watermark = t
	m.fire(t, false)
	limit := t
	if t < core.MaxTime {
		limit++
	}
	for _, k := range m.keys {
		if k.late != nil && k.late.until <= limit {
			k.late = nil
		}
		k.cache = slices.DeleteFunc(k.cache, func(e *mortal) bool { return e.until <= limit })
	}
}

func (m *model) tick(t core.Time) {
	m.clock = t
	m.fire(t, true)
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
	_ = testkit.Format
}
