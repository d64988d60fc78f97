package process_test

import (
	"fmt"
	"slices"

	"turbo/core"
)

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
