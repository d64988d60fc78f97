package window

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"turbo/core"
	"turbo/internal/testkit"
	_ "turbo/io/blackhole"
	_ "turbo/io/file"
	_ "turbo/io/format"
	"turbo/job"
	"turbo/memory"
	"turbo/plan"
)

// compiled is a scenario's window as the job's plan makes it.
type compiled struct {
	operator *plan.Operator
	input    *core.Schema
	keys     []int
}

// position is where the messages of a job specification are about.
var position = regexp.MustCompile(`^spec:\d+:\d+: (streams\.out\.?)?`)

// compile makes a job around the specification. Messages of what it refuses come without their positions.
func compile(s *scenario) (*compiled, []string) {
	text := `name: scenario
sources:
  in:
    connector: file
    path: in.csv
    format: csv
    schema: {k: STRING, ts: TIMESTAMP(6), v: BIGINT, gap: BIGINT}
    watermark: {column: ts}
streams:
  out:
    from: in
`
	for line := range strings.Lines(s.spec) {
		text += "    " + line
	}
	text += "sinks:\n  out: {from: out, connector: blackhole}\n"
	if strings.Contains(s.spec, "late: lost") {
		text += "  lost: {from: lost, connector: blackhole}\n"
	}
	j, err := job.Parse([]byte(text), job.Options{File: "spec", Parallelism: 1})
	if err != nil {
		var messages []string
		for line := range strings.Lines(err.Error()) {
			messages = append(messages, position.ReplaceAllString(strings.TrimSpace(line), ""))
		}
		return nil, messages
	}
	for _, n := range j.Plan.Nodes() {
		o, ok := n.(*plan.Operator)
		if !ok {
			continue
		}
		c := &compiled{operator: o, input: o.Inputs[0].Common().Schema}
		for _, k := range o.Partitioned {
			c.keys = append(c.keys, c.input.Index(k))
		}
		return c, nil
	}
	return nil, []string{"the specification has no window"}
}

// columns makes the rows' columns, those that the plan has kept.
func (c *compiled) columns(account *memory.Account, rows []record) (out []*core.Vector) {
	for _, f := range c.input.Fields {
		v := core.NewVector(account, f.Type, len(rows))
		integer := func(has bool, x int64) {
			if has {
				v.AppendInt64(x)
			} else {
				v.AppendNull()
			}
		}
		for _, r := range rows {
			switch f.Name {
			case "k":
				if r.hasKey {
					v.AppendString(r.key)
				} else {
					v.AppendNull()
				}
			case "ts":
				integer(r.hasTS, r.ts)
			case "v":
				integer(r.hasV, r.v)
			case "gap":
				integer(r.hasGap, r.gap)
			}
		}
		out = append(out, v)
	}
	return out
}

// harness makes what runs the operator, and says which message is which step.
func (c *compiled) harness(t *testing.T, s *scenario) *testkit.Harness {
	bound := c.operator.Bound()
	account := memory.NewPool(0).Account("input")
	h := &testkit.Harness{New: bound.New, Input: c.input, Output: bound.Output, Keys: c.keys}
	if len(c.operator.Sides) > 0 {
		h.Sides = bound.Sides
	}
	var rows []record
	for _, p := range s.steps {
		e := testkit.Event{After: len(rows), Restart: p.workers}
		switch p.what {
		case "row":
			rows = append(rows, p.row)
			continue
		case "watermark":
			e.Watermark = core.Time(p.at)
		case "clock":
			e.Clock = core.Time(p.at)
		case "end":
			e.Watermark = core.MaxTime
		}
		h.Events = append(h.Events, e)
	}
	h.Columns = c.columns(account, rows)
	t.Cleanup(func() {
		for _, v := range h.Columns {
			v.Release()
		}
	})
	return h
}

// render writes a row of a schema as scenarios have it: key, bounds, aggregates, kind.
func render(schema *core.Schema, row string) string {
	var out []string
	fields := strings.Split(row, " | ")
	if row == "" {
		fields = nil
	}
	for i, f := range fields {
		if f == "null" {
			f = "-"
		} else if u, err := strconv.Unquote(f); err == nil && u != "" && !strings.ContainsAny(u, " |") {
			f = u
		}
		name := schema.Fields[i].Name
		if k := schema.Fields[i].Type.Kind; k == core.Timestamp || k == core.TimestampLTZ {
			if us, err := strconv.ParseInt(f, 10, 64); err == nil {
				f = formatTime(us)
			}
		} else if ms, err := strconv.ParseInt(f, 10, 64); err == nil && name == "gap" {
			f = formatTime(ms * 1000)
		}
		switch name {
		case "window_start":
			f = "[" + f + ","
		case "window_end":
			f += ")"
		case "gap":
			if f == "-" {
				continue
			}
		}
		out = append(out, f)
	}
	return strings.Join(out, " ")
}

func renderAll(schema *core.Schema, emitted []testkit.Emitted) (out []string) {
	for _, e := range emitted {
		out = append(out, render(schema, e.Row))
	}
	slices.Sort(out)
	return out
}

// divide gives each step what the operator emitted there, from a run that took a row at a time.
func (c *compiled) divide(s *scenario, log *testkit.Log) (o outcome, err error) {
	if len(log.Marks) != len(s.steps) {
		return o, fmt.Errorf("%d messages, %d steps", len(log.Marks), len(s.steps))
	}
	output, from := c.operator.Bound().Output, 0
	for _, m := range log.Marks {
		o.steps = append(o.steps, renderAll(output, log.Emitted[from:m.Emitted]))
		from = m.Emitted
	}
	if from != len(log.Emitted) {
		return o, fmt.Errorf("after the last step came %v", renderAll(output, log.Emitted[from:]))
	}
	o.after = c.after(log)
	return o, nil
}

// after lists counters and late rows.
func (c *compiled) after(log *testkit.Log) []string {
	var rows []string
	if len(log.Sides) > 0 {
		rows = renderAll(c.operator.Bound().Sides[0], log.Sides[0])
	}
	return summary(log.Count.Late, log.Count.NoTime, log.Count.Filtered, rows)
}
