package cli

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"turbo/core"
	"turbo/internal/vfs"
	"turbo/io/connector"
	"turbo/io/kafka"
	"turbo/io/ledger"
	"turbo/job"
	"turbo/memory"
	"turbo/plan"
)

// source compares the ledger and the files with the broker.
func (v *verification) source(ctx context.Context, j *job.Job) error {
	sink, err := sinkOf(j, &v.Ledger.Header, v.Dir)
	if err != nil {
		return misused(err)
	}
	ranges := map[*plan.Source][]kafka.AuditRange{}
	whole := true // all that the sink's rows come from is on Kafka
	for _, s := range upstream(sink) {
		if s.Spec.Name != "kafka" {
			v.note("source %s is %s: only Kafka can be read again and compared", s.Name, s.Spec.Name)
			whole = false
			continue
		}
		for _, r := range v.Ledger.Sources {
			if r.Source != s.ID {
				continue
			}
			a, err := auditRange(r)
			if err != nil {
				return err
			}
			ranges[s] = append(ranges[s], a)
		}
	}
	if len(ranges) == 0 {
		v.note("the ledger has no range of a Kafka source of sink %s: there is nothing to compare with a broker", sink.Name)
		return nil
	}
	pool := memory.NewPool(verifyMemory)
	way, reason := wayTo(sink)
	var compare *comparison
	if way != nil && ranges[way.source] != nil {
		if compare, err = newComparison(way, &v.Ledger.Header, pool, ranges[way.source]); err != nil {
			return err
		}
	}
	for _, s := range upstream(sink) {
		if ranges[s] == nil {
			continue
		}
		var with *comparison
		if way != nil && s == way.source {
			with = compare
		}
		audits, err := audit(ctx, pool, s, ranges[s], with)
		if err != nil {
			return err
		}
		v.Broker = append(v.Broker, audits...)
	}
	v.log()
	known := v.counts(whole)
	if programs := v.Ledger.Programs; compare != nil && len(programs) > 0 && (len(programs) > 1 || programs[0].Computes != sink.Computes) {
		reason, compare = "they were made by other filters or columns than those of the spec", nil
		if n := len(programs); n > 1 {
			reason = fmt.Sprintf("the job's filters or columns were changed while it has this state, at checkpoint %d", programs[n-1].From)
		}
	}
	if compare == nil {
		v.note("rows cannot be compared with records: %s", reason)
		return nil
	}
	for i := range v.Broker {
		if s := compare.slotOf(&v.Broker[i]); s != nil {
			s.gone = v.Broker[i].Gone
		}
	}
	return v.rows(ctx, compare, known)
}

func auditRange(r ledger.Range) (kafka.AuditRange, error) {
	topic, partition, err := kafka.ParseSplitID(r.Split)
	if err != nil {
		return kafka.AuditRange{}, fmt.Errorf("ledger, source %s: %w", r.Source, err)
	}
	a := kafka.AuditRange{Topic: topic, Partition: partition, From: -1}
	to, err := kafka.ParsePosition(r.To)
	if err == nil && len(r.From) > 0 {
		var from kafka.Position
		from, err = kafka.ParsePosition(r.From)
		a.From = from.Offset
	}
	if err != nil {
		return a, fmt.Errorf("ledger, source %s, %s: %w", r.Source, r.Split, err)
	}
	a.To = to.Offset
	return a, nil
}

// upstream lists the sources that a sink's rows come from.
func upstream(sink *plan.Sink) []*plan.Source {
	var out []*plan.Source
	seen := map[plan.Node]bool{}
	var visit func(plan.Node)
	visit = func(n plan.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if s, ok := n.(*plan.Source); ok {
			out = append(out, s)
		}
		for _, in := range n.Common().Inputs {
			visit(in)
		}
	}
	visit(sink)
	return out
}

// audit reads the ranges of a source on its broker; compare may be nil.
func audit(ctx context.Context, pool *memory.Pool, s *plan.Source, ranges []kafka.AuditRange, compare *comparison) ([]kafka.Audit, error) {
	context := &connector.SourceContext{Runtime: verifyRuntime(pool, s.Name), Config: s.Config, Record: s.Record, Schema: s.Schema, Columns: s.Columns,
		Metadata: s.MetadataIndexes, OnError: s.OnError}
	source, err := kafka.NewSource(context)
	if err != nil {
		return nil, misused(err)
	}
	var at *kafka.Audit
	rows := func(a *kafka.Audit, b *core.Batch) error { b.Release(); return nil }
	if compare != nil {
		now := core.Time(time.Now().UnixMicro())
		c, err := compare.way.chain(pool.Account("rows"), func() core.Time { return now }, func(b *core.Batch) error { return compare.expect(compare.slotOf(at), b) })
		if err != nil {
			return nil, err
		}
		rows = func(a *kafka.Audit, b *core.Batch) error {
			at = a
			return c.from(0, b)
		}
	}
	return source.Audit(ctx, ranges, rows)
}

