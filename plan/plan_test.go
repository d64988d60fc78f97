package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	_ "turbo/io/blackhole"
	_ "turbo/io/file"
	_ "turbo/io/format"
	_ "turbo/io/generator"
	"turbo/job"
	"turbo/plan"
)

const base = `
name: test
engine: {parallelism: 2}
sources:
  a:
    connector: generator
    schema: {id: BIGINT NOT NULL, k: STRING, v: DOUBLE, ts: TIMESTAMP(3)}
    watermark: {column: ts}
streams:
  big: {from: a, filter: v > 10}
  once: {from: big, deduplicate: {key: [id], ttl: 1h}}
  sums: {from: once, key-by: [k], aggregate: {total: SUM(v), n: COUNT(*)}}
sinks:
  out: {from: sums, connector: file, path: ./out, format: json}
  rows: {from: once, connector: blackhole}
`

func build(t *testing.T, replacements ...string) *plan.Plan {
	t.Helper()
	text := base
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("%q is not in the text", replacements[i])
		}
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	j, err := job.Parse([]byte(text), job.Options{File: "test.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	return j.Plan
}

// TestDiff says for each change of a job whether its state still fits, and in which words.
func TestDiff(t *testing.T) {
	old := build(t).Signature()
	for _, c := range []struct {
		name         string
		replacements []string
		want         string
	}{
		{"nothing", nil, ""},
		{"parallelism", []string{"parallelism: 2", "parallelism: 7"}, ""},
		{"order of streams", []string{"  big: {from: a, filter: v > 10}\n", "", "sinks:\n", "  big: {from: a, filter: v > 10}\nsinks:\n"}, ""},
		{"filter", []string{"v > 10", "v > 20"}, "  stream big, filter: was v > 10 and is v > 20; what rows before the change have made stays in once/deduplicate, sums/aggregate"},
		{"ttl", []string{"1h", "2h"}, "  once/deduplicate: ttl was 1h0m0s and is 2h0m0s"},
		{"key groups", []string{"parallelism: 2", "key-groups: 64"}, "! job: the number of key groups was 128 and is 64"},
		{"key", []string{"key-by: [k]", "key-by: [k, id]"}, "! sums/aggregate: key was k STRING and is k STRING, id BIGINT\n! out/sink: columns was (k STRING, total DOUBLE, n BIGINT NOT NULL) and is (k STRING, id BIGINT NOT NULL, total DOUBLE, n BIGINT NOT NULL)"},
		{"aggregate", []string{"SUM(v)", "MAX(v)"}, "! sums/aggregate: column total was SUM(DOUBLE) DOUBLE and is MAX(DOUBLE) DOUBLE\n  stream sums, column total: was SUM(v) and is MAX(v); what rows before the change have made stays in sums/aggregate"},
		{"type", []string{"id: BIGINT NOT NULL", "id: INT NOT NULL"}, "! once/deduplicate: key was id BIGINT and is id INT"},
		{"gone", []string{"  rows: {from: once, connector: blackhole}\n", ""}, "! rows/sink: the sink is gone, and the checkpoint has its state"},
		{"new", []string{"sinks:\n", "sinks:\n  more: {from: a, connector: blackhole}\n"}, "  more/sink: the sink is new: it gets the rows that follow the checkpoint"},
		{"clock", []string{"ttl: 1h", "ttl: 1h, clock: processing"}, "! once/deduplicate: clock was event and is processing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := build(t, c.replacements...).Signature()
			var lines []string
			refused := false
			for _, d := range plan.Diff(old, now) {
				if strings.Contains(d.Text, "columns was") && !strings.Contains(c.want, d.Text) || strings.Contains(d.ID, "source") {
					continue // follows from the rest
				}
				lines = append(lines, d.String())
				refused = refused || d.Refused
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if same := old.Fingerprint() == now.Fingerprint(); same == (refused || c.name == "new") {
				t.Errorf("refused: %t, equal fingerprints: %t", refused, same)
			}
			if len(c.replacements) == 0 && len(plan.Diff(old, now)) > 0 {
				t.Error(plan.Diff(old, now))
			}
		})
	}
	text, err := json.Marshal(old)
	var again plan.Signature
	if err != nil || json.Unmarshal(text, &again) != nil || len(plan.Diff(old, again)) > 0 || again.Fingerprint() != old.Fingerprint() {
		t.Error("a signature does not survive JSON", err)
	}
}

// TestDiffOfJoins says of joins whether their state still fits: rows are kept with the columns that the result and the condition need.
func TestDiffOfJoins(t *testing.T) {
	signature := func(where, columns string) plan.Signature {
		j, err := job.Parse([]byte(`
name: test
sources:
  a: {connector: generator, schema: {id: BIGINT, v: BIGINT, w: BIGINT, ts: TIMESTAMP(3)}, watermark: {column: ts}}
  b: {connector: generator, schema: {id: BIGINT, x: BIGINT, y: BIGINT, ts: TIMESTAMP(3)}, watermark: {column: ts}}
streams:
  j: {join: {left: a, right: b, on: [id], within: {after: 1m}, where: `+where+`}, select: {`+columns+`}}
  n: {from: j, select: {one: "1"}}
sinks:
  out: {from: n, connector: blackhole}
  rows: {from: j, connector: blackhole}
`), job.Options{File: "test.yaml"})
		if err != nil {
			t.Fatal(err)
		}
		return j.Plan.Signature()
	}
	old := signature("v > 10", "id:, x:")
	for _, c := range []struct{ name, where, columns, want string }{
		{"another number", "v > 20", "id:, x:", ""},
		{"another column", "w > 10", "id:, x:", "! j/join: columns of a for the join alone was ts, v and is ts, w"},
		{"a column of the result", "x > 10", "id:, x:", "! j/join: columns of a for the join alone was ts, v and is ts"},
		{"a column more", "v > 10 AND y > 3", "id:, x:", "! j/join: columns of b for the join alone was id, ts and is id, ts, y"},
		{"time", "v > 10 AND a_ts < b_ts", "id:, x:", ""},
		{"result", "v > 10", "id:, x:, y:", "! j/join: column 2 is new: y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines []string
			for _, d := range plan.Diff(old, signature(c.where, c.columns)) {
				if d.Refused && d.ID == "j/join" {
					lines = append(lines, d.String())
				}
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestInvariants checks a plan against the invariants of doc.go.
func TestInvariants(t *testing.T) {
	p := build(t)
	ids := map[string]bool{}
	order := map[plan.Node]int{}
	for i, n := range p.Nodes() {
		c := n.Common()
		order[n] = i + 1
		if ids[c.ID] {
			t.Error("the identifier stands twice:", c.ID)
		}
		ids[c.ID] = true
		for _, in := range c.Inputs {
			if order[in] == 0 {
				t.Error(c.ID, "comes before its input")
			}
		}
		switch n := n.(type) {
		case *plan.Union:
			t.Error("a union is left")
		case *plan.Aggregate:
			keyed(t, n, n.Keys, n.KeyIndexes)
		case *plan.Deduplicate:
			keyed(t, n, n.Keys, n.KeyIndexes)
		}
		names := map[string]bool{}
		for _, f := range c.Schema.Fields {
			if names[f.Name] {
				t.Error(c.ID, "has the column twice:", f.Name)
			}
			names[f.Name] = true
		}
	}
	if s := p.Sinks[1]; strings.Join(s.Balance, " ") != "a/source big/filter once/deduplicate/exchange once/deduplicate rows/sink" || p.Sinks[0].Balance != nil {
		t.Error(s.Balance, p.Sinks[0].Balance)
	}
	tasks := p.Tasks()
	if len(tasks) != 3 || len(tasks[0].Outputs) != 1 || len(tasks[1].Outputs) != 1 || len(tasks[2].Outputs) != 0 {
		t.Error(p.Explain())
	}
}

func keyed(t *testing.T, n plan.Node, keys []string, indexes []int) {
	in := n.Common().Inputs[0]
	for i, k := range keys {
		if in.Common().Schema.Fields[indexes[i]].Name != k {
			t.Error(n.Common().ID, "reads another column as key", k)
		}
	}
	if e, ok := in.(*plan.Exchange); !ok || strings.Join(e.Keys, ",") != strings.Join(keys, ",") {
		t.Error(n.Common().ID, "has no exchange by its key")
	}
}
