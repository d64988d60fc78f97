package spec

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, text string, vars Variables) (*Node, *Report) {
	var r Report
	return Parse("f.yaml", []byte(text), vars, &r), &r
}

// TestAt looks for the word "needle" in values of every style: At must give the place that the file has it at.
func TestAt(t *testing.T) {
	vars := Variables{Defines: map[string]string{"LONG": "a text of some length", "EMPTY": "", "É": "x"}}
	for _, text := range []string{
		"k: needle", "k: é needle é", "k: 'it''s a ''needle'''", `k: "tab\t \"q\" \u0041\x42\U0001F600 needle"`,
		"k: |\n  one\n    two\n\n  needle", "k: >\n  one\n  two\n\n  three\n    needle", "k: >-\n      one needle", "k: |2\n    one\n  needle",
		"k: one\n  two   three\n  needle", "k: 'one\n\n  two needle'", "k: \"one\\\n   two needle\"",
		"k: ${LONG} needle", "k: ${EMPTY}needle", "k: 'a ${LONG} ${EMPTY} b ${LONG} needle'", "k: a $${LONG} needle", "k: ${NONE:-a long default} needle",
		"a: [x, {k: [1, 'y needle']}]", "k: &anchor one needle", "k: !!str one needle", "é: x needle",
	} {
		n, r := parse(t, text, vars)
		if r.Failed() {
			t.Errorf("%q: %v", text, r.Err())
			continue
		}
		for leaf := n; leaf != nil; {
			switch leaf.Kind {
			case Map:
				leaf = leaf.Entries[len(leaf.Entries)-1].Value
				continue
			case List:
				leaf = leaf.Items[len(leaf.Items)-1]
				continue
			}
			offset := strings.Index(leaf.Value, "needle")
			got := leaf.At(offset)
			lines := strings.Split(text, "\n")
			line := 0
			for !strings.Contains(lines[line], "needle") {
				line++
			}
			column := len([]rune(lines[line][:strings.Index(lines[line], "needle")])) + 1
			tagged := strings.Contains(text, "&anchor") || strings.Contains(text, "!!str")
			if got.Line != line+1 || got.Column != column && !tagged {
				t.Errorf("%q: needle is at %d:%d, At says %s", text, line+1, column, got)
			}
			break
		}
	}
	n, _ := parse(t, "k: a ${LONG} b", vars)
	if got := n.Get("k").At(10).String(); got != "f.yaml:1:6" {
		t.Error("an offset within a variable's value is at the variable, not at", got)
	}
}

func TestVariables(t *testing.T) {
	vars := Variables{Defines: map[string]string{"A": "1", "E": "", "S": "a: [b]\nc"}, Lookup: func(n string) (string, bool) {
		v, ok := map[string]string{"A": "env", "B": "2"}[n]
		return v, ok
	}}
	for in, want := range map[string]string{
		"${A}": "1", "${B}": "2", "${env:A}": "env", "x${A}${B}y": "x12y", "${E}": "", "${E:-d}": "d", "${N:-}": "", "${N:-${A}}": "1", "${N:-a${N:-b}c}": "abc",
		"$${A}": "${A}", "$A": "$A", "$": "$", "a$$b": "a$$b", "${S}": "a: [b]\nc", "${N:-a:-b}": "a:-b", "${env:N:-d}": "d",
	} {
		got, _, err := vars.expand(in)
		if err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"${N}", "${env:N}", "${A", "${}", "${A:-", "${:-x}", "${N:-${M}}", "${a b}", strings.Repeat("${N:-", 40)} {
		if got, _, err := vars.expand(in); err == nil {
			t.Errorf("%s: no error, but %q", in, got)
		}
	}
	// A value never adds structure.
	n, _ := parse(t, "k: ${S}", vars)
	if k := n.Get("k"); k.Kind != Scalar || len(n.Entries) != 1 || !k.Substituted() || k.Show() != "${S}" {
		t.Error(k)
	}
}

func TestValues(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"10ms": 10 * time.Millisecond, "0.1ms": 100 * time.Microsecond, "-1": Unlimited, "0": 0, "1m": time.Minute, "1h30m": 90 * time.Minute, "1 h 30 min": 90 * time.Minute,
		"2d": 48 * time.Hour, "5us": 5 * time.Microsecond, "5µs": 5 * time.Microsecond, "7ns": 7, "-5m": -5 * time.Minute, "1.5s": 1500 * time.Millisecond,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "5", "ms", "1x", "1.2.3s", "--1s", "1000000000h", "1m30", "-", "NaNs", "1e3s"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q is %v", in, got)
		}
	}
	for in, want := range map[string]int64{"128MiB": 128 << 20, "128m": 128 << 20, "1k": 1024, "1kb": 1000, "1.5 GiB": 3 << 29, "4096": 4096, "7B": 7, "0": 0} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-1", "x", "1 parsec", "9999999999 TiB"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q is %v", in, got)
		}
	}
	for _, d := range []time.Duration{0, 1, Unlimited, 10 * time.Millisecond, time.Minute, 90 * time.Minute, time.Hour, 100 * time.Microsecond, 3661 * time.Second} {
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Errorf("%v as %s is %v %v", d, FormatDuration(d), got, err)
		}
	}
	for _, n := range []int64{0, 1, 1024, 1000, 128 << 20, 3 << 40} {
		if got, err := ParseSize(FormatSize(n)); err != nil || got != n {
			t.Errorf("%v as %s is %v %v", n, FormatSize(n), got, err)
		}
	}
}

