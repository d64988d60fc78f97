package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strconv"

	"turbo/core"
	"turbo/core/hash"
	"turbo/io/kafka"
	"turbo/io/ledger"
	"turbo/memory"
)

// comparison compares the rows that the records of the broker give with the rows of the files.
//
// When rows can be told by their record's place (located) each one is compared by itself: want has a fingerprint of the row that every
// offset gives (0: none), seen has the offsets that were met in a file. Otherwise both sides are tallied: the number of rows and the
// sum of their fingerprints, which do not depend on the order.
type comparison struct {
	way     *way
	header  *ledger.Header
	pool    *memory.Pool
	located bool
	why     string // not located
	trip    *roundTrip
	columns []int // of the sink's schema: in the files, and following from the record alone
	inFile  []int // the same in the files' schema
	files   []int // all columns in the files, in the sink's schema

	slots     map[string]*slot // by topic/partition; nil: its records cannot be compared
	expected  tally
	found     tally
	unchecked int64 // rows in files whose record is gone from the broker, or whose range's start is not known
	hashes    []uint64

	doubled, altered, strange, outside, missing sample
}

type slot struct {
	low  int64 // where the range begins
	from int64 // where the broker's log begins in it
	want []uint32
	seen []uint64
	gone []kafka.Span // not in the log, in order
}

// has reports whether the log still has what was at an offset.
func (s *slot) has(offset int64) bool {
	i := sort.Search(len(s.gone), func(i int) bool { return s.gone[i].To > offset })
	return i == len(s.gone) || offset < s.gone[i].From
}

// slotOf returns what is noted of a partition's range, made at its first use; nil when the range cannot be compared.
func (c *comparison) slotOf(a *kafka.Audit) *slot {
	id := kafka.SplitID(a.Topic, a.Partition)
	s, known := c.slots[id]
	if known {
		return s
	}
	if a.From >= 0 {
		s = &slot{low: a.From, from: min(max(a.From, a.Start), a.To)}
		if a.Guessed {
			s.low = 0
		}
		if c.located {
			s.want = make([]uint32, a.To-s.from)
			s.seen = make([]uint64, (a.To-s.from+63)/64)
		}
	}
	c.slots[id] = s
	return s
}

// tally is what rows add up to.
type tally struct {
	Rows int64 `json:"rows"`
	a, b uint64
}

func (t *tally) add(h uint64) { t.Rows++; t.a += h; t.b += hash.Mix(h ^ 0x5bd1e995) }

// sample counts findings and keeps the first few.
type sample struct {
	N        int64    `json:"count"`
	Examples []string `json:"examples,omitempty"`
}

func (s *sample) add(format string, args ...any) {
	if s.N++; len(s.Examples) < 3 {
		s.Examples = append(s.Examples, fmt.Sprintf(format, args...))
	}
}

// maxLocated bounds the offsets whose rows are compared one by one: 4 bytes each.
const maxLocated = 1 << 28

func newComparison(w *way, h *ledger.Header, pool *memory.Pool, ranges []kafka.AuditRange) (*comparison, error) {
	c := &comparison{way: w, header: h, pool: pool, slots: map[string]*slot{}}
	var err error
	if c.trip, err = newRoundTrip(pool, h, w.files); err != nil {
		return nil, err
	}
	for i, f := range w.sink.Schema.Fields {
		if w.byPath[f.Name] {
			continue
		}
		c.files = append(c.files, i)
		if w.fixed[i] {
			c.columns, c.inFile = append(c.columns, i), append(c.inFile, w.files.Index(f.Name))
		}
	}
	topics, partitions, offsets := map[string]bool{}, map[int32]bool{}, int64(0)
	for _, r := range ranges {
		topics[r.Topic], partitions[r.Partition] = true, true
		offsets += r.To - max(r.From, 0)
	}
	switch {
	case w.offset < 0 || w.byPath[w.name(w.offset)]:
		c.why = "the offset is not among the columns of the files (metadata: {kafka_offset: offset}, and selected)"
	case len(partitions) > 1 && !w.has(w.partition):
		c.why = "the partition is not among the columns of the files (metadata: {kafka_partition: partition}, and selected)"
	case len(topics) > 1 && !w.has(w.topic):
		c.why = "the topic is not among the columns of the files (metadata: {kafka_topic: topic}, and selected)"
	case offsets > maxLocated:
		c.why = fmt.Sprintf("the ranges have more than %d offsets", maxLocated)
	default:
		c.located = true
	}
	return c, nil
}

func (w *way) name(i int) string { return w.sink.Schema.Fields[i].Name }

// has reports whether a column can be read from the files or their paths.
func (w *way) has(i int) bool { return i >= 0 && (!w.byPath[w.name(i)] || !w.plain) }

// fingerprint is not 0.
func fingerprint(h uint64) uint32 { return uint32(h>>32) | 1 }

func (c *comparison) sum(columns []*core.Vector, b *core.Batch) []uint64 {
	if cap(c.hashes) < b.Len {
		c.hashes = make([]uint64, max(b.Len, verifyBatch))
	}
	out := c.hashes[:b.Len]
	hash.Columns(columns, b.Len, b.Sel, out)
	return out
}

