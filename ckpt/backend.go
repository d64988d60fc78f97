package ckpt

// Record is one version of a key, as the backend stores it: opaque but for Ends.
type Record struct {
	Key   []byte
	Kind  Kind   // kept beside the value, so that a scan knows it without reading the value
	Ends  bool   // the versions below this one do not matter to a reader at this version
	Value []byte // may be empty, and then need not be told from absent
}

// Item is one version that a scan found. Key and Value are valid during the visit only.
type Item struct {
	Key     []byte
	Version uint64
	Kind    Kind
	Size    int    // length of the value, at least approximately
	Value   []byte // nil unless asked for
	Err     error  // why the value cannot be read
}

// Scan says what a scan visits: the versions in (After, At] of the keys in [From, To), To nil meaning no bound.
type Scan struct {
	From, To  []byte
	After, At uint64
	Values    bool
}

// Next is what a visit asks for: go on with the next older version, or with the next key.
type Next bool

// What a visit may return.
const (
	Older   Next = false
	NextKey Next = true
)

// Size is what a backend occupies.
type Size struct {
	Disk int64 // bytes allocated on disk, or in memory for a model
	Free int64 // bytes that the file system still has; -1 if the backend has none
}

// Backend is a versioned key-value store: what a Store stands on. All methods may be called by any goroutine.
//
// Versions are written in no particular order, never changed, and kept until Discard allows otherwise. Put is visible at
// once and durable after Sync; what was not synced may be lost by a power failure in any part, but not by the end of the
// process.
type Backend interface {
	// Put writes the records at one version. The caller may reuse their memory afterwards. After an error any of them may
	// have been written. A key is put at most once at a version.
	Put(version uint64, records []Record) error
	// Scan visits in the order of keys, and for a key from the newest version to the oldest. It stops at the first error of
	// the visit function and returns it.
	Scan(s Scan, visit func(Item) (Next, error)) error
	// MaxVersion is the largest version ever put that is still there; 0 if there is none.
	MaxVersion() (uint64, error)
	// Sync makes every Put that has returned durable.
	Sync() error
	// Discard allows the backend to forget, some time, what no reader at version oldest or newer can see: versions below
	// one that Ends. It may take a while (garbage collection), and keeps what Sync made durable durable.
	Discard(oldest uint64) error
	// Size measures.
	Size() (Size, error)
	// Close syncs nothing and frees everything. No method may be called afterwards.
	Close() error
}
