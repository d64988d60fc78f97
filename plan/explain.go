package plan

import (
	"fmt"
	"strings"

	"turbo/core"
	"turbo/internal/spec"
)

// Explain renders a finished plan as text: one numbered block a node, inputs first, task by task.
func (p *Plan) Explain() string {
	var b strings.Builder
	s := p.Settings
	workers := "one worker a CPU"
	if s.Parallelism == 1 {
		workers = "1 worker"
	} else if s.Parallelism > 1 {
		workers = fmt.Sprintf("%d workers", s.Parallelism)
	}
	fmt.Fprintf(&b, "job %s: %s, memory %s, buffer timeout %s\n", s.Name, workers, spec.FormatSize(s.Memory), timeout(s))
	if s.Checkpoint.Off {
		b.WriteString("checkpoints: off. Nothing is guaranteed: a restart begins at the sources' start and writes output again\n")
	} else {
		fmt.Fprintf(&b, "checkpoints: every %s into %s, the last %d are kept\n", spec.FormatDuration(s.Checkpoint.Interval), s.Checkpoint.Dir, s.Checkpoint.Retain)
	}
	number := map[Node]int{}
	for _, t := range p.Tasks() {
		fmt.Fprintf(&b, "\ntask %s\n", t.ID)
		for _, n := range append([]Node{t.Head}, t.Nodes...) {
			number[n] = len(number) + 1
			explainNode(&b, n, number)
		}
	}
	return b.String()
}

func timeout(s Settings) string {
	text := spec.FormatDuration(s.BufferTimeout)
	switch s.BufferTimeout {
	case 0:
		text = "0 (after every batch)"
	case spec.Unlimited:
		text = "-1 (only full batches)"
	}
	if s.FlushWhenIdle && s.BufferTimeout != spec.Unlimited {
		text += ", or when the receiver is idle"
	}
	return text
}

func explainNode(b *strings.Builder, n Node, number map[Node]int) {
	c := n.Common()
	var from []string
	for _, in := range c.Inputs {
		from = append(from, fmt.Sprintf("[%d]", number[in]))
	}
	reads := ""
	if len(from) > 0 {
		reads = " <- " + strings.Join(from, " ")
	}
	line := func(key, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		fmt.Fprintf(b, "      %-12s %s\n", key, strings.ReplaceAll(text, "\n", " "))
	}
	title := func(format string, args ...any) {
		fmt.Fprintf(b, "  [%d] %s%s\n", number[n], fmt.Sprintf(format, args...), reads)
	}
	switch n := n.(type) {
	case *Source:
		title("source %s: %s", n.Name, n.Spec.Name)
		line("columns", "%s", columnList(n.Schema))
		if unread := n.unread(); len(unread) > 0 {
			line("not read", "%s", strings.Join(unread, ", "))
		}
		for i, m := range n.Metadata {
			line("metadata", "%s = %s", n.Schema.Fields[n.MetadataIndexes[i].Column].Name, m.Key)
		}
		if w := n.Watermark; w != nil {
			text := fmt.Sprintf("%s - %s", w.Column, spec.FormatDuration(w.MaxOutOfOrderness))
			switch {
			case w.Generator != nil:
				text = w.Column + ", by a generator of the program"
			case w.Punctuated != nil:
				text = fmt.Sprintf("%s, when %s", w.Column, w.Punctuated.Text)
			}
			if w.IdleTimeout > 0 {
				text += ", a split is idle after " + spec.FormatDuration(w.IdleTimeout)
			}
			if w.MaxDrift > 0 {
				text += fmt.Sprintf(", at most %s ahead of the slowest source%s", spec.FormatDuration(w.MaxDrift), strings.TrimSuffix(" of "+w.Group, " of "))
			}
			line("watermark", "%s", text)
			if w.MaxFutureSkew > 0 {
				line("quarantine", "rows more than %s ahead of the clock go to the dead letters", spec.FormatDuration(w.MaxFutureSkew))
			}
		}
		line("on error", "%s", n.OnError)
	case *Calc:
		title("calc %s", c.ID)
		for _, e := range n.Conditions {
			line("filter", "%s", e.Text)
		}
		for _, column := range n.Columns {
			if text := column.Expr.Text; text == columnText(column.Name) {
				line("column", "%s", text)
			} else {
				line("column", "%s = %s", columnText(column.Name), text)
			}
		}
	case *Exchange:
		text := n.Kind.String()
		if len(n.Keys) > 0 {
			text += "(" + strings.Join(n.Keys, ", ") + ")"
		}
		title("exchange %s", text)
		line("columns", "%s", columnList(c.Schema))
	case *Aggregate:
		title("aggregate %s", c.Name)
		if len(n.Keys) > 0 {
			line("key", "%s", typed(n.Keys, c.Schema))
		} else {
			line("key", "none: the whole stream on one worker")
		}
		for _, call := range n.Calls {
			argument := strings.TrimPrefix(call.Argument, "$")
			if call.ArgumentIndex < 0 {
				argument = "*"
			}
			line("column", "%s = %s %s", columnText(call.Output.Name), call.text(argument), call.Output.Type.Optional())
		}
		unit := "one update per changed key and input batch"
		if n.EveryRow {
			unit = "one update per row"
		}
		kinds := "+I, then +U"
		if n.Before {
			kinds = "+I, then -U and +U"
		}
		if c.Inputs[0].Common().Schema.Changelog {
			kinds += ", -D when the key has no rows left"
		}
		line("output", "changelog (%s): %s", kinds, unit)
	case *Operator:
		title("%s %s", n.Kind, c.Name)
		for i, p := range n.Ports {
			if n.alone() {
				break
			}
			text := p.Exchange.String()
			if len(p.Keys) > 0 {
				text += "(" + strings.Join(p.Keys, ", ") + ")"
			}
			line(fmt.Sprintf("input %d", i+1), "%s", text)
		}
		n.Spec.Explain(line)
		line("columns", "%s", columnList(c.Schema))
	case *SideOutput:
		o := n.Inputs[0].(*Operator)
		title("%s of %s", o.Sides[n.Side].Name, o.Name)
		line("columns", "%s", columnList(c.Schema))
	case *Deduplicate:
		title("deduplicate %s", c.Name)
		line("key", "%s", typed(n.Keys, c.Schema))
		clock := "event time"
		if n.ProcessingTime {
			clock = "processing time"
		}
		line("keeps", "the first row of a key, for %s of %s", spec.FormatDuration(n.TTL), clock)
	case *Sink:
		title("sink %s: %s", n.Name, n.Spec.Name)
		line("columns", "%s", columnList(c.Schema))
		switch n.RowKinds {
		case UpsertRows:
			line("changelog", "the +I and +U rows are written as rows; set row-kind to keep all of them")
		case KindColumn:
			line("changelog", "all rows, their kind in the column %s", n.RowKindColumn)
		case KeepsRowKinds:
			line("changelog", "all rows with their kind")
		}
		if n.Unbalanced != "" {
			line("ledger", "no balance of rows: %s", n.Unbalanced)
		} else {
			line("ledger", "rows read = written + filtered + deduplicated + dead-lettered + skipped")
		}
		if n.Spec.Guarantee != "" {
			line("guarantee", "%s", n.Spec.Guarantee)
		}
	}
}

// unread are the declared columns that nobody reads.
func (s *Source) unread() []string {
	var out []string
	for _, f := range s.declared.Fields {
		if s.Schema.Index(f.Name) < 0 {
			out = append(out, f.Name)
		}
	}
	return out
}

func columnList(schema *core.Schema) string {
	s := schema.String()
	return s[1 : len(s)-1]
}
