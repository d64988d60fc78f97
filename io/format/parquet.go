package format

import (
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"

	"turbo/core"
	"turbo/io/connector"
)

var missingColumnsField = connector.Field{Name: "missing-columns", Type: connector.Enum, Enum: []string{"fail", "null"}, Default: "fail",
	Doc: "Reading: what a file without one of the columns means. `null` makes the column null, unless it is NOT NULL."}

func init() {
	connector.RegisterFormat(connector.FormatSpec{
		Name:    "parquet",
		Summary: "Apache Parquet files",
		Description: "Written files have microseconds for times, INT32, INT64 or fixed bytes for DECIMAL by precision, and the standard three-level " +
			"lists and maps; any Parquet reader reads them. Foreign files are read by column name, with every encoding and codec but LZO; " +
			"INT96 and nanoseconds are cut to microseconds. A column is read as another type where no value is lost (a wider integer, " +
			"DOUBLE for FLOAT, more digits, text for UTF-8 bytes), else it is refused with the reason. INTERVAL types are refused: Parquet's " +
			"own has milliseconds only.",
		Fields: []connector.Field{
			{Name: "compression", Type: connector.Enum, Enum: codecNames, Default: "zstd", Doc: "The codec of pages. `lz4` is LZ4_RAW."},
			{Name: "compression-level", Type: connector.Int, Default: "1", Min: "1", Max: "22", Doc: "For zstd: higher is smaller and slower."},
			{Name: "row-group-size", Type: connector.ByteSize, Default: "8MiB", Min: "64KiB", Max: "1GiB", Doc: "Uncompressed bytes of a row group. " +
				"A writer holds about as much in memory until it writes it."},
			{Name: "page-size", Type: connector.ByteSize, Default: "256KiB", Min: "4KiB", Max: "64MiB", Doc: "Uncompressed bytes of a page, the unit of compression."},
			{Name: "dictionary", Type: connector.Enum, Enum: []string{"auto", "off"}, Default: "auto", Doc: "`auto` writes each value of a column chunk once " +
				"where a sample says that values repeat much."},
			missingColumnsField,
		},
		Extension: "parquet",
		Supports:  supportsParquet,
		OpenFile:  openParquet,
		NewFile:   newParquetWriter,
	})
}

func supportsParquet(t core.Type) error {
	switch t.Kind {
	case core.IntervalDay, core.IntervalMonth:
		return fmt.Errorf("%s: Parquet's INTERVAL has months, days and milliseconds, which is another type; CAST it to BIGINT or STRING", t.Optional())
	}
	for _, e := range t.Elements {
		if err := supportsParquet(e.Type); err != nil {
			return err
		}
	}
	return nil
}

// zstdLevel maps zstd's levels to those that the encoder has.
func zstdLevel(level int64) zstd.EncoderLevel { return zstd.EncoderLevelFromZstd(int(level)) }

// turboSchemaKey is the file metadata that keep the columns' exact types, as ROW<...>.
const turboSchemaKey = "turbo:schema"

// The physical types of Parquet.
const (
	parquetBoolean int32 = 0
	parquetInt32   int32 = 1
	parquetInt64   int32 = 2
	parquetFloat   int32 = 4
	parquetDouble  int32 = 5
	parquetBytes   int32 = 6
	parquetFixed   int32 = 7
)

// parquetLeaf is a leaf column of a file that is written.
type parquetLeaf struct {
	path     []string
	steps    []int // child indices from the column's vector down to the leaf's
	column   int
	typ      core.Type
	physical int32
	length   int // bytes of a fixed value
	maxDef   int
	maxRep   int
}

// fixedBytes returns the smallest number of bytes that hold a DECIMAL of a precision in two's complement.
func fixedBytes(precision uint8) int {
	n := 1
	for int(float64(8*n-1)*math.Log10(2)) < int(precision) {
		n++
	}
	return n
}

// parquetType returns how values of t are stored.
func parquetType(t core.Type) (physical int32, length int) {
	switch t.Kind {
	case core.Boolean:
		return parquetBoolean, 0
	case core.Int8, core.Int16, core.Int32, core.Date:
		return parquetInt32, 0
	case core.Float32:
		return parquetFloat, 0
	case core.Float64:
		return parquetDouble, 0
	case core.String, core.Bytes:
		return parquetBytes, 0
	case core.Decimal:
		switch {
		case t.Precise <= 9:
			return parquetInt32, 0
		case t.Precise <= 18:
			return parquetInt64, 0
		}
		return parquetFixed, fixedBytes(t.Precise)
	}
	return parquetInt64, 0
}

