package core

import (
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	arrowmemory "github.com/apache/arrow/go/v17/arrow/memory"

	"turbo/memory"
)

// Record returns the live rows of b as an Arrow record of schema (ArrowSchema(b.Schema), made once by the caller).
//
// Lifetime: the record shares the vectors' buffers and holds a reference to each of its vectors until its last reference is
// released; b stays the caller's and may be released before. BOOLEAN columns are packed into buffers of their own, and
// a batch with a selection is copied, both from the batch's account. Row kinds are not part of the record.
func (b *Batch) Record(schema *arrow.Schema) arrow.Record {
	columns := make([]arrow.Array, len(b.Columns))
	for i, v := range b.Columns {
		if b.Sel != nil {
			dense := NewVector(b.account, v.Type, len(b.Sel))
			dense.AppendSelected(v, b.Sel)
			columns[i] = dense.arrowArray(schema.Field(i).Type, b.account)
			dense.Release()
			continue
		}
		columns[i] = v.arrowArray(schema.Field(i).Type, b.account)
	}
	record := array.NewRecord(schema, columns, int64(b.Rows()))
	for _, c := range columns {
		c.Release()
	}
	return record
}

// ArrowArray returns v as an Arrow array of type ArrowType(v.Type), under the rules of Batch.Record.
func (v *Vector) ArrowArray(account *memory.Account) arrow.Array {
	return v.arrowArray(ArrowType(v.Type), account)
}

func (v *Vector) arrowArray(dt arrow.DataType, account *memory.Account) arrow.Array {
	data := v.arrowData(dt, account)
	defer data.Release()
	return array.MakeFromData(data)
}

// vectorHold is the allocator of the buffers that share a vector's memory: freeing the last of them drops the reference.
type vectorHold struct {
	vector  *Vector
	buffers atomic.Int32
}

func (h *vectorHold) Allocate(int) []byte           { return nil } // the buffers are immutable: never called
func (h *vectorHold) Reallocate(int, []byte) []byte { return nil } // as above
func (h *vectorHold) Free([]byte) {
	if h.buffers.Add(-1) == 0 {
		h.vector.Release()
	}
}

func (v *Vector) arrowData(dt arrow.DataType, account *memory.Account) *array.Data {
	hold := &vectorHold{vector: v}
	share := func(b []byte) *arrowmemory.Buffer {
		if hold.buffers.Add(1) == 1 {
			v.Retain()
		}
		return arrowmemory.NewBufferWithAllocator(b, hold)
	}
	var buffers []*arrowmemory.Buffer
	var children []arrow.ArrayData
	if bitmap := v.Validity(); bitmap != nil {
		buffers = append(buffers, share(bitmap[:(v.n+7)/8]))
	} else {
		buffers = append(buffers, nil)
	}
	switch k := v.Type.Kind; {
	case k == Boolean:
		packed := arrowmemory.NewBufferWithAllocator(account.Allocate((v.n+7)/8), account)
		PackBits(packed.Buf(), v.Bools())
		buffers = append(buffers, packed)
	case k == String || k == Bytes:
		buffers = append(buffers, share(v.offsets[:4*(v.n+1)]), share(v.data))
	case k == Array:
		buffers = append(buffers, share(v.offsets[:4*(v.n+1)]))
		children = append(children, v.children[0].arrowData(dt.(*arrow.ListType).Elem(), account))
	case k == Map:
		buffers = append(buffers, share(v.offsets[:4*(v.n+1)]))
		children = append(children, v.mapEntries(dt.(*arrow.MapType), account))
	case k == Row:
		for i, c := range v.children {
			children = append(children, c.arrowData(dt.(*arrow.StructType).Field(i).Type, account))
		}
	default:
		buffers = append(buffers, share(v.data[:v.n*k.Width()]))
	}
	data := array.NewData(dt, v.n, buffers, children, v.nulls, 0)
	for _, b := range buffers {
		if b != nil {
			b.Release()
		}
	}
	for _, c := range children {
		c.Release()
	}
	return data
}

// mapEntries returns the struct of keys and values that is the child of an Arrow map.
func (v *Vector) mapEntries(dt *arrow.MapType, account *memory.Account) arrow.ArrayData {
	key := v.children[0].arrowData(dt.KeyType(), account)
	value := v.children[1].arrowData(dt.ItemType(), account)
	entries := array.NewData(dt.Elem(), v.children[0].n, []*arrowmemory.Buffer{nil}, []arrow.ArrayData{key, value}, 0, 0)
	key.Release()
	value.Release()
	return entries
}

// PackBits packs values of one byte each, 0 or 1, into bits, LSB first. Bits beyond the last value are zero.
func PackBits(dst, values []byte) {
	for len(values) >= 8 {
		v := values[:8]
		dst[0] = v[0] | v[1]<<1 | v[2]<<2 | v[3]<<3 | v[4]<<4 | v[5]<<5 | v[6]<<6 | v[7]<<7
		dst, values = dst[1:], values[8:]
	}
	if len(values) > 0 {
		dst[0] = 0
		for i, x := range values {
			dst[0] |= x << i
		}
	}
}
