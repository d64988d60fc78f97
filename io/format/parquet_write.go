package format

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"turbo/core"
	"turbo/io/connector"
	"turbo/memory"
)

// parquetWriter collects rows in vectors of its own and writes them as a row group, column by column, when there are enough.
type parquetWriter struct {
	out      io.Writer
	offset   int64
	schema   *core.Schema
	layout   *parquetSchema
	account  *memory.Account
	codec    pageCodec
	useDict  bool
	groupMax int64
	pageMax  int

	columns  []*core.Vector
	hold     bool // keep the columns' memory between two row groups
	pending  int
	groups   []parquetGroup
	rows     int64
	err      error
	closed   bool
	reserved int64

	// used again for each page
	page, packed []byte
	header       thriftWriter
	valid        []int32
	indices      []uint32
	shredder     shredder
	dict         dictionary
}

type parquetGroup struct {
	rows   int64
	chunks []parquetChunk
}

// parquetChunk is what the footer says about a column chunk.
type parquetChunk struct {
	values, nulls           int64
	plainBytes, packedBytes int64
	dataAt, dictionaryAt    int64 // dictionaryAt < 0: none
	low, high               []byte
}

var parquetMagic = []byte("PAR1")

func newParquetWriter(c connector.FileContext, out io.Writer) (connector.FileWriter, error) {
	if len(c.Schema.Fields) == 0 {
		return nil, errors.New("a Parquet file needs at least one column")
	}
	for _, f := range c.Schema.Fields {
		if err := supportsParquet(f.Type); err != nil {
			return nil, fmt.Errorf("column %s: %w", core.QuoteName(f.Name), err)
		}
	}
	w := &parquetWriter{out: out, schema: c.Schema, account: c.Account, layout: newParquetSchema(c.Schema),
		codec:    codecOf(c.Config.String("compression"), zstdLevel(c.Config.Int("compression-level"))),
		useDict:  c.Config.String("dictionary") == "auto",
		groupMax: c.Config.Bytes("row-group-size"), pageMax: int(c.Config.Bytes("page-size"))}
	for _, f := range c.Schema.Fields {
		w.columns = append(w.columns, core.NewVector(c.Account, f.Type, 0))
	}
	w.err = w.write(parquetMagic)
	return w, w.err
}

// Write implements connector.FileWriter.
func (w *parquetWriter) Write(b *core.Batch) error {
	defer b.Release()
	if w.err != nil {
		return w.err
	}
	for i, v := range b.Columns {
		into := w.columns[i]
		if b.Sel != nil {
			into.AppendSelected(v, b.Sel)
		} else {
			into.AppendRange(v, 0, b.Len)
		}
		if into.Type.NotNull && into.HasNulls() {
			w.err = &RecordError{w.schema.Fields[i].Name, -1, reasonNotNull}
			return w.err
		}
	}
	w.pending += b.Rows()
	w.rows += int64(b.Rows())
	if w.Buffered() >= w.groupMax {
		w.err = w.flush()
	}
	return w.err
}

// Buffered implements connector.FileWriter.
func (w *parquetWriter) Buffered() int64 {
	n := int64(0)
	for _, v := range w.columns {
		n += filled(v)
	}
	return n
}

// filled returns the bytes of a vector's values.
func filled(v *core.Vector) int64 {
	n := int64(len(v.Data())) + int64(len(v.Validity()))
	if v.Type.Kind.HasOffsets() {
		n += 4 * int64(v.Len())
	}
	for i := range v.Type.Elements {
		n += filled(v.Child(i))
	}
	return n
}

// Hold says whether the memory of a written row group is kept for the next one.
func (w *parquetWriter) Hold(hold bool) { w.hold = hold }

// Rows implements connector.FileWriter.
func (w *parquetWriter) Rows() int64 { return w.rows }

// Close implements connector.FileWriter.
func (w *parquetWriter) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	if w.err == nil && w.pending > 0 {
		w.err = w.flush()
	}
	if w.err == nil {
		w.err = w.footer()
	}
	for _, v := range w.columns {
		v.Release()
	}
	w.columns, w.page, w.packed, w.dict = nil, nil, nil, dictionary{}
	w.account.Unreserve(w.reserved)
	w.reserved = 0
	return w.err
}

