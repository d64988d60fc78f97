package ckpt

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"turbo/internal/killpoint"
	"turbo/internal/vfs"
)

// StoreOptions configure a Store. The zero value is usable.
type StoreOptions struct {
	// FS and Dir say whose free space is checked before pages are written. Without FS nothing is checked.
	FS  vfs.FS
	Dir string
	// MinFree is how much must stay free beyond what a checkpoint is expected to write. Default 64 MiB.
	MinFree int64
}

const defaultMinFree = 64 << 20

// Store keeps the pages of a job's keyed state, in versions numbered by checkpoint.
//
// Protocol: Recover once; then, for each checkpoint, Begin, any number of Writes, Seal, and Complete when the manifest is
// durable, or Abandon at any time before that. Restore reads any retained checkpoint at any time. All methods may be called by any
// goroutine; Write and Restore run in parallel, the others one at a time.
type Store struct {
	back  Backend
	opts  StoreOptions
	mu    sync.Mutex // guards everything below
	idle  *sync.Cond // signals writing == 0
	inv   *inventory
	base  uint64 // last completed (or recovered) checkpoint
	now   uint64 // checkpoint in hand, 0: none
	state storeState
	sum   Summary // of the sealed checkpoint
	bad   error   // why the checkpoint in hand cannot be sealed
	// writing counts Writes between their check and their end; wrote is the number of bytes since Begin.
	writing    int
	wrote      int64
	wroteLast  int64 // bytes of the last completed checkpoint
	checkSpace int64 // bytes written since free space was last looked at
}

type storeState uint8

const (
	storeNew    storeState = iota // Recover has not been called
	storeIdle                     // no checkpoint in hand
	storeOpen                     // Writes are taken
	storeSealed                   // all written and durable
	storeClosed
)

var (
	// ErrStale is returned by Write for a checkpoint that is not (any more) the one in hand.
	ErrStale = errors.New("not the checkpoint in progress")
	// ErrProtocol is returned for calls in the wrong order.
	ErrProtocol = errors.New("page store: call out of order")
)

// SpaceError says that a checkpoint was not started, or not continued, because the disk would have filled up.
type SpaceError struct {
	Dir        string
	Need, Free int64 // bytes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("not enough disk space in %s: the checkpoint needs %s free, there are %s; free some space or move checkpoint.dir",
		e.Dir, mebibytes(e.Need), mebibytes(e.Free))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// NewStore makes a store on a backend, which it then owns.
