package join_test

import (
	"strings"
	"testing"
	"time"

	"turbo/core"
	"turbo/core/ops/join"
)

func TestSchemas(t *testing.T) {
	s := newStream(t, 1, 4, 2)
	l, r := s.schemas[0], s.schemas[1]
	changelog, timeless := *l, *r
	changelog.Changelog, timeless.TimeColumn = true, -1
	base := join.Config{Keys: [2][]int{{0}, {1}}, Output: bothSides(join.Inner)}
	with := func(change func(*join.Config)) join.Config { c := base; change(&c); return c }
	half := with(func(c *join.Config) { c.Kind = join.Semi; c.Output = bothSides(join.Semi) })
	type schemaer interface {
		Schema(left, right *core.Schema) (*core.Schema, error)
	}
	for _, c := range []struct {
		join        schemaer
		left, right *core.Schema
		want        string // a part of the error, or the schema
	}{
		{&join.IntervalConfig{Config: base, Lower: 2, Upper: 1}, l, r, "the lower bound 2 µs is above the upper one"},
		{&join.IntervalConfig{Config: base}, &changelog, r, "the left input is a changelog"},
		{&join.IntervalConfig{Config: base}, l, &timeless, "the right input has no time column"},
		{&join.IntervalConfig{Config: base, Time: "lk"}, l, r, "name of another output column"},
		{&join.IntervalConfig{Config: with(func(c *join.Config) { c.Kind = join.Left }), Time: "t"}, l, r,
			"(lk BIGINT, ln STRING, ts TIMESTAMP_LTZ(6), lv INT, x DOUBLE, at TIMESTAMP_LTZ(6), v INT, t TIMESTAMP_LTZ(6) NOT NULL)"},
		{&join.IntervalConfig{Config: half}, l, r, "(lk BIGINT, ln STRING, ts TIMESTAMP_LTZ(6), lv INT)"},
		{&join.IntervalConfig{Config: with(func(c *join.Config) { c.Kind = join.Anti })}, l, r, "columns of the left input only"},
		{&join.IntervalConfig{Config: with(func(c *join.Config) { c.Keys = [2][]int{{0}, {2}} })}, l, r, "keys must have the same type"},
		{&join.IntervalConfig{Config: with(func(c *join.Config) { c.Keys = [2][]int{{0, 1}, {1}} })}, l, r, "2 key columns on the left, 1 on the right"},
		{&join.IntervalConfig{Config: with(func(c *join.Config) { c.Keys = [2][]int{{9}, {1}} })}, l, r, "key column 9 of 4"},
		{&join.IntervalConfig{Config: with(func(c *join.Config) { c.Output = append(c.Output, c.Output[0]) })}, l, r, "two output columns have the name lk"},
		{&join.IntervalConfig{Config: with(func(c *join.Config) { c.Output = []join.Column{{Side: 1, Index: 7}} })}, l, r, "output column 7 of input 1"},
		{&join.WindowConfig{Config: base}, l, r, "window size 0 µs is not positive"},
		{&join.WindowConfig{Config: base, Windows: join.Windows{Kind: join.Cumulating, Size: 5, Slide: 2}}, l, r, "do not consist of whole steps"},
		{&join.WindowConfig{Config: base, Windows: join.Windows{Kind: join.Session}}, l, r, "the session gap 0 µs is not positive"},
		{&join.WindowConfig{Config: half, Windows: join.Windows{Size: 5}, Start: "a", End: "b"}, l, r,
			"(lk BIGINT, ln STRING, ts TIMESTAMP_LTZ(6), lv INT, a TIMESTAMP_LTZ(6) NOT NULL, b TIMESTAMP_LTZ(6) NOT NULL)"},
		{&join.CoGroupConfig{Keys: base.Keys, Windows: join.Windows{Size: 5}}, l, r, "it needs a function"},
		{&join.TemporalConfig{Config: with(func(c *join.Config) { c.Kind = join.Full })}, l, r, "kind full makes no sense here"},
		{&join.TemporalConfig{Config: base}, &changelog, r, "the left input is a changelog"},
		{&join.RegularConfig{Config: base, TTL: [2]time.Duration{-1, 0}}, l, r, "is negative"},
	} {
		out, err := c.join.Schema(c.left, c.right)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = out.String()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	for _, c := range []struct {
		kind        join.Kind
		left, right *core.Schema
		changelog   bool
	}{{join.Inner, l, r, false}, {join.Semi, l, r, false}, {join.Anti, l, r, true}, {join.Left, l, r, true}, {join.Inner, &changelog, r, true}} {
		config := with(func(x *join.Config) { x.Kind, x.Output = c.kind, bothSides(c.kind) })
		out, err := (&join.RegularConfig{Config: config}).Schema(c.left, c.right)
		if err != nil || out.Changelog != c.changelog || out.TimeColumn != -1 {
			t.Errorf("%v: %v %v", c.kind, out, err)
		}
	}
	if joined := join.Joined(l, r); joined.Index("k0") != 5 || joined.Index("v0") != 6 {
		t.Errorf("joined: %v", joined)
	}
}
