package ckpt

import (
	"errors"
	"fmt"
)

// Summary says what a checkpoint needs of the store, so that a restart can tell whether it is all there.
type Summary struct {
	Pages    int64  `json:"pages"`         // pages that exist
	Versions int64  `json:"versions"`      // versions in their chains
	Bytes    int64  `json:"bytes"`         // data of those versions
	Digest   uint64 `json:"digest,string"` // sum of a hash of (page, version, kind) over those versions
}

// chainInfo is the part of a Summary that one page contributes.
type chainInfo struct {
	digest   uint64
	versions int32
	bytes    int64
}

// inventory knows, of every page that exists, the versions in its chain; and what the checkpoint in hand changes. It
// does no I/O and is not safe for concurrent use.
//
// live is the state at the last completed checkpoint. touched has the pages that the checkpoint in hand wrote. stale has
// the pages that an abandoned or unfinished checkpoint wrote after the last completed one: their newest versions must
// never be read, so a checkpoint may only be sealed when it has put an ending version over each of them.
type inventory struct {
	tables  map[[2]string]uint32
	names   [][2]string
	live    map[pageKey]chainInfo
	touched map[pageKey]change
	stale   map[pageKey]struct{}
	sum     Summary // of live
}

// pageKey is a PageID with its names replaced by a number.
type pageKey struct {
	table  uint32
	group  uint16
	number uint32
}

type change struct {
	next   chainInfo
	exists bool
}

func newInventory() *inventory {
	return &inventory{
		tables:  map[[2]string]uint32{},
		live:    map[pageKey]chainInfo{},
		touched: map[pageKey]change{},
		stale:   map[pageKey]struct{}{},
	}
}

func (v *inventory) key(id PageID) pageKey {
	name := [2]string{id.Operator, id.Table}
	n, ok := v.tables[name]
	if !ok {
		n = uint32(len(v.names))
		v.tables[name] = n
		v.names = append(v.names, name)
	}
	return pageKey{n, id.KeyGroup, id.Number}
}

func (v *inventory) id(k pageKey) PageID {
	return PageID{v.names[k.table][0], v.names[k.table][1], k.group, k.number}
}

// load adds a page with its chain as the store has it at the checkpoint that is recovered.
func (v *inventory) load(id PageID, c chainInfo) {
	v.live[v.key(id)] = c
	v.sum.add(c)
}

func (s *Summary) add(c chainInfo) {
	s.Pages++
	s.Versions += int64(c.versions)
	s.Bytes += c.bytes
	s.Digest += c.digest
}

func (s *Summary) remove(c chainInfo) {
	s.Pages--
	s.Versions -= int64(c.versions)
	s.Bytes -= c.bytes
	s.Digest -= c.digest
}

var (
	errTwice   = errors.New("written twice in one checkpoint")
	errNoBase  = errors.New("a delta of a page that does not exist")
	errNotData = errors.New("only whole pages, deltas and tombstones can be written")
)

// write records that the checkpoint in hand writes a version. It reports whether the version must be a bundle: a delta
// whose neighbour below may not be read.
func (v *inventory) write(id PageID, kind Kind) (needsBundle bool, err error) {
	k := v.key(id)
	if _, twice := v.touched[k]; twice {
		return false, errTwice
	}
	base, exists := v.live[k]
	switch kind {
	case Whole, Tombstone:
		v.touched[k] = change{}
		return false, nil
	case Delta:
		if !exists {
			return false, errNoBase
		}
		v.touched[k] = change{next: base, exists: true}
		_, stale := v.stale[k]
		return stale, nil
	}
	return false, errNotData
}

// wrote completes write with what was really put: hash identifies the version, size is that of its data.
func (v *inventory) wrote(id PageID, kind Kind, hash uint64, size int) {
	k := v.key(id)
	c := v.touched[k]
	switch kind {
	case Delta:
		c.next.digest += hash
		c.next.versions++
		c.next.bytes += int64(size)
	case Tombstone:
		c = change{}
	default:
		c = change{next: chainInfo{hash, 1, int64(size)}, exists: true}
	}
	v.touched[k] = c
}

// uncovered returns the stale pages that the checkpoint in hand has not written, and whether they exist below.
func (v *inventory) uncovered() (ids []PageID, exist []bool) {
	for k := range v.stale {
		if _, ok := v.touched[k]; !ok {
			_, live := v.live[k]
			ids = append(ids, v.id(k))
			exist = append(exist, live)
		}
	}
	return ids, exist
}

// markStale notes a page that has versions above the checkpoint that is recovered.
func (v *inventory) markStale(id PageID) { v.stale[v.key(id)] = struct{}{} }

// seal returns the Summary of the state with the checkpoint in hand.
func (v *inventory) seal() (Summary, error) {
	for k := range v.stale {
		if _, ok := v.touched[k]; !ok {
			return Summary{}, fmt.Errorf("page %v: an abandoned version of it would be read by this checkpoint", v.id(k))
		}
	}
	sum := v.sum
	for k, c := range v.touched {
		if old, ok := v.live[k]; ok {
			sum.remove(old)
		}
		if c.exists {
			sum.add(c.next)
		}
	}
	return sum, nil
}

// complete makes the checkpoint in hand the last completed one.
func (v *inventory) complete(sum Summary) {
	for k, c := range v.touched {
		if c.exists {
			v.live[k] = c.next
		} else {
			delete(v.live, k)
		}
		delete(v.stale, k)
	}
	clear(v.touched)
	v.sum = sum
}

// abandon gives the checkpoint in hand up: what it wrote is stale.
func (v *inventory) abandon() {
	for k := range v.touched {
		v.stale[k] = struct{}{}
	}
	clear(v.touched)
}
