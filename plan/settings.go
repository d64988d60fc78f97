package plan

import "time"

// Settings are the engine's settings of a job.
type Settings struct {
	Name          string
	Parallelism   int   // workers; 0: the number of CPUs
	Memory        int64 // bytes
	BufferTimeout time.Duration
	FlushWhenIdle bool
	BatchRows     int
	KeyGroups     int
	Checkpoint    Checkpoint
	Restart       Restart
	DeadLetters   string // directory
}

// Checkpoint are the settings of checkpoints.
type Checkpoint struct {
	Off      bool
	Interval time.Duration
	Dir      string
	Retain   int
	Timeout  time.Duration
	MinPause time.Duration
}

// Restart says whether and when a failed job starts again.
type Restart struct {
	Strategy    string // exponential, fixed, failure-rate or none
	Initial     time.Duration
	Max         time.Duration
	Multiplier  float64
	Jitter      float64
	ResetAfter  time.Duration
	Attempts    int // -1: without end
	Delay       time.Duration
	MaxFailures int
	Interval    time.Duration
}
