package state

import (
	"encoding/binary"
	"math/bits"
)

// A packed run is n words as differences from the least one, in as many bits as the largest difference has (frame of reference, Goldstein et
// al. 1998): that number (1 byte), the least word, taken as signed (8 bytes), and the differences, the first in the lowest bits, padded to
// words of 8 bytes. What a checkpoint costs is proportional to its bytes: checksums, copies, page faults and writes of the
// page store; packing costs a nanosecond a value and spares most of them, as the values of a column are alike.

// appendPacked appends the packed run of the words at offset in rows of stride words. There is at least one row.
func appendPacked(dst []byte, rows []uint64, offset, stride int) []byte {
	least := int64(rows[offset])
	most := least
	for o := offset; o < len(rows); o += stride {
		x := int64(rows[o])
		least, most = min(least, x), max(most, x)
	}
	base := uint64(least)
	width := uint(bits.Len64(uint64(most) - base))
	dst = append(dst, byte(width))
	dst = binary.LittleEndian.AppendUint64(dst, base)
	if width == 0 {
		return dst
	}
	start := len(dst)
	dst = grow(dst, packedBytes(len(rows)/stride, width))
	out := dst[start:]
	var held uint64 // bits that wait for their word to be full
	var have uint   // their number, below 64
	for o := offset; o < len(rows); o += stride {
		x := rows[o] - base
		held |= x << have
		have += width
		if have >= 64 {
			binary.LittleEndian.PutUint64(out, held)
			out = out[8:]
			have -= 64
			held = x >> (width - have)
		}
	}
	if have > 0 {
		binary.LittleEndian.PutUint64(out, held)
	}
	return dst
}

// packedBytes is the size of n differences.
func packedBytes(n int, width uint) int { return (n*int(width) + 63) / 64 * 8 }

// packed reads a packed run.
type packed struct {
	base  uint64
	width uint
	data  []byte
}

// packed takes a run of n words.
func (r *pageReader) packed(n int) packed {
	p := packed{width: uint(r.byte())}
	if base := r.take(8); len(base) == 8 {
		p.base = binary.LittleEndian.Uint64(base)
	}
	if p.width > 64 {
		r.fail()
		return packed{}
	}
	p.data = r.take(packedBytes(n, p.width))
	return p
}

// at returns the i-th word.
func (p *packed) at(i int) uint64 {
	if p.width == 0 {
		return p.base
	}
	first := uint(i) * p.width
	data, skip := p.data[first/64*8:], first%64
	x := binary.LittleEndian.Uint64(data) >> skip
	if skip+p.width > 64 {
		x |= binary.LittleEndian.Uint64(data[8:]) << (64 - skip)
	}
	return p.base + x&(^uint64(0)>>(64-p.width))
}
