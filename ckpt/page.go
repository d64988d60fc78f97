package ckpt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"
)

// PageID names a page of keyed state: slots of one key group of one table of one operator.
type PageID struct {
	Operator string
	Table    string
	KeyGroup uint16
	Number   uint32 // within the key group
}

// String renders the id as operator/table/key group/number.
func (p PageID) String() string {
	return fmt.Sprintf("%s/%s/%d/%d", p.Operator, p.Table, p.KeyGroup, p.Number)
}

// Kind says what a version of a page holds.
type Kind uint8

const (
	// Whole is everything: older versions no longer matter.
	Whole Kind = iota + 1
	// Delta is what changed since the version before it.
	Delta
	// Tombstone says that the page is gone. It has no data.
	Tombstone
	// bundle is a chain copied into one version by the store itself, when the versions in between must not count.
	bundle
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Whole:
		return "whole"
	case Delta:
		return "delta"
	case Tombstone:
		return "tombstone"
	case bundle:
		return "bundle"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// ends reports whether a version makes those below it irrelevant.
func (k Kind) ends() bool { return k != Delta }

// Page is one version of a page on its way into the store. The store copies Data before Write returns.
type Page struct {
	ID   PageID
	Kind Kind
	Data []byte
}

// Version is one version of a page on its way out. Data is valid until the visit function returns.
type Version struct {
	Checkpoint uint64
	Kind       Kind // Whole or Delta
	Data       []byte
}

// PageError is trouble with one page: a bad checksum, a chain with a hole, an unreadable value.
type PageError struct {
	Page       PageID
	Checkpoint uint64
	Err        error
}

func (e *PageError) Error() string {
	return fmt.Sprintf("state page %v of checkpoint %d: %v", e.Page, e.Checkpoint, e.Err)
}

// Unwrap returns the cause.
func (e *PageError) Unwrap() error { return e.Err }

var (
	// ErrDamaged is the cause of errors about content that is not what was written.
	ErrDamaged = errors.New("damaged: the content is not what was written")
	// ErrBroken is the cause of errors about versions that should be there and are not.
	ErrBroken = errors.New("incomplete: a version that the checkpoint needs is missing")
)

// maxName bounds operator and table names, in bytes.
const maxName = 1024

// appendTablePrefix appends the part of a key that all pages of a table share. Names are length-prefixed, so that no
// prefix of one table is a prefix of another.
func appendTablePrefix(dst []byte, operator, table string) []byte {
	dst = append(dst, 'p')
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(operator)))
	dst = append(dst, operator...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(table)))
	return append(dst, table...)
}

func appendKey(dst []byte, p PageID) []byte {
	dst = appendTablePrefix(dst, p.Operator, p.Table)
	dst = binary.BigEndian.AppendUint16(dst, p.KeyGroup)
	return binary.BigEndian.AppendUint32(dst, p.Number)
}

func parseKey(key []byte) (PageID, error) {
	bad := fmt.Errorf("page key %x: %w", key, ErrDamaged)
	rest := key
	name := func() (string, bool) {
		if len(rest) < 2 {
			return "", false
		}
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n {
			return "", false
		}
		s := string(rest[2 : 2+n])
		rest = rest[2+n:]
		return s, true
	}
	if len(rest) == 0 || rest[0] != 'p' {
		return PageID{}, bad
	}
	rest = rest[1:]
	operator, ok := name()
	if !ok {
		return PageID{}, bad
	}
	table, ok := name()
	if !ok || len(rest) != 6 {
		return PageID{}, bad
	}
	return PageID{operator, table, binary.BigEndian.Uint16(rest), binary.BigEndian.Uint32(rest[2:])}, nil
}

// A stored value is the checksum (8 bytes, little endian) and the data. The checksum covers the key, the version and the
// kind too, so that a value in the wrong place is found out.
const checksumSize = 8

func checksum(key []byte, version uint64, kind Kind, data []byte) uint64 {
	return xxh3.HashSeed(data, versionHash(key, version, kind))
}

// versionHash identifies a version by everything but its content.
func versionHash(key []byte, version uint64, kind Kind) uint64 {
	return xxh3.HashSeed(key, version<<3|uint64(kind))
}

func appendValue(dst, key []byte, version uint64, kind Kind, data []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, checksum(key, version, kind, data))
	return append(dst, data...)
}

func openValue(key []byte, version uint64, kind Kind, value []byte) ([]byte, error) {
	if len(value) < checksumSize {
		return nil, fmt.Errorf("%w (%d bytes)", ErrDamaged, len(value))
	}
	data := value[checksumSize:]
	if got, want := checksum(key, version, kind, data), binary.LittleEndian.Uint64(value); got != want {
		return nil, fmt.Errorf("%w (checksum %016x, stored %016x)", ErrDamaged, got, want)
	}
	return data, nil
}

// appendBundle appends a chain, oldest first.
func appendBundle(dst []byte, chain []Version) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(chain)))
	for _, v := range chain {
		dst = binary.AppendUvarint(dst, v.Checkpoint)
		dst = append(dst, byte(v.Kind))
		dst = binary.AppendUvarint(dst, uint64(len(v.Data)))
		dst = append(dst, v.Data...)
	}
	return dst
}

// openBundle appends the versions in data to chain; they alias data.
func openBundle(chain []Version, data []byte) ([]Version, error) {
	bad := fmt.Errorf("bundle: %w", ErrDamaged)
	number := func() (uint64, bool) {
		n, size := binary.Uvarint(data)
		if size <= 0 {
			return 0, false
		}
		data = data[size:]
		return n, true
	}
	count, ok := number()
	if !ok {
		return nil, bad
	}
	for range count {
		checkpoint, ok := number()
		if !ok || len(data) == 0 {
			return nil, bad
		}
		kind := Kind(data[0])
		data = data[1:]
		size, ok := number()
		if !ok || size > uint64(len(data)) || (kind != Whole && kind != Delta) {
			return nil, bad
		}
		chain = append(chain, Version{checkpoint, kind, data[:size:size]})
		data = data[size:]
	}
	if len(data) != 0 {
		return nil, bad
	}
	return chain, nil
}