func NewStore(back Backend, opts StoreOptions) *Store {
	if opts.MinFree <= 0 {
		opts.MinFree = defaultMinFree
	}
	s := &Store{back: back, opts: opts, inv: newInventory()}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// LastID is the largest checkpoint id of any version in the store, unfinished checkpoints included; 0 for an empty store.
func (s *Store) LastID() (uint64, error) {
	n, err := s.back.MaxVersion()
	if err != nil {
		return 0, fmt.Errorf("page store: %w", err)
	}
	return n, nil
}

// Recovered says what Recover found.
type Recovered struct {
	Summary Summary // of the recovered checkpoint
	// Unfinished is the number of pages that later, unfinished checkpoints have written. The next checkpoint
	// rewrites each of them, by itself.
	Unfinished int
}

// Recover makes the store continue from a completed checkpoint, 0 meaning from nothing. It compares what is there with
// want, the Summary that the manifest holds, and fails with ErrBroken when they differ. It may be called again.
func (s *Store) Recover(at uint64, want Summary) (Recovered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == storeClosed {
		return Recovered{}, fmt.Errorf("%w: recover on a closed store", ErrProtocol)
	}
	s.await()
	inv := newInventory()
	if at > 0 {
		if err := s.loadInventory(inv, at); err != nil {
			return Recovered{}, fmt.Errorf("page store, checkpoint %d: %w", at, err)
		}
	}
	if inv.sum.Pages != want.Pages || inv.sum.Versions != want.Versions || inv.sum.Digest != want.Digest {
		return Recovered{}, fmt.Errorf("page store, checkpoint %d: %w: the manifest lists %d pages in %d versions, the store has %d in %d",
			at, ErrBroken, want.Pages, want.Versions, inv.sum.Pages, inv.sum.Versions)
	}
	err := s.scanAll(Scan{After: at, At: math.MaxUint64}, func(id PageID, _ Item) (Next, error) {
		inv.markStale(id)
		return NextKey, nil
	})
	if err != nil {
		return Recovered{}, fmt.Errorf("page store, after checkpoint %d: %w", at, err)
	}
	s.inv, s.base, s.now, s.state = inv, at, 0, storeIdle
	s.wrote, s.wroteLast = 0, 0
	return Recovered{inv.sum, len(inv.stale)}, nil
}

func (s *Store) loadInventory(inv *inventory, at uint64) error {
	var page PageID
	var chain chainInfo
	have, whole := false, false
	finish := func() error {
		if have && !whole {
			return &PageError{page, at, fmt.Errorf("%w: no whole page under its deltas", ErrBroken)}
		}
		if have {
			inv.load(page, chain)
		}
		have, whole, chain = false, false, chainInfo{}
		return nil
	}
	var key []byte
	err := s.scanAll(Scan{At: at}, func(id PageID, item Item) (Next, error) {
		if !have || string(key) != string(item.Key) {
			if err := finish(); err != nil {
				return Older, err
			}
			key = append(key[:0], item.Key...)
			page = id
			if item.Kind == Tombstone {
				return NextKey, nil
			}
			have = true
		}
		if item.Kind == Tombstone {
			return NextKey, nil // a hole; finish reports it
		}
		chain.digest += versionHash(item.Key, item.Version, item.Kind)
		chain.versions++
		chain.bytes += int64(max(item.Size-checksumSize, 0))
		whole = item.Kind.ends()
		return Next(whole), nil
	})
	if err != nil {
		return err
	}
	return finish()
}

// scanAll scans every page.
func (s *Store) scanAll(scan Scan, visit func(PageID, Item) (Next, error)) error {
	scan.From, scan.To = []byte{'p'}, []byte{'p' + 1}
	return s.back.Scan(scan, func(item Item) (Next, error) {
		id, err := parseKey(item.Key)
		if err != nil {
			return Older, err
		}
		return visit(id, item)
	})
}

// await waits until no Write is running. s.mu is held.
func (s *Store) await() {
	for s.writing > 0 {
		s.idle.Wait()
	}
}

// Begin starts a checkpoint. Its id must be larger than any before. bytes is how much it is expected to write; the amount
// that the last one wrote is used when that is more. It fails with a *SpaceError rather than start what would fill the
// disk: a full disk under a memory-mapped file ends the process.
func (s *Store) Begin(id uint64, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != storeIdle {
		return fmt.Errorf("%w: begin of checkpoint %d", ErrProtocol, id)
	}
	last, err := s.back.MaxVersion()
	if err != nil {
		return fmt.Errorf("page store: %w", err)
	}
	if id <= s.base || id <= last {
		return fmt.Errorf("%w: checkpoint id %d was used before (last %d)", ErrProtocol, id, max(s.base, last))
	}
	if err := s.reserve(2 * max(bytes, s.wroteLast)); err != nil {
		return err
	}
	s.now, s.state, s.bad, s.wrote, s.checkSpace = id, storeOpen, nil, 0, 0
	return nil
}

// reserve checks that n bytes can be written with MinFree left.
func (s *Store) reserve(n int64) error {
	if s.opts.FS == nil {
		return nil
	}
	free, err := s.opts.FS.FreeSpace(s.opts.Dir)
	if err != nil {
		return fmt.Errorf("free space for a checkpoint: %w", err)
	}
	if need := n + s.opts.MinFree; free < need {
		return &SpaceError{s.opts.Dir, need, free}
	}
	return nil
}

// spaceCheckEvery is how many bytes are written between two looks at the free space, much less than MinFree.
const spaceCheckEvery = 4 << 20

// putBytes bounds what is handed to the backend at once: it may copy it.
const putBytes = 1 << 20

// Write stores versions of pages for the checkpoint in hand; each page at most once. It may be called by several
// goroutines. After an error the checkpoint must be abandoned. Nothing is durable before Seal.
func (s *Store) Write(id uint64, pages []Page) error {
	for len(pages) > 0 {
		n, size := 0, 0
		for n < len(pages) && (n == 0 || size+len(pages[n].Data) <= putBytes) {
			size += len(pages[n].Data)
			n++
		}
		killpoint.Reach(PhaseUpload)
		if err := s.writeSome(id, pages[:n], int64(size)); err != nil {
			return err
		}
		pages = pages[n:]
	}
	return nil
}

func (s *Store) writeSome(id uint64, pages []Page, size int64) error {
	bundles, err := s.enter(id, pages, size)
	if err != nil {
		return err
	}
	put := putBuffers.Get().(*putBuffer)
	defer putBuffers.Put(put)
	put.reset()
	for i, p := range pages {
		if bundles != nil && bundles[i] {
			if err = s.addBundle(put, id, p); err != nil {
				break
			}
			continue
		}
		put.add(id, p.ID, p.Kind, p.Data)
	}
	if err == nil {
		if err = s.back.Put(id, put.finish()); err != nil {
			err = fmt.Errorf("page store, checkpoint %d: %w", id, err)
		}
	}
	s.leave(put, pages, err)
	return err
}

// enter checks a Write and counts it in; it tells which deltas must become bundles.
func (s *Store) enter(id uint64, pages []Page, size int64) (bundles []bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != storeOpen || s.now != id {
		return nil, fmt.Errorf("page store: write to checkpoint %d: %w", id, ErrStale)
	}
	defer func() {
		if err != nil {
			s.bad = err
		}
	}()
	if s.checkSpace += size; s.checkSpace >= spaceCheckEvery {
		if err := s.reserve(-s.opts.MinFree / 2); err != nil {
			return nil, err
		}
		s.checkSpace = 0
	}
	for i, p := range pages {
		if len(p.ID.Operator) > maxName || len(p.ID.Table) > maxName {
			return nil, &PageError{p.ID, id, fmt.Errorf("a name is longer than %d bytes", maxName)}
		}
		needs, err := s.inv.write(p.ID, p.Kind)
		if err != nil {
			return nil, &PageError{p.ID, id, err}
		}
		if needs && bundles == nil {
			bundles = make([]bool, len(pages))
		}
		if needs {
			bundles[i] = true
		}
	}
	s.writing++
	return bundles, nil
}

func (s *Store) leave(put *putBuffer, pages []Page, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.bad = err
	}
	for i := 0; err == nil && i < len(pages); i++ {
		r := put.records[i]
		s.inv.wrote(pages[i].ID, r.Kind, put.hashes[i], len(r.Value)-checksumSize)
		s.wrote += int64(len(r.Value))
	}
	if s.writing--; s.writing == 0 {
		s.idle.Broadcast()
	}
}

