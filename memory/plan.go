package memory

import (
	"os"
	"runtime/debug"
)

// Shares is how one figure, engine.memory, is divided. All fields are bytes; Runtime + Batches + State + Badger + Kafka + Parquet =
// Limit.
type Shares struct {
	Limit   int64 // engine.memory: the bound of the process's anonymous memory (RssAnon)
	Runtime int64 // garbage not collected yet, stacks, code's data, small objects: never handed out
	Batches int64 // batches in flight: operators, rings, connectors' decoded rows
	State   int64 // pages of keyed state and their indexes, timers
	Badger  int64 // memtables, block and index caches of the checkpoint store
	Kafka   int64 // franz-go's fetch and produce buffers
	Parquet int64 // row groups and pages being written or read
}

// Pool returns the limit for NewPool: all that may be handed out.
func (s Shares) Pool() int64 { return s.Limit - s.Runtime }

// SoftLimit returns the figure for the runtime's memory limit (GOMEMLIMIT): the bound minus what the runtime does not count (the
// writable data of the binary, thread stacks).
func (s Shares) SoftLimit() int64 { return s.Limit - min(s.Limit/16, 16<<20) }

// Split divides a limit without side effects. A limit of 0 or less means 512 MiB.
func Split(limit int64) Shares {
	if limit <= 0 {
		limit = 512 << 20
	}
	s := Shares{Limit: limit}
	s.Runtime = limit / 4
	s.Badger = limit / 8
	s.Kafka = limit / 8
	s.Parquet = limit / 8
	s.State = limit * 3 / 16
	s.Batches = limit - s.Runtime - s.Badger - s.Kafka - s.Parquet - s.State
	return s
}

// Plan divides engine.memory and sets the runtime's soft memory limit for the whole process accordingly, unless the environment
// variable GOMEMLIMIT asks for less already.
func Plan(limit int64) Shares {
	s := Split(limit)
	if os.Getenv("GOMEMLIMIT") == "" || debug.SetMemoryLimit(-1) > s.SoftLimit() {
		debug.SetMemoryLimit(s.SoftLimit())
	}
	return s
}
