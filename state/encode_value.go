package state

import "turbo/core"

// EncodeValue appends the encoding of row i of v, of any type: what a BYTES field can hold for an operator. Equal values have the same bytes when canonical.
func EncodeValue(dst []byte, v *core.Vector, i int, canonical bool) []byte {
	return appendValue(dst, v, i, canonical)
}

// DecodeEncoded appends the value that b begins with to v, which has the type of the encoded one, and returns what follows it. An error is damage.
func DecodeEncoded(v *core.Vector, b []byte) ([]byte, error) { return decodeValue(v, b) }