func pick(b *core.Batch, columns []int) []*core.Vector {
	out := make([]*core.Vector, len(columns))
	for i, at := range columns {
		out[i] = b.Columns[at]
	}
	return out
}

// expect notes the rows that records of a partition give: b has the sink's schema and is owned.
func (c *comparison) expect(s *slot, b *core.Batch) error {
	defer b.Release()
	rows := b.Rows()
	if rows == 0 {
		return nil
	}
	var hashes []uint64
	dense := false
	if c.trip != nil {
		narrow := core.NewBatch(c.pool.Account("round trip"), c.way.files)
		for _, at := range c.files {
			narrow.Columns = append(narrow.Columns, b.Columns[at].Retain())
		}
		narrow.Len = b.Len
		if b.Sel != nil {
			narrow.Sel = narrow.SelBuffer(len(b.Sel))
			copy(narrow.Sel, b.Sel)
		}
		back, err := c.trip.run(narrow)
		narrow.Release()
		if err != nil {
			return err
		}
		hashes, dense = c.sum(pick(back, c.inFile), back), true
		back.Release()
	} else {
		hashes = c.sum(pick(b, c.columns), b)
	}
	for k := range rows {
		at := b.Row(k)
		i := at
		if dense {
			i = k
		}
		h := hashes[i]
		c.expected.add(h)
		if c.located {
			s.want[b.Columns[c.way.offset].Int64s()[at]-s.from] = fingerprint(h)
		}
	}
	return nil
}

// readFiles compares a file of the files.
func (c *comparison) readFile(ctx context.Context, dir, path string) error {
	full := filepath.Join(dir, filepath.FromSlash(path))
	return readFile(ctx, c.pool, c.header, full, c.way.files, func(b *core.Batch) error {
		defer b.Release()
		hashes := c.sum(pick(b, c.inFile), b)
		place, err := c.placeOf(path, b)
		if err != nil {
			return err
		}
		for k := range b.Rows() {
			at := b.Row(k)
			c.found.add(hashes[at])
			if c.located {
				id, offset := place(at)
				c.meet(path, id, offset, hashes[at])
			}
		}
		return nil
	})
}

// placeOf returns a function that gives the partition and the offset of a row's record.
func (c *comparison) placeOf(path string, b *core.Batch) (func(row int) (*string, int64), error) {
	if !c.located {
		return nil, nil
	}
	column := func(i int) *core.Vector {
		if i < 0 || c.way.byPath[c.way.name(i)] {
			return nil
		}
		return b.Columns[c.way.files.Index(c.way.name(i))]
	}
	only := ""
	for id := range c.slots {
		only = id
	}
	topic, partition, err := kafka.ParseSplitID(only)
	if err != nil {
		return nil, err
	}
	if i := c.way.topic; c.way.has(i) && c.way.byPath[c.way.name(i)] {
		topic, _ = pathValue(path, c.way.name(i))
	}
	if i := c.way.partition; c.way.has(i) && c.way.byPath[c.way.name(i)] {
		text, _ := pathValue(path, c.way.name(i))
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the path has no partition in %s", c.way.name(i))
		}
		partition = int32(n)
	}
	topics, partitions, offsets := column(c.way.topic), column(c.way.partition), column(c.way.offset)
	ids := map[string]map[int32]*string{}
	return func(row int) (*string, int64) {
		if topics != nil {
			topic = topics.StringAt(row)
		}
		if partitions != nil {
			partition = partitions.Int32s()[row]
		}
		id := ids[topic][partition]
		if id == nil {
			text := kafka.SplitID(topic, partition)
			id = &text
			if ids[topic] == nil {
				ids[topic] = map[int32]*string{}
			}
			ids[topic][partition] = id
		}
		return id, offsets.Int64s()[row]
	}, nil
}

// meet notes a row of a file.
func (c *comparison) meet(path string, id *string, offset int64, h uint64) {
	s, known := c.slots[*id]
	switch {
	case known && (s == nil || offset < s.from && offset >= s.low):
		c.unchecked++
		return
	case !known || offset < s.low || offset-s.from >= int64(len(s.want)):
		c.outside.add("%s offset %d is in %s", *id, offset, path)
		return
	}
	i := offset - s.from
	if s.seen[i/64]&(1<<(i%64)) != 0 {
		c.doubled.add("%s offset %d is in %s and was met before", *id, offset, path)
		return
	}
	s.seen[i/64] |= 1 << (i % 64)
	switch want := s.want[i]; {
	case want == 0 && !s.has(offset):
		c.unchecked++
	case want == 0:
		c.strange.add("%s offset %d is in %s", *id, offset, path)
	case want != fingerprint(h):
		c.altered.add("%s offset %d in %s", *id, offset, path)
	}
}

// finish counts the rows that were expected and not met.
func (c *comparison) finish() {
	if !c.located || c.way.thinned != "" {
		return
	}
	for id, s := range c.slots {
		if s == nil {
			continue
		}
		for i, want := range s.want {
			if want != 0 && s.seen[i/64]&(1<<(i%64)) == 0 {
				c.missing.add("%s offset %d", id, s.from+int64(i))
			}
		}
	}
}
