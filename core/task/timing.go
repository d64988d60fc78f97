package task

import (
	"fmt"
	"strings"

	"turbo/core"
	"turbo/core/hash"
	"turbo/internal/spec"
)

// timed gives a batch of a reader its times: it fills in those of ingestion, sets rows from too far in the future aside, and tells the
// watermark. It owns b, and the caller the result.
func (r *sourceRoot) timed(split int, b *core.Batch) (*core.Batch, error) {
	if r.node.Ingestion {
		b = r.ingest(b)
	}
	if r.marks == nil {
		return b, nil
	}
	r.marks.looked = true
	r.sinceMark += b.Rows()
	r.sinceRide += b.Rows()
	w := &r.marks.strategy
	latest := core.MinTime
	if w.Generator == nil || w.MaxFutureSkew > 0 {
		latest = latestTime(b.Columns[w.Column], b.Sel)
	}
	if w.MaxFutureSkew > 0 {
		if limit := core.TimeOf(r.clock.Now()).Add(w.MaxFutureSkew); latest > limit {
			if err := r.quarantine(split, b, limit); err != nil {
				b.Release()
				return nil, err
			}
			latest = latestTime(b.Columns[w.Column], b.Sel)
		}
	}
	if err := r.marks.observe(split, b, latest, r.silence.elapsed); err != nil {
		b.Release()
		return nil, err
	}
	r.drift.publish(r.marks)
	return b, nil
}

// ingest returns the rows of b with the time at which they were taken as their last column.
func (r *sourceRoot) ingest(b *core.Batch) *core.Batch {
	out := core.NewBatch(r.account, r.node.Schema)
	out.Len = b.Len
	for _, c := range b.Columns {
		out.Columns = append(out.Columns, c.Retain())
	}
	v := core.NewVector(r.account, r.node.Schema.Fields[len(b.Columns)].Type, b.Len)
	v.Extend(b.Len)
	times, now := v.Int64s(), r.clock.Now().UnixMicro()
	for i := range times {
		times[i] = now
	}
	out.Columns = append(out.Columns, v)
	if b.Sel != nil {
		out.Sel = out.SelBuffer(len(b.Sel))
		copy(out.Sel, b.Sel)
	}
	b.Release()
	return out
}

// quarantine takes the rows later than limit out of b and sends them to the dead letters.
func (r *sourceRoot) quarantine(split int, b *core.Batch, limit core.Time) error {
	w := &r.marks.strategy
	column := b.Columns[w.Column]
	letters := core.NewBuilder(r.account, core.DeadLetterSchema, 1)
	defer letters.Close()
	keep := b.SelBuffer(b.Rows())[:0]
	var text []byte
	for i, n := 0, b.Rows(); i < n; i++ {
		row := b.Row(i)
		if column.Null(row) || core.Time(column.Int64s()[row]) <= limit {
			keep = append(keep, int32(row))
			continue
		}
		text = append(text[:0], '{')
		for c, f := range b.Schema.Fields {
			if c > 0 {
				text = append(text, ',')
			}
			text = core.AppendJSONString(text, []byte(f.Name))
			text = b.Columns[c].AppendJSON(append(text, ':'), row)
		}
		text = append(text, '}')
		reason := fmt.Sprintf("%s is %s: the watermark's max-future-skew takes no row that is more than %s ahead of the clock, at %s", b.Schema.Fields[w.Column].Name,
			core.AppendTimestamp(nil, column.Int64s()[row], 3), spec.FormatDuration(w.MaxFutureSkew), core.AppendTimestamp(nil, int64(limit.Add(-w.MaxFutureSkew)), 3))
		letters.Column(0).AppendString(strings.TrimPrefix(r.node.Label, "source "))
		letters.Column(1).AppendString(r.ids[split])
		letters.Column(2).AppendInt64(-1 - int64(hash.String(text)>>2)) // the position is the connector's knowledge: this one at least tells rows apart
		letters.Column(3).AppendString(reason)
		letters.Column(4).AppendNull()
		letters.Column(5).AppendBytes(text)
		letters.Column(6).AppendInt64(column.Int64s()[row])
	}
	b.Sel = keep
	out := letters.Finish()
	r.count.DeadLettered += int64(out.Len)
	if r.dead.element == nil {
		out.Release()
		return fmt.Errorf("a row is from too far in the future, but no sink for dead letters is set")
	}
	return r.dead.take(0, out)
}
