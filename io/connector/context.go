package connector

import (
	"log/slog"
	"time"

	"turbo/core"
	"turbo/internal/clock"
	"turbo/internal/vfs"
	"turbo/memory"
)

// ErrorPolicy says what a source does with a record that it cannot decode.
type ErrorPolicy uint8

// The policies of the job spec's on-error.
const (
	FailOnError ErrorPolicy = iota // the job fails with the record's place
	SkipOnError                    // counted in Event.Skipped
	DeadLetters                    // a DeadLetter event with the raw record, counted in Event.DeadLettered
)

// ErrorPolicies are the words of the job spec in the order of the constants.
var ErrorPolicies = []string{"fail", "skip", "dead-letter"}

// String returns the word of the job spec.
func (p ErrorPolicy) String() string { return ErrorPolicies[p] }

// Runtime is what sources and sinks know of the process around them.
type Runtime struct {
	Job           string // the job's name
	Run           string // an identifier of the job's state: the same after every restart, another after --fresh
	Name          string // the source's or sink's name in the job spec
	Parallelism   int    // number of readers or writers
	BatchRows     int    // target rows of a batch
	BufferTimeout time.Duration
	Account       *memory.Account
	FS            vfs.FS
	Clock         clock.Clock
	Log           *slog.Logger
}

// SourceContext is what a source is made with.
//
// Record has the columns of one record as the job spec declares them, in order. Schema has the columns of the batches to
// emit: those record columns that somebody reads, then the metadata columns. Columns has for each column of Record its
// column in Schema, or -1 when nobody reads it (a decoder may then leave it unparsed).
type SourceContext struct {
	Runtime
	Config   *Config
	Record   *core.Schema
	Schema   *core.Schema
	Columns  []int
	Metadata []MetadataIndex
	OnError  ErrorPolicy
}

// MetadataIndex says which column of the schema carries which metadata key.
type MetadataIndex struct {
	Column int
	Key    string
}

// SinkContext is what a sink is made with. Schema has the columns of the batches that Write gets; a row-kind column that
// the job spec asks for is among them.
type SinkContext struct {
	Runtime
	Config *Config
	Schema *core.Schema
}
