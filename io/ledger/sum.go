package ledger

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the running checksum of a file: CRC-32C in the upper half, CRC-32 (IEEE) in the lower. The two polynomials share no
// factor, so together they detect what one CRC of 64 bits would, and both are computed by the processor's own
// instructions. The zero value is the sum of no bytes.
type Sum uint64

// Add returns the sum of the bytes so far followed by p.
func (s Sum) Add(p []byte) Sum {
	high := crc32.Update(uint32(s>>32), castagnoli, p)
	low := crc32.Update(uint32(s), crc32.IEEETable, p)
	return Sum(high)<<32 | Sum(low)
}

// String is 16 hex digits.
func (s Sum) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error {
	var b [8]byte
	if len(text) != 16 {
		return fmt.Errorf("checksum %q does not have 16 hex digits", text)
	}
	if _, err := hex.Decode(b[:], text); err != nil {
		return fmt.Errorf("checksum %q: %w", text, err)
	}
	*s = 0
	for _, x := range b {
		*s = *s<<8 | Sum(x)
	}
	return nil
}
