package server

import (
	"math"
	"strings"
	"testing"
	"time"

	"turbo/core/supervisor"
)

func TestWhy(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	far := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	split := func(id string, mark *time.Time, silent time.Duration) SplitTime {
		return SplitTime{ID: id, Watermark: mark, Silent: silent}
	}
	rides := func(splits ...SplitTime) SourceTimes { return SourceTimes{Node: "rides/source", Splits: splits} }
	busy := Node{Node: "rides/source", Label: "source rides", In: 1000, Out: 1000}
	for name, c := range map[string]struct {
		report Report
		want   string // "" for none; else lines
	}{
		"all is well": {Report{State: "running", Nodes: []Node{busy}, Sources: []SourceTimes{rides(split("rides/0", at(-time.Second), time.Millisecond), split("rides/1", at(-2*time.Second), 0))}}, ""},
		"a silent partition": {Report{State: "running", Nodes: []Node{busy}, Sources: []SourceTimes{rides(split("rides/0", at(-time.Second), 0), split("rides/7", at(-41*time.Minute), 41*time.Minute))}},
			"watermark of `rides` stands at 2026-03-01 11:19:00: rides/7 has been silent for 41 min; set `idle-timeout` in its watermark"},
		"a partition that never brought anything": {Report{State: "running", Nodes: []Node{busy}, Sources: []SourceTimes{rides(split("rides/0", at(0), 0), split("rides/1", nil, time.Minute))}},
			"there is no watermark of `rides`: rides/1 has not brought a row with an event time, for 1 min; set `idle-timeout` in its watermark"},
		"idle and ended ones hold nothing": {Report{State: "running", Nodes: []Node{busy}, Sources: []SourceTimes{rides(split("rides/0", at(0), 0),
			SplitTime{ID: "rides/1", Watermark: at(-time.Hour), Silent: time.Hour, Idle: true}, SplitTime{ID: "rides/2", Watermark: at(-time.Hour), Silent: time.Hour, Ended: true})}}, ""},
		"all are idle": {Report{State: "running", Nodes: []Node{busy}, Sources: []SourceTimes{rides(SplitTime{ID: "rides/1", Watermark: at(-time.Hour), Silent: time.Hour, Idle: true}, SplitTime{ID: "rides/2", Watermark: &far, Ended: true})}},
			"watermark of `rides`: a row of rides/2 has taken it to 2999-01-01 00:00:00, 973 years ahead of the clock: rows from before that are late; set max-future-skew in its watermark, and such rows go to the dead letters\n" +
				"event time stands still: all splits are idle, the furthest one at 2026-03-01 11:00:00; windows that end later wait for rows that are later"},
		"a window by the clock, at the end": {Report{Finished: true, Nodes: []Node{busy, {Node: "w/window", Label: "window w", In: 11}}, Sources: []SourceTimes{rides(split("rides/0", at(0), 0))}},
			"window w has 11 rows and has not spoken before its input ended: its windows count by the clock, or rows that have not come, or have no trigger; the end of the input closes windows of event time only"},
		"292 years behind": {Report{Nodes: []Node{busy}, Sources: []SourceTimes{rides(split("rides/0", at(0), 0), split("rides/1", at(-time.Hour), math.MaxInt64))}},
			"watermark of `rides` stands at 2026-03-01 11:00:00: rides/1 is more than 292 years behind the furthest one; set `idle-timeout` in its watermark"},
		"soon idle": {Report{State: "running", Nodes: []Node{busy}, Sources: []SourceTimes{{Node: "rides/source", IdleTimeout: time.Minute, Splits: []SplitTime{split("rides/0", at(0), 0), split("rides/1", at(-time.Hour), 10*time.Second)}}}},
			"watermark of `rides` stands at 2026-03-01 11:00:00: rides/1 has been silent for 10 s; it counts as idle after 1m"},
		"a row from the year 2999": {Report{State: "running", Nodes: []Node{busy, {Node: "w/window", Label: "window w", In: 900, Late: 899, Out: 1}}, Sources: []SourceTimes{rides(split("rides/0", &far, 0))}},
			"watermark of `rides`: a row of rides/0 has taken it to 2999-01-01 00:00:00, 973 years ahead of the clock: rows from before that are late; set max-future-skew in its watermark, and such rows go to the dead letters\n" +
				"window w: 899 of 900 rows were late; raise max-out-of-orderness of the source, or allowed-lateness; the stream that late: names has them"},
		"drift": {Report{State: "running", Nodes: []Node{busy}, Sources: []SourceTimes{rides(SplitTime{ID: "rides/0", Watermark: at(0), Waiting: true, Silent: time.Minute})}},
			"source `rides` waits: it is ahead of the slowest source of its group by more than max-drift; see what holds back the others; or raise max-drift"},
		"a filter": {Report{State: "running", Nodes: []Node{busy, {Node: "ends/filter", Label: "stream ends", In: 1000, Filtered: 1000}}},
			"stream ends: the filter has dropped all 1,000 rows (100 %); see its condition"},
		"all late": {Report{State: "running", Nodes: []Node{busy, {Node: "w/window", Label: "window w", In: 812, Late: 812}}},
			"window w: all 812 rows were late; raise max-out-of-orderness of the source, or allowed-lateness; the stream that late: names has them"},
		"no time": {Report{State: "running", Nodes: []Node{busy, {Node: "w/window", Label: "window w", In: 10, NoTime: 10}}},
			"window w: 10 of 10 rows have no event time (null); see the column of its source's watermark"},
		"no rows": {Report{State: "running", Nodes: []Node{{Node: "rides/source", Label: "source rides"}}}, "source rides has read nothing; see whether its input is there, and where it starts to read"},
		"a broker is away": {Report{State: "running", Nodes: []Node{{Node: "rides/source", Label: "source rides", Trouble: "the broker b:9092 cannot be reached since 2026-03-01 11:00:00: connection refused"}}},
			"source rides: the broker b:9092 cannot be reached since 2026-03-01 11:00:00: connection refused; the job goes on when that is mended"},
		"late in a join": {Report{State: "running", Nodes: []Node{busy, {Node: "j/join", Label: "join j", In: 20, Late: 20}}}, "join j: all 20 rows were late; raise max-out-of-orderness of the source"},
		"no event time": {Report{State: "running", Nodes: []Node{busy, {Node: "w/window", Label: "window w", In: 1000}}},
			"window w has 1,000 rows and has not spoken: no source has event time; give a source a watermark, or use clock: processing"},
		"not yet": {Report{State: "running", Nodes: []Node{busy, {Node: "w/window", Label: "window w", In: 1000, Watermark: at(-time.Minute)}}, Sources: []SourceTimes{rides(split("rides/0", at(-time.Minute), 0))}},
			"window w has 1,000 rows and has not spoken: the watermark stands at 2026-03-01 11:59:00, before the end of its first window"},
		"undecodable": {Report{State: "running", Nodes: []Node{{Node: "rides/source", Label: "source rides", In: 5, DeadLettered: 5}}},
			"source rides: none of its 5 records could be decoded; see the dead letters (turbo dlq list), and its schema and format"},
		"no checkpoint": {Report{State: "running", Nodes: []Node{busy, {Node: "out/sink", Label: "sink out", In: 5, Out: 5}}},
			"sink out has 5 rows and no checkpoint is complete: output becomes visible with one; see engine.checkpoint.interval"},
		"starting": {Report{State: supervisor.Starting, Since: *at(-7 * time.Second)}, "the job has been starting for 7 s: it recovers its state and opens sources and sinks; its log says what it waits for"},
		"restarts": {Report{State: "running", Restarts: 3, LastError: "disk full\nmore", Nodes: []Node{busy}},
			"the job has been restarted 3 times, the last time because of: disk full; mend its cause, or it comes again"},
		"from a checkpoint": {Report{Nodes: []Node{busy}, Sources: []SourceTimes{rides(split("rides/0", at(0), 0), split("rides/1", at(-time.Hour), time.Hour))}},
			"watermark of `rides` stands at 2026-03-01 11:00:00: rides/1 is 1 h 0 min behind the furthest one; set `idle-timeout` in its watermark"},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for _, f := range Why(c.report, now) {
				lines = append(lines, f.String())
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