// addBundle adds a copy of the page's chain at the last completed checkpoint, with p on top if it is a delta.
func (s *Store) addBundle(put *putBuffer, id uint64, p Page) error {
	key := appendKey(nil, p.ID)
	var data []byte
	err := s.restore(Scan{From: key, To: append(key[:len(key):len(key)], 0), At: s.base, Values: true}, func(_ PageID, chain []Version) error {
		if p.Kind == Delta {
			chain = append(chain, Version{id, Delta, p.Data})
		}
		data = appendBundle(nil, chain)
		return nil
	})
	if err == nil && data == nil {
		err = &PageError{p.ID, s.base, ErrBroken}
	}
	if err != nil {
		return err
	}
	put.add(id, p.ID, bundle, data)
	return nil
}

// Seal ends the writing: it covers what unfinished checkpoints left behind, and makes all of it durable. The Summary
// belongs into the manifest. An error leaves the checkpoint to be abandoned.
func (s *Store) Seal(id uint64) (Summary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != storeOpen || s.now != id {
		return Summary{}, fmt.Errorf("page store: seal of checkpoint %d: %w", id, ErrStale)
	}
	s.await()
	if s.bad != nil {
		return Summary{}, fmt.Errorf("page store: seal of checkpoint %d after a failed write: %w", id, s.bad)
	}
	killpoint.Reach(PhaseSeal)
	if err := s.cover(id); err != nil {
		return Summary{}, fmt.Errorf("page store, checkpoint %d: covering unfinished versions: %w", id, err)
	}
	sum, err := s.inv.seal()
	if err != nil {
		return Summary{}, fmt.Errorf("page store, checkpoint %d: %w", id, err)
	}
	if err := s.back.Sync(); err != nil {
		return Summary{}, fmt.Errorf("page store, checkpoint %d: %w", id, err)
	}
	s.sum, s.state = sum, storeSealed
	return sum, nil
}

