package connector

import (
	"turbo/core"
	"turbo/memory"
)

// Splitter cuts a stream of bytes into records: lines, or CSV rows whose quoted fields may contain line ends.
type Splitter interface {
	// Split returns the first record of data and the number of bytes that it takes with its terminator; 0 asks for more
	// data. At the end of input (atEOF) the rest is a record when it is not empty. The record is a part of data.
	// start is the number of bytes of data that an earlier call has looked at already without finding an end.
	Split(data []byte, start int, atEOF bool) (advance int, record []byte, err error)
}

// DecoderContext is what a decoder is made with: see SourceContext for Record, Schema and Columns.
type DecoderContext struct {
	Config  *Config
	Record  *core.Schema
	Schema  *core.Schema
	Columns []int
}

// Decoder turns records into rows. One goroutine uses it.
type Decoder interface {
	// Decode appends one row to the columns of b that Columns names. When it fails nothing stays appended, and the
	// error says which column and why. The record is not kept.
	Decode(record []byte, b *core.Builder) error
}

// HeaderDecoder is a Decoder of a format whose files can begin with a header record, such as CSV.
type HeaderDecoder interface {
	Decoder
	// HasHeader reports whether files begin with one by the configuration.
	HasHeader() bool
	// DecodeHeader reads it, at the start of each file; columns are then found by name.
	DecodeHeader(record []byte) error
}

// EncoderContext is what an encoder is made with. Framed asks for the format's record terminator after each record, for
// files; a message broker frames records by itself.
type EncoderContext struct {
	Config *Config
	Schema *core.Schema
	Framed bool
}

// Encoder turns rows into records. One goroutine uses it.
type Encoder interface {
	// Encode appends the live rows of b to dst and the end offset of each record within dst to ends.
	// The batch stays the caller's.
	Encode(dst []byte, ends []int32, b *core.Batch) ([]byte, []int32, error)
	// Header returns what a file begins with, terminator included, or nil.
	Header() []byte
}

// FileContext is what readers and writers of a container format are made with. A writer uses Config, Schema and
// Account only; see SourceContext for Record, Schema and Columns.
type FileContext struct {
	Config    *Config
	Record    *core.Schema
	Schema    *core.Schema
	Columns   []int
	BatchRows int
	Account   *memory.Account
}

// FileReader reads a container file. One goroutine uses it.
type FileReader interface {
	// Units returns the number of parts that can be read on their own: row groups, record batches.
	Units() int
	// Rows returns the rows of a unit.
	Rows(unit int) int64
	// FileSchema returns the columns of the file.
	FileSchema() *core.Schema
	// Read returns up to maxRows rows of the unit after the first skip, or nil at the unit's end. Columns of Schema that
	// are not in Columns are nil in the batch: the caller fills them in.
	Read(unit int, skip int64, maxRows int) (*core.Batch, error)
	// Close frees what the reader holds; batches that it gave away live on.
	Close() error
}

// FileWriter writes a container file. One goroutine uses it.
type FileWriter interface {
	// Write takes b and owns it, also when it fails.
	Write(b *core.Batch) error
	// Buffered returns the bytes that are in memory and not yet handed to the io.Writer.
	Buffered() int64
	// Rows returns the rows written.
	Rows() int64
	// Close writes what is left and the footer. The io.Writer stays open.
	Close() error
}
