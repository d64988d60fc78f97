package process

import (
	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/core/ops"
)

// Row is a view of one row of a batch. It is valid during the call that it was given to, and so is what its methods return by
// reference (bytes and strings). Columns are counted from zero; the accessor must fit the column's kind.
type Row struct {
	batch *core.Batch
	row   int
}

// RowOf returns a view of physical row i of b.
func RowOf(b *core.Batch, i int) Row { return Row{b, i} }

// Batch returns the batch that the row is of, to read only. Index is its physical row there.
func (r Row) Batch() *core.Batch { return r.batch }

// Index returns the physical row in Batch.
func (r Row) Index() int { return r.row }

// Column returns a column of the batch.
func (r Row) Column(c int) *core.Vector { return r.batch.Columns[c] }

// Kind returns the row kind: Insert in streams that are no changelog.
func (r Row) Kind() core.RowKind { return r.batch.Kind(r.row) }

// Null reports whether a column is null. The other accessors return an undefined value then.
func (r Row) Null(c int) bool { return r.batch.Columns[c].Null(r.row) }

// Bool returns a BOOLEAN.
func (r Row) Bool(c int) bool { return r.batch.Columns[c].Bools()[r.row] != 0 }

// Int64 returns a BIGINT, or another kind that is stored as int64 (times in microseconds).
func (r Row) Int64(c int) int64 { return r.batch.Columns[c].Int64s()[r.row] }

// Int32 returns an INT, DATE or INTERVAL YEAR TO MONTH.
func (r Row) Int32(c int) int32 { return r.batch.Columns[c].Int32s()[r.row] }

// Int16 returns a SMALLINT.
func (r Row) Int16(c int) int16 { return r.batch.Columns[c].Int16s()[r.row] }

// Int8 returns a TINYINT.
func (r Row) Int8(c int) int8 { return r.batch.Columns[c].Int8s()[r.row] }

// Float64 returns a DOUBLE.
func (r Row) Float64(c int) float64 { return r.batch.Columns[c].Float64s()[r.row] }

// Float32 returns a FLOAT.
func (r Row) Float32(c int) float32 { return r.batch.Columns[c].Float32s()[r.row] }

// Decimal returns the unscaled value of a DECIMAL.
func (r Row) Decimal(c int) decimal128.Num { return r.batch.Columns[c].Decimals()[r.row] }

// String returns a STRING, aliasing the batch: clone it to keep it.
func (r Row) String(c int) string { return r.batch.Columns[c].StringAt(r.row) }

// Bytes returns a STRING or BYTES, aliasing the batch.
func (r Row) Bytes(c int) []byte { return r.batch.Columns[c].BytesAt(r.row) }

// Time returns the event time of the row; ok is false when the stream has none or it is null.
func (r Row) Time() (t core.Time, ok bool) {
	s := r.batch.Schema
	if s.TimeColumn < 0 || r.batch.Columns[s.TimeColumn].Null(r.row) {
		return 0, false
	}
	return core.Time(r.batch.Columns[s.TimeColumn].Int64s()[r.row] + s.TimeShift), true
}

// Render returns the row as JSON, for messages.
func (r Row) Render() string { return ops.RenderRow(r.batch.Schema.Fields, r.batch.Columns, r.row) }

// Record is one row under construction: the elements of list state, the keys of map state, what is added to reducing state. Reset
// it, then give each field its value; what is left out is null.
type Record struct {
	batch *core.Batch
}

func newRecord(b *core.Batch) *Record { return &Record{b} }

// NewRecord returns a record of the fields of schema, whose buffers come from pool. Release gives them back.
func NewRecord(pool *core.BatchPool) *Record { return newRecord(pool.Get()) }

// Release frees the record.
func (r *Record) Release() { r.batch.Release() }

// Reset empties the record and returns it.
func (r *Record) Reset() *Record {
	for _, v := range r.batch.Columns {
		v.Reset()
	}
	return r
}

// Row completes the record and returns it as a row.
func (r *Record) Row() Row {
	for _, v := range r.batch.Columns {
		if v.Len() == 0 {
			v.AppendNull()
		}
	}
	r.batch.Len = 1
	return Row{r.batch, 0}
}

// Column returns the vector of field f, to append one value of any type to.
func (r *Record) Column(f int) *core.Vector { return r.batch.Columns[f] }

// Bool sets a BOOLEAN field.
func (r *Record) Bool(f int, x bool) *Record { r.batch.Columns[f].AppendBool(x); return r }

// Int64 sets a field of an integer kind or one of date and time.
func (r *Record) Int64(f int, x int64) *Record { appendInt(r.batch.Columns[f], x); return r }

// Float64 sets a FLOAT or DOUBLE field.
func (r *Record) Float64(f int, x float64) *Record { appendFloat(r.batch.Columns[f], x); return r }

// Decimal sets a DECIMAL field to an unscaled value.
func (r *Record) Decimal(f int, x decimal128.Num) *Record {
	r.batch.Columns[f].AppendDecimal(x)
	return r
}

// String sets a STRING field.
func (r *Record) String(f int, x string) *Record { r.batch.Columns[f].AppendString(x); return r }

// Bytes sets a STRING or BYTES field.
func (r *Record) Bytes(f int, x []byte) *Record { r.batch.Columns[f].AppendBytes(x); return r }

// Null sets a field to null.
func (r *Record) Null(f int) *Record { r.batch.Columns[f].AppendNull(); return r }

// Copy sets a field to row i of a vector of its type.
func (r *Record) Copy(f int, v *core.Vector, i int) *Record {
	r.batch.Columns[f].AppendRow(v, i)
	return r
}

// appendInt appends to a vector of any integer kind or one of date and time, cutting x to its width.
func appendInt(v *core.Vector, x int64) {
	switch v.Type.Kind.Width() {
	case 8:
		v.AppendInt64(x)
	case 4:
		v.AppendInt32(int32(x))
	case 2:
		v.AppendInt16(int16(x))
	default:
		v.AppendInt8(int8(x))
	}
}

func appendFloat(v *core.Vector, x float64) {
	if v.Type.Kind == core.Float32 {
		v.AppendFloat32(float32(x))
	} else {
		v.AppendFloat64(x)
	}
}
