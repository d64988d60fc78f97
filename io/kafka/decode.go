package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/io/connector"
)

// decoder turns records into batches. One fetcher uses it.
type decoder struct {
	source     *Source
	decoder    connector.Decoder
	columns    []int // columns that the decoder fills
	metadata   []connector.MetadataIndex
	builder    *core.Builder
	dead       *core.Builder // made with the first dead letter
	batchRows  int
	onError    connector.ErrorPolicy
	tombstones string
}

const (
	maxBatchBytes = 512 << 10 // of values: a batch ends with it, whatever its rows
	prefillRows   = 256       // metadata of so many records is appended at a time
)

// errTombstone is what a record without a value is when the configuration says that it is bad.
var errTombstone = errors.New("the record has no value (a tombstone)")

func newDecoder(s *Source) (*decoder, error) {
	c := s.context
	inner, err := s.format.Spec.NewDecoder(connector.DecoderContext{Config: s.format.Config, Record: c.Record, Schema: c.Schema, Columns: c.Columns})
	if err != nil {
		return nil, err
	}
	d := &decoder{source: s, decoder: inner, metadata: c.Metadata, batchRows: c.BatchRows, onError: c.OnError, tombstones: s.tombstones}
	if d.batchRows <= 0 {
		d.batchRows = 4096
	}
	for _, column := range c.Columns {
		if column >= 0 {
			d.columns = append(d.columns, column)
		}
	}
	d.builder = core.NewBuilder(c.Account, c.Schema, d.batchRows)
	return d, nil
}

// decoded is the outcome of one run over records of a split.
type decoded struct {
	batch    *core.Batch // the caller's; nil without rows
	dead     *core.Batch // dead letters that follow the batch; the caller's
	taken    int         // records consumed
	read     int64       // those that count as read in the batch's event: rows and skipped ones
	skipped  int64
	dataNext int64 // position after the batch
	next     int64 // position after everything
}

// run decodes records of one split, in order, until the batch is full, a bad record ends it, or the split's stop is reached.
// After an error, next is the offset of the record that it is about.
func (d *decoder) run(sp *split, records []*kgo.Record) (r decoded, err error) {
	r.next = sp.next.Load()
	rows, bytes := 0, 0
	for r.taken < len(records) && rows < d.batchRows && bytes < maxBatchBytes {
		record := records[r.taken]
		switch {
		case sp.stop != NoStop && record.Offset >= sp.stop:
			r.next, r.taken = sp.stop, len(records)
			r.dataNext, r.batch = r.next, d.builder.Finish()
			return r, nil
		case record.Offset < r.next || record.Attrs.IsControl():
			r.taken++
			r.next = max(r.next, record.Offset+1)
			continue
		case record.Value == nil && d.tombstones == "skip":
			r.taken++
			r.read++
			r.skipped++
			r.next = record.Offset + 1
			continue
		case record.Value == nil && d.tombstones == "keep":
			d.appendMetadata(records[r.taken : r.taken+1])
			for _, column := range d.columns {
				d.builder.Column(column).AppendNull()
			}
			rows++
			r.read++
			r.taken++
			r.next = record.Offset + 1
			continue
		case record.Value == nil:
			err = errTombstone
		default:
			n := d.plain(sp, records[r.taken:], min(d.batchRows-rows, prefillRows))
			chunk := records[r.taken : r.taken+n]
			// Metadata first: a decoder that takes back a row by the builder's row count then takes back its own only.
			d.appendMetadata(chunk)
			good := 0
			for _, record := range chunk {
				if err = d.decoder.Decode(record.Value, d.builder); err != nil {
					break
				}
				bytes += len(record.Value)
				good++
			}
			rows += good
			r.taken += good
			r.read += int64(good)
			if good > 0 {
				r.next = chunk[good-1].Offset + 1
			}
			if err == nil {
				continue
			}
			d.builder.Truncate(rows)
			record = chunk[good]
		}
		// record is bad.
		switch d.onError {
		case connector.SkipOnError:
			err = nil
			r.taken++
			r.read++
			r.skipped++
			r.next = record.Offset + 1
			continue
		case connector.DeadLetters:
			r.dataNext, r.batch = r.next, d.builder.Finish()
			d.deadLetter(sp, record, err)
			r.taken++
			r.next = record.Offset + 1
			d.deadLetters(sp, records, &r)
			return r, nil
		}
		d.builder.Truncate(0)
		r.next = record.Offset
		return r, core.Permanent(fmt.Errorf("%w; correct it at its origin, or let the job go on without it by on-error: skip or dead-letter", err))
	}
	r.dataNext, r.batch = r.next, d.builder.Finish()
	return r, nil
}