// log tells what the broker has of the ranges.
func (v *verification) log() {
	for _, a := range v.Broker {
		name := fmt.Sprintf("%s partition %d", a.Topic, a.Partition)
		span := fmt.Sprintf("offsets %s to %s", number(a.From), number(a.To-1))
		switch {
		case a.From < 0:
			v.note("%s: where the job began to read cannot be known any more; nothing is compared before offset %s", name, number(a.To))
			continue
		case a.To > a.End:
			v.wrong("%s: the ledger goes to offset %s, and the log ends at %s: the topic was deleted and made again, or the brokers lost records", name, number(a.To-1), number(a.End-1))
			continue
		case a.From == a.To:
			v.ok("%s: nothing was to be read", name)
			continue
		}
		for _, s := range a.Lost {
			v.wrong("%s: offsets %s to %s are not in the log, and neither transactions nor compaction explain it: the brokers lost them", name, number(s.From), number(s.To-1))
		}
		for _, s := range a.Unexplained {
			v.note("%s: offsets %s to %s are not in the log; whether the topic is compacted, which would explain it, this client may not see", name, number(s.From), number(s.To-1))
		}
		if a.Deleted > 0 {
			v.note("%s: retention has deleted the log up to offset %s since; %s cannot be compared any more", name, number(a.Start-1), many(a.Deleted, "offset"))
		}
		if len(a.Lost)+len(a.Unexplained) == 0 {
			v.ok("%s, %s: %s", name, span, contents(a))
		}
	}
}

// contents says what the log has of a range.
func contents(a kafka.Audit) string {
	parts := []string{many(a.Records, "record")}
	for _, p := range []struct {
		n    int64
		what string
	}{{a.Control, "transaction marker"}, {a.Aborted, "record of an aborted transaction"}, {a.Compacted, "offset emptied by compaction"}, {a.Deleted, "offset deleted by retention"}} {
		switch {
		case p.n == 1:
			parts = append(parts, "1 "+p.what)
		case p.n > 1:
			parts = append(parts, number(p.n)+" "+plurals[p.what])
		}
	}
	if len(parts) == 1 {
		return parts[0] + ", no gap"
	}
	return strings.Join(parts, ", ")
}

var plurals = map[string]string{
	"transaction marker": "transaction markers", "record of an aborted transaction": "records of aborted transactions",
	"offset emptied by compaction": "offsets emptied by compaction", "offset deleted by retention": "offsets deleted by retention",
}

// counts compares the number of records with what the ledger says was read, and reports whether the broker has all of them.
func (v *verification) counts(whole bool) (known bool) {
	var records, skipped, bad int64
	known = whole
	for _, a := range v.Broker {
		records, skipped, bad = records+a.Records, skipped+a.Skipped, bad+a.Bad
		if a.From < 0 || a.Guessed || a.Deleted+a.Compacted > 0 || a.To > a.End || len(a.Unexplained) > 0 {
			known = false
		}
	}
	b := v.Ledger.Balance
	if b == nil {
		return known
	}
	same := whole && records == b.Read
	switch {
	case same:
		v.ok("the broker has %s in these ranges, and so many the job has read", many(records, "record"))
	case !known:
		v.note("the broker has %s of these ranges now, the job has read %s; the difference cannot be told from what the log has let go", many(records, "record"), number(b.Read))
	default:
		v.wrong("the broker has %s in these ranges, and the job has read %s", many(records, "record"), number(b.Read))
	}
	known = known || same // what has gone, was gone before the job came
	if known && bad+skipped != b.DeadLettered+b.Skipped {
		v.wrong("%s on the broker cannot be decoded or have no value, and the job has set aside or skipped %s", many(bad+skipped, "record"), number(b.DeadLettered+b.Skipped))
	}
	return known
}