// parquetSchema is the flattened tree of a file's schema: the elements as Thrift, and the leaves.
type parquetSchema struct {
	elements []byte
	count    int
	leaves   []parquetLeaf
	w        thriftWriter
}

func newParquetSchema(schema *core.Schema) *parquetSchema {
	s := &parquetSchema{}
	s.w.reset()
	s.w.begin()
	s.w.text(4, "schema")
	s.w.i32(5, int32(len(schema.Fields)))
	s.w.end()
	s.count = 1
	for i, f := range schema.Fields {
		s.add(f.Name, f.Type, parquetLeaf{column: i})
	}
	s.elements = s.w.b
	return s
}

const (
	parquetRequired int32 = 0
	parquetOptional int32 = 1
	parquetRepeated int32 = 2
)

// add appends the elements of one field below the leaf's path so far.
func (s *parquetSchema) add(name string, t core.Type, at parquetLeaf) {
	repetition := parquetRequired
	if !t.NotNull {
		repetition = parquetOptional
		at.maxDef++
	}
	at.path = append(at.path[:len(at.path):len(at.path)], name)
	step := func(leaf parquetLeaf, i int) parquetLeaf {
		leaf.steps = append(leaf.steps[:len(leaf.steps):len(leaf.steps)], i)
		return leaf
	}
	w := &s.w
	s.count++
	w.begin()
	switch t.Kind {
	case core.Row:
		w.i32(3, repetition)
		w.text(4, name)
		w.i32(5, int32(len(t.Elements)))
		w.end()
		for i, e := range t.Elements {
			s.add(e.Name, e.Type, step(at, i))
		}
	case core.Array, core.Map:
		converted, logical, inner := int32(3), int16(3), "list"
		if t.Kind == core.Map {
			converted, logical, inner = 1, 2, "key_value"
		}
		w.i32(3, repetition)
		w.text(4, name)
		w.i32(5, 1)
		w.i32(6, converted)
		w.open(10)
		w.empty(logical)
		w.end()
		w.end()
		s.count++
		w.begin()
		w.i32(3, parquetRepeated)
		w.text(4, inner)
		w.i32(5, int32(len(t.Elements)))
		w.end()
		at.path = append(at.path, inner)
		at.maxDef++
		at.maxRep++
		for i, e := range t.Elements {
			if t.Kind == core.Map && i == 0 {
				e.Type.NotNull = true // Parquet's rule
			}
			s.add(e.Name, e.Type, step(at, i))
		}
	default:
		s.leaf(name, t, repetition, at)
	}
}

func (s *parquetSchema) leaf(name string, t core.Type, repetition int32, at parquetLeaf) {
	at.typ = t
	at.physical, at.length = parquetType(t)
	w := &s.w
	w.i32(1, at.physical)
	if at.length > 0 {
		w.i32(2, int32(at.length))
	}
	w.i32(3, repetition)
	w.text(4, name)
	switch t.Kind {
	case core.Int8, core.Int16:
		w.i32(6, map[core.Kind]int32{core.Int8: 15, core.Int16: 16}[t.Kind])
		w.open(10)
		w.open(10)
		w.i8(1, int8(8*t.Kind.Width()))
		w.boolean(2, true)
		w.end()
		w.end()
	case core.String:
		w.i32(6, 0)
		w.open(10)
		w.empty(1)
		w.end()
	case core.Date:
		w.i32(6, 6)
		w.open(10)
		w.empty(6)
		w.end()
	case core.Decimal:
		w.i32(6, 5)
		w.i32(7, int32(t.Scale))
		w.i32(8, int32(t.Precise))
		w.open(10)
		w.open(5)
		w.i32(1, int32(t.Scale))
		w.i32(2, int32(t.Precise))
		w.end()
		w.end()
	case core.TimeOfDay, core.Timestamp, core.TimestampLTZ:
		id := int16(8)
		if t.Kind == core.TimeOfDay {
			id = 7
		}
		if t.Kind == core.TimestampLTZ {
			w.i32(6, 10) // the older annotation means UTC
		}
		w.open(10)
		w.open(id)
		w.boolean(1, t.Kind == core.TimestampLTZ)
		w.open(2)
		w.empty(2) // microseconds
		w.end()
		w.end()
		w.end()
	}
	w.end()
	s.leaves = append(s.leaves, at)
}
