package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"turbo/core"

	"turbo/core/expr"
	"turbo/internal/spec"
)

// Origin says where the text of an expression was written, for errors that only its rows show.
type Origin struct {
	// Name is what the text computes: "stream arrivals, column cell".
	Name string
	// At gives the position of a byte offset of the text; nil when there is none. It may be called from any goroutine.
	At func(offset int) spec.Pos
}

// segment says that Text[from:to] of an expression stands for source[start:end] of an origin. It is written the same there when the lengths
// are; the expression of depth 0 contains those of depth 1, and so on.
type segment struct {
	from, to   int
	origin     *Origin
	source     string
	start, end int
	depth      int
}

// Written notes where the whole text of e was written, and returns e.
func (e *Expr) Written(at Origin) *Expr { return e.writtenAt(&at, e.Text, 0) }

// writtenAt says that the text of e stands at offset in source.
func (e *Expr) writtenAt(at *Origin, source string, offset int) *Expr {
	e.segments = []segment{{0, len(e.Text), at, source, offset, offset + len(e.Text), 0}}
	return e
}

// written says where the part [from, to) of e's text was written and how: "stream arrivals, column cell (job.yaml:31:13)"; "" when that is
// not known. A part that spans several origins belongs to the outermost one.
func (e *Expr) written(from, to int) (place, text string) {
	var first, last *segment
	for i := range e.segments {
		s := &e.segments[i]
		if s.to <= from || s.from >= to {
			continue
		}
		if first == nil || s.depth < first.depth {
			first = s
		}
		last = s
	}
	if first == nil {
		return "", ""
	}
	start := min(first.start+max(from-first.from, 0), first.end)
	if first.from <= from && last.origin == first.origin {
		end := last.end
		if to < last.to {
			end = min(last.start+to-last.from, last.end)
		}
		if start < end {
			text = first.source[start:end]
		}
	}
	place = first.origin.Name
	if at := first.origin.At; at != nil {
		if pos := at(start); pos.Line > 0 {
			place += " (" + pos.String() + ")"
		}
	}
	return place, text
}

// Compile makes a program of e over columns that have the names and types of those that it was checked over. What fails at a row says
// where it was written.
func (e *Expr) Compile(schema *core.Schema) (*expr.Program, error) {
	return expr.Compile(e.Node, schema, expr.Options{Source: e.Text, Written: e.written})
}

// replaceOrigins gives the origins of the text that replaceText makes of e's: parts[i] comes from inner[i] in brackets, or stands for what
// it replaces when that is nil.
func replaceOrigins(e *Expr, parts []replacement, inner []*Expr) []segment {
	var out []segment
	at, made := 0, 0
	keep := func(to int) {
		for _, s := range e.segments {
			if from, end := max(s.from, at), min(s.to, to); from < end {
				start := min(s.start+from-s.from, s.end)
				out = append(out, segment{made + from - at, made + end - at, s.origin, s.source, start, min(start+end-from, s.end), s.depth})
			}
		}
		made += to - at
		at = to
	}
	for i, p := range parts {
		keep(p.from)
		outer := segment{}
		for _, s := range e.segments {
			if s.from <= p.from && p.from < s.to {
				outer = s
			}
		}
		switch x := inner[i]; {
		case x == nil && outer.origin != nil:
			out = append(out, segment{made, made + len(p.text), outer.origin, outer.source, outer.start + p.from - outer.from, outer.start + p.to - outer.from, outer.depth})
		case x != nil && len(x.segments) > 0:
			bracket := (len(p.text) - len(x.Text)) / 2
			for j, s := range x.segments {
				s.from, s.to, s.depth = s.from+made+bracket, s.to+made+bracket, s.depth+outer.depth+1
				if j == 0 && bracket > 0 {
					out = append(out, segment{made, made + bracket, s.origin, s.source, s.start, s.start, s.depth})
				}
				out = append(out, s)
				if j == len(x.segments)-1 && bracket > 0 {
					out = append(out, segment{s.to, s.to + bracket, s.origin, s.source, s.end, s.end, s.depth})
				}
			}
		}
		made += len(p.text)
		at = p.to
	}
	keep(len(e.Text))
	return out
}

// written lists the expressions of a plan whose origin is known.
func (p *Plan) written() []Expression {
	consumers := p.consumers()
	var out []Expression
	at := map[string]int{}
	for _, n := range p.Nodes() {
		var list []*Expr
		switch n := n.(type) {
		case *Source:
			if n.Watermark != nil && n.Watermark.Punctuated != nil {
				list = append(list, n.Watermark.Punctuated)
			}
		case *Calc:
			list = append(list, n.Conditions...)
			for _, c := range n.Columns {
				list = append(list, c.Expr)
			}
		}
		feeds := set{}
		for _, e := range list {
			for _, s := range e.segments {
				if s.origin.Name == "" {
					continue
				}
				if len(feeds) == 0 {
					fed(n, consumers, feeds)
				}
				if _, seen := at[s.origin.Name]; !seen { // an aggregate's arguments come before what is made of its results
					at[s.origin.Name] = len(out)
					out = append(out, Expression{Name: s.origin.Name, Text: s.source, Feeds: slices.Sorted(maps.Keys(feeds))})
				}
			}
		}
	}
	return out
}

// digest is a short hash of the filters and columns before a sink.
func digest(s *Sink) string {
	h := sha256.New()
	for _, n := range (&Plan{Sinks: []*Sink{s}}).Nodes() {
		if c, ok := n.(*Calc); ok {
			for _, e := range c.Conditions {
				fmt.Fprintf(h, "%q\n", oneLine(e.Text))
			}
			for _, column := range c.Columns {
				fmt.Fprintf(h, "%q %q\n", column.Name, oneLine(column.Expr.Text))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// fed adds the nodes behind n that keep state of rows.
func fed(n Node, consumers map[Node][]Node, out set) {
	for _, c := range consumers[n] {
		switch x := c.(type) {
		case *Aggregate, *Deduplicate:
			out.add(c.Common().ID)
		case *Operator:
			if x.Stateful {
				out.add(x.ID)
			}
		}
		fed(c, consumers, out)
	}
}

// Written notes where the text of the column was written, and returns c.
func (c *AggregateColumn) Written(at Origin) *AggregateColumn {
	c.origin = &at
	for i := range c.calls {
		call := &c.calls[i]
		if call.argument == nil {
			continue
		}
		expr.Walk(c.node, func(n expr.Node) bool {
			if n, ok := n.(*expr.Call); ok && n.Pos() == call.at.From && len(n.Args) > 0 {
				call.argument.writtenAt(c.origin, c.text, n.Args[0].Pos())
			}
			return true
		})
	}
	return c
}

// result notes where e was written, which post has made of the column's text with the names in hidden.
func (c *AggregateColumn) result(e *Expr, hidden []string) *Expr {
	if c.origin == nil {
		return e
	}
	parts := make([]replacement, len(c.calls))
	for i, call := range c.calls {
		parts[i] = replacement{call.at.From, call.at.To, columnText(hidden[i])}
	}
	whole := (&Expr{Text: c.text}).Written(*c.origin)
	e.segments = replaceOrigins(whole, parts, make([]*Expr, len(parts)))
	return e
}