// plain returns how many records from the first on, at most limit, are to be decoded: they have a value, follow each
// other and stand before the stop. The first one is known to be such.
func (d *decoder) plain(sp *split, records []*kgo.Record, limit int) int {
	limit = min(limit, len(records))
	for n := 1; n < limit; n++ {
		r := records[n]
		if r.Value == nil || r.Attrs.IsControl() || sp.stop != NoStop && r.Offset >= sp.stop {
			return n
		}
	}
	return limit
}

// deadLetters goes on over records that directly follow a bad one and are bad too, so that a run of them is one batch.
func (d *decoder) deadLetters(sp *split, records []*kgo.Record, r *decoded) {
	for r.taken < len(records) && d.dead.Rows() < d.batchRows {
		record := records[r.taken]
		if record.Attrs.IsControl() || sp.stop != NoStop && record.Offset >= sp.stop {
			break
		}
		var err error
		if record.Value == nil {
			if d.tombstones != "error" {
				break
			}
			err = errTombstone
		} else {
			d.appendMetadata(records[r.taken : r.taken+1])
			err = d.decoder.Decode(record.Value, d.builder)
			d.builder.Truncate(0) // a good one is decoded again as the first row of the next batch
		}
		if err == nil {
			break
		}
		d.deadLetter(sp, record, err)
		r.taken++
		r.next = record.Offset + 1
	}
	r.dead = d.dead.Finish()
}

// deadLetter appends a record to the open dead letters.
func (d *decoder) deadLetter(sp *split, record *kgo.Record, cause error) {
	if d.dead == nil {
		d.dead = core.NewBuilder(d.source.context.Account, core.DeadLetterSchema, 16)
	}
	b := d.dead
	b.Column(0).AppendString(d.source.context.Name)
	b.Column(1).AppendString(sp.id)
	b.Column(2).AppendInt64(record.Offset)
	b.Column(3).AppendString(cause.Error())
	appendOptional(b.Column(4), record.Key)
	appendOptional(b.Column(5), record.Value)
	b.Column(6).AppendInt64(record.Timestamp.UnixMicro())
}

func appendOptional(v *core.Vector, b []byte) {
	if b == nil {
		v.AppendNull()
	} else {
		v.AppendBytes(b)
	}
}

// appendMetadata appends the metadata columns of records, a column at a time.
func (d *decoder) appendMetadata(records []*kgo.Record) {
	for _, m := range d.metadata {
		v := d.builder.Column(m.Column)
		switch m.Key {
		case "offset":
			for _, r := range records {
				v.AppendInt64(r.Offset)
			}
		case "partition":
			for _, r := range records {
				v.AppendInt32(r.Partition)
			}
		case "timestamp":
			for _, r := range records {
				v.AppendInt64(r.Timestamp.UnixMicro())
			}
		case "topic":
			for _, r := range records {
				v.AppendString(r.Topic)
			}
		case "key":
			for _, r := range records {
				appendOptional(v, r.Key)
			}
		case "headers":
			for _, r := range records {
				names, values := v.Child(0), v.Child(1)
				for _, h := range r.Headers {
					names.AppendString(h.Key)
					appendOptional(values, h.Value)
				}
				v.EndElement()
			}
		case "timestamp-type":
			for _, r := range records {
				if r.Attrs.TimestampType() == 1 {
					v.AppendString("LogAppendTime")
				} else {
					v.AppendString("CreateTime")
				}
			}
		case "leader-epoch":
			for _, r := range records {
				if r.LeaderEpoch < 0 {
					v.AppendNull()
				} else {
					v.AppendInt32(r.LeaderEpoch)
				}
			}
		}
	}
}

func (d *decoder) close() {
	d.builder.Close()
	if d.dead != nil {
		d.dead.Close()
	}
}