// rows compares the rows.
func (v *verification) rows(ctx context.Context, c *comparison, known bool) error {
	state, err := ledger.Read(vfs.OS(), v.Dir)
	if err != nil {
		return err
	}
	bad, damaged := map[string]bool{}, map[string]bool{}
	var names []string
	for _, p := range v.Ledger.Problems {
		switch p.Kind {
		case ledger.Missing, ledger.Pending:
			bad[p.Path] = true
		case ledger.Changed, ledger.Rows: // what can be read of it tells more
			damaged[p.Path] = true
		case ledger.Extra:
			names = append(names, p.Path) // a reader sees it
		}
	}
	earlier := 0
	for name := range state.Visible {
		if bad[name] {
			continue
		}
		if v.Ledger.Runs > 1 && !strings.Contains(path.Base(name), "-"+v.Ledger.Header.Run+"-w") {
			earlier++
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if earlier > 0 {
		v.note("%s of earlier runs: their ranges are not in the newest run's, and their rows are not compared", many(int64(earlier), "file"))
	}
	for _, name := range names {
		if err := c.readFile(ctx, v.Dir, name); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if damaged[name] {
				v.note("%s: its rows can be read in part only: %v", name, err)
			} else {
				v.wrong("%s: its rows cannot be read: %v", name, err)
			}
			bad[name] = true
		}
	}
	c.finish()
	v.Rows = &rowResult{ByOffset: c.located, Expected: c.expected.Rows, Found: c.found.Rows, Unchecked: c.unchecked,
		Missing: c.missing, Doubled: c.doubled, Altered: c.altered, Strange: c.strange, Outside: c.outside}
	if !c.located {
		v.together(c, known, len(bad))
		return nil
	}
	v.apart(c, len(bad))
	return nil
}

// except names the columns whose values are not compared.
func (c *comparison) except() string {
	var clock, paths []string
	for i, f := range c.way.sink.Schema.Fields {
		switch {
		case !c.way.fixed[i]:
			clock = append(clock, f.Name)
		case c.way.byPath[f.Name] && i != c.way.partition && i != c.way.topic:
			paths = append(paths, f.Name)
		}
	}
	var parts []string
	if len(clock) > 0 {
		parts = append(parts, strings.Join(clock, ", ")+" (by the clock)")
	}
	if len(paths) > 0 {
		parts = append(parts, strings.Join(paths, ", ")+" (in directory names)")
	}
	if parts == nil {
		return ""
	}
	return " but for " + strings.Join(parts, " and ")
}

// together tells the comparison of all rows at once.
func (v *verification) together(c *comparison, known bool, damaged int) {
	v.note("single rows cannot be told apart: %s. All rows together are compared", c.why)
	switch {
	case c.way.thinned != "":
		v.note("%s: which rows must be there cannot be said from the broker alone; there are %s of at most %s", c.way.thinned, number(c.found.Rows), number(c.expected.Rows))
	case !known:
		v.note("the rows cannot be compared: the broker does not have all records any more")
	case v.Ledger.OpenRows > 0 && c.found.Rows+v.Ledger.OpenRows == c.expected.Rows:
		v.ok("the records give %s: %s visible and %s not yet", many(c.expected.Rows, "row"), number(c.found.Rows), number(v.Ledger.OpenRows))
	case damaged > 0:
		v.note("the rows cannot be compared: %s could not be read", many(int64(damaged), "file"))
	case c.found.Rows != c.expected.Rows:
		v.wrong("the records give %s by the job's filters, the visible files have %s", many(c.expected.Rows, "row"), number(c.found.Rows))
	case c.found != c.expected:
		v.wrong("the files have as many rows as the records give (%s), but not the same ones", number(c.found.Rows))
	default:
		v.ok("the records give %s by the job's filters and columns, and the visible files have exactly these, in number and in the sum of their fingerprints%s", many(c.expected.Rows, "row"), c.except())
	}
}

// apart tells the comparison row by row.
func (v *verification) apart(c *comparison, damaged int) {
	report := func(s sample, format string) {
		if s.N > 0 {
			v.wrong(format+" (%s)", many(s.N, "row"), strings.Join(s.Examples, "; ")+map[bool]string{true: "; ..."}[s.N > int64(len(s.Examples))])
		}
	}
	report(c.doubled, "%s twice")
	report(c.altered, "%s with other values than the record on the broker gives")
	report(c.strange, "%s that no record gives: it is not on the broker, or does not pass the job's filters")
	report(c.outside, "%s with an offset outside of the ledger's ranges")
	switch n := c.missing.N; {
	case n > 0 && n == v.Ledger.OpenRows:
		v.note("%s in no visible file: as many as are durable in files that are still open", many(n, "row"))
	case n > 0 && damaged > 0:
		report(c.missing, "%s in no readable file, where "+many(int64(damaged), "file")+" could not be read")
	default:
		report(c.missing, "%s in no file, though the record is on the broker and passes the job's filters")
	}
	if c.unchecked > 0 {
		v.note("%s whose records the broker does not have any more: not compared", many(c.unchecked, "row"))
	}
	good := c.found.Rows - c.unchecked - c.doubled.N - c.altered.N - c.strange.N - c.outside.N
	switch {
	case c.doubled.N+c.altered.N+c.strange.N+c.outside.N > 0:
	case c.way.thinned != "":
		v.ok("row by row: each of the %s has its record on the broker, none is there twice", many(good, "row"))
		v.note("%s: which rows must be there cannot be said from the broker alone; that the balance holds is what speaks for it", c.way.thinned)
	case c.missing.N > 0 && c.missing.N != v.Ledger.OpenRows:
	case c.missing.N > 0:
		v.ok("row by row: the job's filters keep %s of the records; %s of them are visible, each in exactly one file, with the same values%s; nothing else is there; those in open files are not compared",
			number(c.expected.Rows), number(good), c.except())
	default:
		v.ok("row by row: the job's filters keep %s of the records; each of them is in exactly one file, with the same values%s; nothing else is there", number(c.expected.Rows), c.except())
	}
}