func TestSet(t *testing.T) {
	n, r := parse(t, "a: {b: 1}\nl: [x, y]\nnothing:\n", Variables{})
	for _, s := range []string{"a.b=2", "a.c.d=[1, 2]", "l.1=z", "nothing.x=1", "new={k: v}", "empty="} {
		Set(n, s, Variables{}, r)
	}
	if r.Failed() {
		t.Fatal(r.Err())
	}
	got := fmt.Sprintln(n.Get("a").Get("b").Value, len(n.Get("a").Get("c").Get("d").Items), n.Get("l").Items[1].Value, n.Get("nothing").Get("x").Value, n.Get("new").Get("k").Value, n.Get("empty").Kind)
	if got != "2 2 z 1 v nothing\n" {
		t.Error(got)
	}
	if p := n.Get("a").Get("b").Pos.String(); p != "--set a.b=2" {
		t.Error(p)
	}
	for _, s := range []string{"a", "=1", "a.b.c=1", "l.x=1", "l.2=1", "a=[", "a=${NONE}"} {
		before := r.Count()
		if Set(n, s, Variables{}, r); r.Count() == before {
			t.Error("no error for", s)
		}
	}
}

func TestReport(t *testing.T) {
	var r Report
	one := Errorf(Pos{"b", 1, 1}, "one")
	r.Add(Pos{}, one)
	r.Add(Pos{}, Errors{Errorf(Pos{"a", 2, 3}, "two"), one})
	r.Add(Pos{"a", 2, 1}, fmt.Errorf("wrapped: %w", errors.New("three")))
	r.Add(Pos{}, nil)
	if got := r.Err().Error(); got != "a:2:1: wrapped: three\na:2:3: two\nb:1:1: one" {
		t.Error(got)
	}
	if !errors.Is(r.Err(), one) {
		t.Error("a single error is not found")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"buffer-timeout", "checkpoint", "memory", "idle-timeout"}
	for in, want := range map[string]string{"buffer_timeout": "buffer-timeout", "bufferTimeout": "buffer-timeout", "memroy": "memory", "checkpoints": "checkpoint", "timeout": "", "idle": "idle-timeout", "xyz": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	for name, text := range map[string]string{"aliases": bomb, "depth": strings.Repeat("[", 200) + strings.Repeat("]", 200), "bytes": strings.Repeat(" ", MaxBytes+1), "circle": "a: &a [*a]", "binary": "\xff\xfe\x00"} {
		if _, r := parse(t, text, Variables{}); !r.Failed() {
			t.Error(name, "is accepted")
		}
	}
}

// TestManyKeys must not take quadratic time.
func TestManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&b, "k%d: v\n", i)
	}
	if n, r := parse(t, b.String(), Variables{}); r.Failed() || len(n.Entries) != 40_000 {
		t.Error(r.Err())
	}
}

// FuzzParse looks for panics, positions outside of the file and values that At cannot place.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: 1", "a: 'x''y'\nb: \"\\u00e9 ${A}\"", "k: |\n  x\n   y\n", "a: &x {b: ${N:-d}}\nc: {<<: *x}", "- [a, {b: >-\n  c}]", "é: \r\n  x", "a: ${", "k: \"\\\n x\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r Report
		n := Parse("f", []byte(text), Variables{Defines: map[string]string{"A": "some\ntext"}}, &r)
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + 1
		for _, e := range r.errors {
			if e.Message == "" || e.Pos.Line > lines+1 {
				t.Fatalf("%q: error %v in line %d of %d", text, e, e.Pos.Line, lines)
			}
		}
		if n == nil {
			return
		}
		var walk func(*Node)
		walk = func(n *Node) {
			if n.Pos.Line < 1 || n.Pos.Column < 1 {
				t.Fatalf("%q: a node at %s", text, n.Pos)
			}
			if n.Kind == Scalar && len(text) < 1000 {
				for offset := -1; offset <= len(n.Value)+1; offset++ {
					if p := n.At(offset); p.Line < n.Pos.Line || p.Line > lines || p.Column < 1 {
						t.Fatalf("%q: offset %d of %q at %s, node at %s", text, offset, n.Value, p, n.Pos)
					}
				}
			}
			for _, i := range n.Items {
				walk(i)
			}
			for _, e := range n.Entries {
				walk(e.Value)
			}
		}
		walk(n)
		Set(n, "a.b="+text, Variables{}, &r)
	})
}
