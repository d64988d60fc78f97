package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"turbo/ckpt"
	"turbo/internal/vfs"
	"turbo/memory"
)

// Options configure a store. The zero value is usable.
type Options struct {
	// FS is the file system seam for syncing and free space; Badger itself always uses the real one. Default vfs.OS().
	FS vfs.FS
	// MinFree is how many bytes must stay free on the disk. Default 64 MiB.
	MinFree int64
	// ValueLogFile is the size of a value log file in bytes, the unit of garbage collection. Default 16 MiB.
	ValueLogFile int64
	// MemTable is the size of Badger's memtable in bytes: smaller means that superseded pages are found sooner. Default 128 KiB.
	MemTable int64
	// Account, if set, is charged for Badger's buffers while the store is open.
	Account *memory.Account
	// Log gets Badger's messages at debug level. Default: nowhere.
	Log *slog.Logger
}

const (
	defaultMinFree      = 64 << 20
	defaultValueLogFile = 16 << 20
	defaultMemTable     = 128 << 10
	// valueThreshold is the size from which values lie in the value log. Badger requires it to be at most 15 % of the memtable.
	valueThreshold = 1 << 10
	memTables      = 2
)

// Memory is the anonymous memory that a store with these options needs, in bytes; it is what Account is charged.
func (o Options) Memory() int64 {
	o = o.defaults()
	return (memTables+2)*o.MemTable*5/4 + 6<<20 // memtables, buffers of requests and table builders
}

func (o Options) defaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.MinFree <= 0 {
		o.MinFree = defaultMinFree
	}
	if o.ValueLogFile <= 0 {
		o.ValueLogFile = defaultValueLogFile
	}
	if o.MemTable <= 0 {
		o.MemTable = defaultMemTable
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	return o
}

// Open opens or makes the page store in dir. Only one process may have it open: the caller holds the lock of the state
// directory. Recover comes next.
func Open(dir string, o Options) (*ckpt.Store, error) {
	o = o.defaults()
	back, err := OpenBackend(dir, o)
	if err != nil {
		return nil, err
	}
	return ckpt.NewStore(back, ckpt.StoreOptions{FS: o.FS, Dir: dir, MinFree: o.MinFree}), nil
}

// OpenBackend is Open for who wants to put something between the backend and the store.
func OpenBackend(dir string, o Options) (ckpt.Backend, error) {
	o = o.defaults()
	if err := vfs.MkdirSynced(o.FS, dir); err != nil {
		return nil, fmt.Errorf("page store: %w", err)
	}
	free, err := o.FS.FreeSpace(dir)
	if err != nil {
		return nil, fmt.Errorf("page store: %w", err)
	}
	if free < o.MinFree {
		return nil, fmt.Errorf("page store: %w", &ckpt.SpaceError{Dir: dir, Need: o.MinFree, Free: free})
	}
	if o.Account != nil {
		if err := o.Account.Reserve(o.Memory()); err != nil {
			return nil, fmt.Errorf("page store: %w", err)
		}
	}
	err = dropEmpty(dir, o.FS)
	if err == nil {
		err = checkTables(dir, o.FS)
	}
	var db *badger.DB
	if err == nil {
		db, err = open(dir, o)
	}
	if err != nil {
		if o.Account != nil {
			o.Account.Unreserve(o.Memory())
		}
		return nil, fmt.Errorf("page store %s cannot be opened: %w; if its files are damaged, restore the state directory from a backup, or start again with --fresh", dir, err)
	}
	return &backend{db: db, dir: dir, opts: o, synced: map[string]bool{}}, nil
}

// dropEmpty removes value log and memtable files without a byte: a process that was killed while Badger made one leaves it, and Badger refuses
// to open such a directory. Nothing can be in it.
func dropEmpty(dir string, f vfs.FS) error {
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || ext != ".vlog" && ext != ".mem" {
			continue
		}
		name := filepath.Join(dir, e.Name())
		info, err := f.Stat(name)
		if err != nil {
			return err
		}
		if info.Size() > 0 {
			continue
		}
		if err := f.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// checkTables looks at the ends of Badger's tables. Lengths that cannot be make Badger panic on a goroutine of its own, where nobody can
// recover it; everything else in a table is under a checksum, and gives an error.
func checkTables(dir string, f vfs.FS) error {
	entries, err := f.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".sst" {
			continue
		}
		if err := checkTable(filepath.Join(dir, e.Name()), f); err != nil {
			return err
		}
	}
	return nil
}

// checkTable checks the footer: index, its length (4 bytes), checksum, its length (4 bytes).
func checkTable(name string, f vfs.FS) error {
	file, err := f.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() == 0 { // made by a process that was killed, and not in Badger's manifest
		return err
	}
	end := info.Size()
	for range 2 {
		var length [4]byte
		if end -= 4; end >= 0 {
			if _, err := file.ReadAt(length[:], end); err != nil {
				return err
			}
			end -= int64(binary.BigEndian.Uint32(length[:]))
		}
		if end < 0 {
			return fmt.Errorf("%w: table %s: its footer is not what Badger wrote", ckpt.ErrDamaged, name)
		}
	}
	return nil
}

func open(dir string, o Options) (db *badger.DB, err error) {
	defer catch(&err)
	return badger.OpenManaged(badger.DefaultOptions(dir).
		WithLogger(logger{o.Log}).
		WithNumVersionsToKeep(math.MaxInt).
		WithDetectConflicts(false).
		WithSyncWrites(false).
		WithMetricsEnabled(false).
		WithMemTableSize(o.MemTable).
		WithNumMemtables(memTables).
		WithNumLevelZeroTables(1).
		WithNumLevelZeroTablesStall(8).
		WithNumCompactors(2).
		WithBaseTableSize(2 << 20).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(o.ValueLogFile).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithIndexCacheSize(0).
		WithBloomFalsePositive(0).
		WithChecksumVerificationMode(options.OnTableRead).
		WithVerifyValueChecksum(false)) // pages carry their own
}

// catch turns a panic of Badger (it has some for damaged files) into an error.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: Badger: %v", ckpt.ErrDamaged, p)
	}
}

// logger sends Badger's messages to slog, at debug level: what matters comes back as errors.
type logger struct{ log *slog.Logger }

func (l logger) say(level, format string, args []any) {
	l.log.Debug(strings.TrimSpace(fmt.Sprintf(format, args...)), "component", "badger", "badger-level", level)
}

func (l logger) Errorf(format string, args ...any)   { l.say("error", format, args) }
func (l logger) Warningf(format string, args ...any) { l.say("warning", format, args) }
func (l logger) Infof(format string, args ...any)    { l.say("info", format, args) }
func (l logger) Debugf(string, ...any)               {}

type backend struct {
	db   *badger.DB
	dir  string
	opts Options

	syncing sync.Mutex      // one Sync or Discard's sync at a time; guards synced
	synced  map[string]bool // files that never change again and are durable

	discarding sync.Mutex
	closing    sync.Once
	closeErr   error
}

// Close implements ckpt.Backend.
func (b *backend) Close() error {
	b.closing.Do(func() {
		b.closeErr = func() (err error) {
			defer catch(&err)
			return b.db.Close()
		}()
		if b.opts.Account != nil {
			b.opts.Account.Unreserve(b.opts.Memory())
		}
	})
	return b.closeErr
}

// isEnd reports the errors with which Badger says that there is nothing to collect (any more). The last of them has no name: garbage that was counted twice,
// as after a kill in a compaction, makes it propose a file that it has collected and keeps until iterators are closed.
func isEnd(err error) bool {
	return errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) || err != nil && strings.Contains(err.Error(), "already marked for deletion")
}
