package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"turbo/core"
	"turbo/io/connector"
)

// writer is the blocking side of one sink writer: it encodes batches and produces their records.
type writer struct {
	sink    *Sink
	client  *kgo.Client
	encoder connector.Encoder
	keys    connector.Encoder // nil unless keys are JSON

	mu   sync.Mutex
	free []*chunk

	failed atomic.Pointer[error] // the first record that was given up

	ctx     context.Context // of what is being produced
	cancel  context.CancelFunc
	watched sync.WaitGroup
	pending atomic.Int64 // records not yet acknowledged
	acked   atomic.Int64 // records that were
}

// chunk is the records of one batch with the bytes that they point to. It is used again when all are acknowledged.
type chunk struct {
	writer  *writer
	records []kgo.Record
	headers []kgo.RecordHeader
	bytes   []byte
	ends    []int32
	keys    []byte
	keyEnds []int32
	promise func(*kgo.Record, error)
	pending atomic.Int64
}

const (
	maxFreeChunks = 4
	maxFreeBytes  = 4 << 20 // a chunk with larger buffers is not kept
)

func newWriter(s *Sink) (*writer, error) {
	w := &writer{sink: s}
	var err error
	if w.encoder, err = s.format.Spec.NewEncoder(connector.EncoderContext{Config: s.format.Config, Schema: s.layout.schema}); err != nil {
		return nil, err
	}
	if s.layout.keyJSON && len(s.layout.key) > 0 {
		f := connector.LookupFormat("json")
		config, err := connector.FromMap("key", f.Fields, nil)
		if err != nil {
			return nil, err
		}
		if w.keys, err = f.NewEncoder(connector.EncoderContext{Config: config, Schema: s.layout.keySchema}); err != nil {
			return nil, err
		}
	}
	config := s.context.Config
	share := s.memory / int64(max(s.context.Parallelism, 1)) / 2 // the other half: requests on the wire, codecs
	options := []kgo.Opt{
		kgo.DefaultProduceTopic(s.topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(int32(config.Bytes("batch-size"))),
		kgo.ProducerLinger(config.Duration("linger")),
		kgo.ProducerBatchCompression(codec(config.String("compression"))),
		kgo.MaxBufferedBytes(int(share)),
		kgo.MaxBufferedRecords(int(max(share/256, 1000))),
	}
	if s.layout.partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if w.client, err = s.connection.client(options...); err != nil {
		return nil, err
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	if timeout := config.Duration("delivery-timeout"); timeout > 0 {
		w.watched.Go(func() { w.watch(timeout) })
	}
	return w, nil
}

// watch fails the writer when no record has been acknowledged for the timeout although some wait. (The client's own
// timeout starts at the record's time, which here may be the event's.)
func (w *writer) watch(timeout time.Duration) {
	const looks = 4
	last, still := int64(0), 0
	for {
		timer := w.sink.context.Clock.NewTimer(max(timeout/looks, time.Millisecond))
		select {
		case <-w.ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
		acked := w.acked.Load()
		if w.pending.Load() == 0 || acked != last {
			last, still = acked, 0
			continue
		}
		if still++; still >= looks {
			err := fmt.Errorf("topic %q: no record was acknowledged for %v (\"delivery-timeout\"), %d are waiting; the last error of a connection is in the log",
				w.sink.topic, timeout, w.pending.Load())
			w.failed.CompareAndSwap(nil, &err)
			w.cancel()
			return
		}
	}
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

// Write implements connector.Writer.
func (w *writer) Write(ctx context.Context, b *core.Batch) error {
	defer b.Release()
	if err := w.failed.Load(); err != nil {
		return *err
	}
	rows := b.Rows()
	if rows == 0 {
		return nil
	}
	c := w.chunk(rows)
	if err := w.fill(c, b); err != nil {
		w.recycle(c)
		return err
	}
	c.pending.Store(int64(rows))
	w.pending.Add(int64(rows))
	stop := context.AfterFunc(ctx, w.cancel) // the client may block
	defer stop()
	for i := range c.records {
		w.client.Produce(w.ctx, &c.records[i], c.promise)
	}
	return nil
}

// chunk returns an empty chunk with rows records.
func (w *writer) chunk(rows int) *chunk {
	w.mu.Lock()
	var c *chunk
	if n := len(w.free); n > 0 {
		c = w.free[n-1]
		w.free = w.free[:n-1]
	}
	w.mu.Unlock()
	if c == nil {
		c = &chunk{writer: w}
		c.promise = c.done
	}
	if cap(c.records) < rows {
		c.records = make([]kgo.Record, rows)
	}
	c.records = c.records[:rows]
	c.headers, c.bytes, c.ends, c.keys, c.keyEnds = c.headers[:0], c.bytes[:0], c.ends[:0], c.keys[:0], c.keyEnds[:0]
	return c
}

func (w *writer) recycle(c *chunk) {
	clear(c.records) // the client left its own things in them
	clear(c.headers)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.free) < maxFreeChunks && cap(c.bytes)+cap(c.keys) <= maxFreeBytes {
		w.free = append(w.free, c)
	}
}

// done is called by the client for each record, in the order of a partition.
func (c *chunk) done(r *kgo.Record, err error) {
	if err != nil {
		c.writer.fail(r, err)
	} else {
		c.writer.acked.Add(1)
	}
	c.writer.pending.Add(-1)
	if c.pending.Add(-1) == 0 {
		c.writer.recycle(c)
	}
}

func (w *writer) fail(r *kgo.Record, err error) {
	s := w.sink
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		err = fmt.Errorf("topic %q: a row makes a record of %d bytes, more than \"batch-size\" or the topic's max.message.bytes allows: %w", s.topic, len(r.Key)+len(r.Value), err)
	case s.layout.partition >= 0 && strings.Contains(err.Error(), "invalid record partitioning choice"):
		_, count, _ := strings.Cut(err.Error(), " from ")
		count, _, _ = strings.Cut(count, " ")
		err = core.Permanent(fmt.Errorf("topic %q has %s partitions, from 0 on, and the column %q says %d in the row with the key %s and the value %s: %s",
			s.topic, count, s.context.Schema.Fields[s.layout.partition].Name, r.Partition, clip(r.Key), clip(r.Value), mendPartition))
	default:
		err = s.connection.explain(err, s.topic)
	}
	w.failed.CompareAndSwap(nil, &err)
}

const mendPartition = "select a partition that is there, such as MOD(ABS(n), 4), or leave \"partition\" out, so that the key decides"

// clip writes bytes for a message, at most so many.
func clip(b []byte) string {
	const most = 200
	switch {
	case b == nil:
		return "null"
	case len(b) > most:
		return strconv.Quote(string(b[:most])) + "..."
	}
	return strconv.Quote(string(b))
}

// fill encodes the rows of b into the records of c.
func (w *writer) fill(c *chunk, b *core.Batch) (err error) {
	l := &w.sink.layout
	value := b
	if l.value != nil {
		value = project(b, l.schema, l.value)
		defer value.Release()
	}
	if c.bytes, c.ends, err = w.encoder.Encode(c.bytes, c.ends, value); err != nil {
		return fmt.Errorf("encoding the value: %w", err)
	}
	if w.keys != nil {
		keys := project(b, l.keySchema, l.key)
		defer keys.Release()
		if c.keys, c.keyEnds, err = w.keys.Encode(c.keys, c.keyEnds, keys); err != nil {
			return fmt.Errorf("encoding the key: %w", err)
		}
	} else if len(l.key) > 0 {
		c.keys, c.keyEnds = rawKeys(c.keys, c.keyEnds, b, b.Columns[l.key[0]])
	}
	at, keyAt := int32(0), int32(0)
	for i := range c.records {
		r := &c.records[i]
		*r = kgo.Record{Value: c.bytes[at:c.ends[i]:c.ends[i]]}
		at = c.ends[i]
		if len(l.key) > 0 {
			if end := c.keyEnds[i]; w.keys != nil || !b.Columns[l.key[0]].Null(b.Row(i)) {
				r.Key = c.keys[keyAt:end:end]
			}
			keyAt = c.keyEnds[i]
		}
	}
	w.fillHeaders(c, b)
	if l.timestamp >= 0 {
		v := b.Columns[l.timestamp]
		for i := range c.records {
			if row := b.Row(i); !v.Null(row) {
				c.records[i].Timestamp = time.UnixMicro(v.Int64s()[row])
			}
		}
	}
	if l.partition >= 0 {
		return w.fillPartitions(c, b)
	}
	return nil
}

func (w *writer) fillHeaders(c *chunk, b *core.Batch) {
	headers := w.sink.layout.headers
	if len(headers) == 0 {
		return
	}
	if n := len(headers) * len(c.records); cap(c.headers) < n {
		c.headers = make([]kgo.RecordHeader, 0, n)
	}
	for i := range c.records {
		row, from := b.Row(i), len(c.headers)
		for _, h := range headers {
			if v := b.Columns[h.column]; !v.Null(row) {
				// The batch goes back to its pool before the record is sent.
				c.headers = append(c.headers, kgo.RecordHeader{Key: h.name, Value: append([]byte{}, v.BytesAt(row)...)})
			}
		}
		c.records[i].Headers = c.headers[from:len(c.headers):len(c.headers)]
	}
}

func (w *writer) fillPartitions(c *chunk, b *core.Batch) error {
	v := b.Columns[w.sink.layout.partition]
	for i := range c.records {
		row := b.Row(i)
		p := int64(-1)
		switch {
		case v.Null(row):
		case v.Type.Kind == core.Int32:
			p = int64(v.Int32s()[row])
		default:
			p = v.Int64s()[row]
		}
		if p < 0 || p > 1<<31-1 {
			return core.Permanent(fmt.Errorf("the column %q, the partition to write to, is %s in the row with the key %s and the value %s: %s",
				w.sink.context.Schema.Fields[w.sink.layout.partition].Name, v.AppendText(nil, row), clip(c.records[i].Key), clip(c.records[i].Value), mendPartition))
		}
		c.records[i].Partition = int32(p)
	}
	return nil
}

// project returns a batch with some of b's columns, which lives as long as b does.
func project(b *core.Batch, schema *core.Schema, columns []int) *core.Batch {
	p := core.NewBatch(b.Account(), schema)
	for _, c := range columns {
		p.Columns = append(p.Columns, b.Columns[c].Retain())
	}
	p.Len, p.Sel = b.Len, b.Sel
	return p
}

func rawKey(k core.Kind) bool {
	return k == core.String || k == core.Bytes || k == core.Boolean || k.IsInteger()
}

// rawKeys appends the text of a column's live rows; a null has none.
func rawKeys(dst []byte, ends []int32, b *core.Batch, v *core.Vector) ([]byte, []int32) {
	for i := range b.Rows() {
		if row := b.Row(i); !v.Null(row) {
			switch v.Type.Kind {
			case core.String, core.Bytes:
				dst = append(dst, v.BytesAt(row)...)
			case core.Boolean:
				dst = strconv.AppendBool(dst, v.Bools()[row] != 0)
			case core.Int8:
				dst = strconv.AppendInt(dst, int64(v.Int8s()[row]), 10)
			case core.Int16:
				dst = strconv.AppendInt(dst, int64(v.Int16s()[row]), 10)
			case core.Int32:
				dst = strconv.AppendInt(dst, int64(v.Int32s()[row]), 10)
			default:
				dst = strconv.AppendInt(dst, v.Int64s()[row], 10)
			}
		}
		ends = append(ends, int32(len(dst)))
	}
	return dst, ends
}

// Tick implements connector.Writer: a record that was given up fails the writer although nothing more is written.
func (w *writer) Tick(context.Context, time.Time) error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Prepare implements connector.Writer: it waits until every record is acknowledged.
func (w *writer) Prepare(ctx context.Context, _ uint64, _ bool) ([]byte, error) {
	stop := context.AfterFunc(ctx, w.cancel)
	defer stop()
	flushed := w.client.Flush(w.ctx)
	if err := w.failed.Load(); err != nil {
		return nil, *err
	}
	return nil, flushed
}

// Close implements connector.Writer: records that are not acknowledged are given up.
func (w *writer) Close() error {
	w.cancel()
	w.watched.Wait()
	w.client.Close()
	return nil
}