// cover puts a copy of the good state over every version that an unfinished checkpoint left. s.mu is held.
func (s *Store) cover(id uint64) error {
	ids, exist := s.inv.uncovered()
	put := &putBuffer{}
	first := 0
	flush := func(end int) error {
		if err := s.back.Put(id, put.finish()); err != nil {
			return err
		}
		for i, r := range put.records {
			s.inv.wrote(ids[first+i], r.Kind, put.hashes[i], len(r.Value)-checksumSize)
		}
		first = end
		put.reset()
		return nil
	}
	for i, page := range ids {
		if _, err := s.inv.write(page, Whole); err != nil {
			return err
		}
		if !exist[i] {
			put.add(id, page, Tombstone, nil)
		} else if err := s.addBundle(put, id, Page{ID: page}); err != nil {
			return err
		}
		if len(put.values) >= putBytes {
			if err := flush(i + 1); err != nil {
				return err
			}
		}
	}
	return flush(len(ids))
}

// Complete makes a sealed checkpoint the one that later ones build on. Call it when its manifest is durable.
func (s *Store) Complete(id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != storeSealed || s.now != id {
		return fmt.Errorf("%w: complete of checkpoint %d", ErrProtocol, id)
	}
	s.inv.complete(s.sum)
	s.base, s.now, s.state = id, 0, storeIdle
	s.wroteLast = s.wrote
	return nil
}

// Abandon gives a checkpoint up that was begun and not completed; for any other it does nothing. Writes to it that are still on
// their way fail. The next checkpoint is relative to the last completed one: who writes deltas must keep track of what
// changed since then.
func (s *Store) Abandon(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != id || (s.state != storeOpen && s.state != storeSealed) {
		return
	}
	s.state = storeIdle // no new Write enters
	s.await()
	s.inv.abandon()
	s.now = 0
}

// Retain gives up every checkpoint before oldest: their versions may be forgotten. It may take a while and runs beside
// everything but itself.
func (s *Store) Retain(oldest uint64) error {
	s.mu.Lock()
	ok := oldest <= s.base && s.state != storeClosed
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w: retain from checkpoint %d", ErrProtocol, oldest)
	}
	killpoint.Reach(PhaseRetain)
	if err := s.back.Discard(oldest); err != nil {
		return fmt.Errorf("page store: forgetting what is older than checkpoint %d: %w", oldest, err)
	}
	return nil
}

// StoreStatus is what a store holds, in bytes and pages.
type StoreStatus struct {
	Size
	Summary           // of the last completed checkpoint
	LastWritten int64 // bytes that the last completed checkpoint wrote
}

// Status measures.
func (s *Store) Status() (StoreStatus, error) {
	size, err := s.back.Size()
	if err != nil {
		return StoreStatus{}, fmt.Errorf("page store: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return StoreStatus{size, s.inv.sum, s.wroteLast}, nil
}

// Written is the number of bytes written for the checkpoint in hand.
func (s *Store) Written() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrote
}

// Close frees the store. Nothing is synced: what matters was sealed.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == storeClosed {
		return nil
	}
	s.state = storeClosed
	s.await()
	return s.back.Close()
}