func (w *parquetWriter) write(b []byte) error {
	n, err := w.out.Write(b)
	w.offset += int64(n)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// flush writes the collected rows as a row group.
func (w *parquetWriter) flush() error {
	group := parquetGroup{rows: int64(w.pending)}
	for i := range w.layout.leaves {
		leaf := &w.layout.leaves[i]
		chunk, err := w.chunk(leaf, w.columns[leaf.column])
		if err != nil {
			return fmt.Errorf("column %s: %w", core.QuoteName(w.schema.Fields[leaf.column].Name), err)
		}
		group.chunks = append(group.chunks, chunk)
		// What was allocated for pages counts as soon as it is known.
		if need := int64(cap(w.page) + cap(w.packed) + 4*(cap(w.valid)+cap(w.indices)+cap(w.dict.codes)+cap(w.dict.slots)+cap(w.dict.rows)) +
			4*(cap(w.shredder.defs)+cap(w.shredder.reps)+cap(w.shredder.rows))); need > w.reserved {
			if err := w.account.Reserve(need - w.reserved); err != nil {
				return err
			}
			w.reserved = need
		}
	}
	w.groups = append(w.groups, group)
	w.pending = 0
	for i, v := range w.columns {
		if w.hold {
			v.Reset()
			continue
		}
		v.Release() // a file that gets no more rows for a while must not keep a row group's memory
		w.columns[i] = core.NewVector(w.account, w.schema.Fields[i].Type, 0)
	}
	return nil
}

// chunk writes one leaf of the collected rows.
func (w *parquetWriter) chunk(leaf *parquetLeaf, column *core.Vector) (parquetChunk, error) {
	v := column
	for _, s := range leaf.steps {
		v = v.Child(s)
	}
	c := parquetChunk{dictionaryAt: -1}
	withDictionary := w.useDict && w.dict.build(v)
	if len(leaf.steps) == 0 {
		if withDictionary {
			c.low, c.high = chunkStatistics(leaf, v, w.dict.rows)
		} else {
			c.low, c.high = chunkStatistics(leaf, v, nil)
		}
	}
	if withDictionary {
		c.dictionaryAt = w.offset
		w.page = appendPlainRows(w.page[:0], leaf, v, w.dict.rows)
		if err := w.writePage(&c, len(w.dict.rows), true, true); err != nil {
			return c, err
		}
	}
	c.dataAt = w.offset
	perRow := 1 + filled(v)/int64(max(w.pending, 1))
	step := max(int(min(int64(w.pageMax)/perRow, 1<<20))&^7, 8)
	for from := 0; from < w.pending; from += step {
		to := min(from+step, w.pending)
		values, err := w.dataPage(leaf, column, v, from, to, withDictionary, &c)
		if err != nil {
			return c, err
		}
		if err := w.writePage(&c, values, false, withDictionary); err != nil {
			return c, err
		}
	}
	return c, nil
}

// dataPage makes the page of rows [from, to) and returns the number of its values, nulls included.
func (w *parquetWriter) dataPage(leaf *parquetLeaf, column, v *core.Vector, from, to int, withDictionary bool, c *parquetChunk) (int, error) {
	w.page = w.page[:0]
	var rows []int32 // nil: all of [from, to)
	values := to - from
	switch {
	case len(leaf.steps) > 0 || column.Type.Kind.IsNested():
		if err := w.shredder.shred(leaf, column, from, to); err != nil {
			return 0, err
		}
		values = len(w.shredder.defs)
		if leaf.maxRep > 0 {
			w.page = appendLevels(w.page, w.shredder.reps, leaf.maxRep)
		}
		if leaf.maxDef > 0 {
			w.page = appendLevels(w.page, w.shredder.defs, leaf.maxDef)
		}
		if rows = w.shredder.rows; rows == nil {
			rows = []int32{}
		}
	case leaf.maxDef > 0:
		w.page = appendValidity(w.page, v, from, to)
		if v.HasNulls() {
			w.valid = w.valid[:0]
			for i := from; i < to; i++ {
				if !v.Null(i) {
					w.valid = append(w.valid, int32(i))
				}
			}
			if rows = w.valid; rows == nil {
				rows = []int32{}
			}
		}
	}
	if rows != nil {
		c.nulls += int64(values - len(rows))
	}
	if !withDictionary {
		w.page = appendPlain(w.page, leaf, v, from, to, rows)
		return values, nil
	}
	indices := w.dict.codes[from:to:to]
	if rows != nil {
		w.indices = w.indices[:0]
		for _, r := range rows {
			w.indices = append(w.indices, w.dict.codes[r])
		}
		indices = w.indices
	}
	width := w.dict.width()
	w.page = parquetHybrid(append(w.page, byte(width)), indices, width)
	return values, nil
}

// Parquet's encodings.
const (
	parquetPlain         int32 = 0
	parquetRLE           int32 = 3
	parquetRLEDictionary int32 = 8
)

// writePage compresses and writes w.page.
func (w *parquetWriter) writePage(c *parquetChunk, values int, isDictionary, withDictionary bool) error {
	body := w.page
	if w.codec.encode != nil {
		var err error
		if w.packed, err = w.codec.encode(w.packed[:0], w.page); err != nil {
			return err
		}
		body = w.packed
	}
	if len(w.page) > 1<<31-1 || len(body) > 1<<31-1 {
		return fmt.Errorf("a page of %d bytes: make row-group-size smaller", len(w.page))
	}
	h := &w.header
	h.reset()
	if isDictionary {
		h.i32(1, 2)
	} else {
		h.i32(1, 0)
		c.values += int64(values)
	}
	h.i32(2, int32(len(w.page)))
	h.i32(3, int32(len(body)))
	h.i32(4, int32(crc32.ChecksumIEEE(body)))
	if isDictionary {
		h.open(7)
		h.i32(1, int32(values))
		h.i32(2, parquetPlain)
	} else {
		h.open(5)
		h.i32(1, int32(values))
		if withDictionary {
			h.i32(2, parquetRLEDictionary)
		} else {
			h.i32(2, parquetPlain)
		}
		h.i32(3, parquetRLE)
		h.i32(4, parquetRLE)
	}
	h.end()
	h.b = append(h.b, 0)
	c.plainBytes += int64(len(h.b) + len(w.page))
	c.packedBytes += int64(len(h.b) + len(body))
	if err := w.write(h.b); err != nil {
		return err
	}
	return w.write(body)
}

// footer writes the file's metadata, its length, and the magic bytes.
func (w *parquetWriter) footer() error {
	var t thriftWriter
	t.reset()
	t.i32(1, 2)
	t.list(2, thriftStruct, w.layout.count)
	t.b = append(t.b, w.layout.elements...)
	t.i64(3, w.rows)
	t.list(4, thriftStruct, len(w.groups))
	for ordinal, g := range w.groups {
		w.groupFooter(&t, g, ordinal)
	}
	t.list(5, thriftStruct, 1)
	t.begin()
	t.text(1, turboSchemaKey)
	t.text(2, core.RowOf(w.schema.Fields...).String())
	t.end()
	t.text(6, "turbo")
	t.list(7, thriftStruct, len(w.layout.leaves))
	for range w.layout.leaves {
		t.begin()
		t.empty(1) // the order that the types define
		t.end()
	}
	t.b = append(t.b, 0)
	n := len(t.b)
	t.b = binary.LittleEndian.AppendUint32(t.b, uint32(n))
	return w.write(append(t.b, parquetMagic...))
}

func (w *parquetWriter) groupFooter(t *thriftWriter, g parquetGroup, ordinal int) {
	var plain, packed int64
	t.begin()
	t.list(1, thriftStruct, len(g.chunks))
	for i, c := range g.chunks {
		plain += c.plainBytes
		packed += c.packedBytes
		first := c.dataAt
		if c.dictionaryAt >= 0 {
			first = c.dictionaryAt
		}
		t.begin()
		t.i64(2, first)
		t.open(3)
		w.chunkFooter(t, &w.layout.leaves[i], c)
		t.end()
		t.end()
	}
	t.i64(2, plain)
	t.i64(3, g.rows)
	if first := g.chunks[0]; first.dictionaryAt >= 0 {
		t.i64(5, first.dictionaryAt)
	} else {
		t.i64(5, first.dataAt)
	}
	t.i64(6, packed)
	if ordinal < 1<<15 {
		t.i16(7, int16(ordinal))
	}
	t.end()
}

func (w *parquetWriter) chunkFooter(t *thriftWriter, leaf *parquetLeaf, c parquetChunk) {
	t.i32(1, leaf.physical)
	encodings := []int32{parquetPlain, parquetRLE}
	if c.dictionaryAt >= 0 {
		encodings = append(encodings, parquetRLEDictionary)
	}
	t.list(2, thriftI32, len(encodings))
	for _, e := range encodings {
		t.number(e)
	}
	t.list(3, thriftBinary, len(leaf.path))
	for _, p := range leaf.path {
		t.item(p)
	}
	t.i32(4, w.codec.id)
	t.i64(5, c.values)
	t.i64(6, c.plainBytes)
	t.i64(7, c.packedBytes)
	t.i64(9, c.dataAt)
	if c.dictionaryAt >= 0 {
		t.i64(11, c.dictionaryAt)
	}
	t.open(12)
	t.i64(3, c.nulls)
	if c.low != nil {
		t.bytes(5, c.high)
		t.bytes(6, c.low)
	}
	t.end()
}
