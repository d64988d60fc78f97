package state

import (
	"fmt"
	"strings"

	"turbo/core"
)

// storage is how a row stores a field.
type storage uint8

const (
	storeInt   storage = iota // one word: an integer, sign-extended; BOOLEAN as 0 or 1
	storeFloat                // one word: the bits of a float64 (FLOAT is widened)
	storeWide                 // two words: DECIMAL, low then high
	storeBytes                // one word: a handle of a STRING or BYTES value in the heap
	storeBlob                 // one word: a handle of an encoded ARRAY, MAP or ROW
)

// field is one key or value column of a table.
type field struct {
	core.Field
	storage storage
	offset  int    // its first word in the row
	valid   int    // the word of the row with its validity bit
	mask    uint64 // that bit
}

// maxKeys bounds the key columns: their validity bits stand in the row's header word.
const maxKeys = 32

// maxFields bounds keys and values together.
const maxFields = 1024

// stampMask are the bits of a row's header that hold its stamp; the others are the validity of the first 32 fields.
const stampMask = 1<<32 - 1

// layout is the shape of a table's rows.
type layout struct {
	keys     int // the first fields are the key
	fields   []field
	stride   int    // words of a row
	keyMask  uint64 // validity bits of the key fields, in the header
	required uint64 // header of a new row: NOT NULL fixed-width values start as zero, all others as null
	extra    []uint64
	variable bool // some field is in the heap
	word64   bool // the key is one word holding an integer
	text     string
}

func newLayout(keys, values []core.Field) (*layout, error) {
	n := len(keys) + len(values)
	switch {
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("state: a table has at most %d key columns, not %d", maxKeys, len(keys))
	case n > maxFields:
		return nil, fmt.Errorf("state: a table has at most %d columns, not %d", maxFields, n)
	}
	l := &layout{keys: len(keys)}
	next := 1
	if n > 32 {
		next += (n - 32 + 63) / 64
		l.extra = make([]uint64, next-1)
	}
	var text strings.Builder
	for i := range n {
		var f field
		if i < len(keys) {
			f.Field = keys[i]
		} else {
			f.Field = values[i-len(keys)]
		}
		words := 1
		switch k := f.Type.Kind; {
		case k == core.Float32 || k == core.Float64:
			f.storage = storeFloat
		case k == core.Decimal:
			f.storage, words = storeWide, 2
		case k == core.String || k == core.Bytes:
			f.storage = storeBytes
		case k.IsNested():
			f.storage = storeBlob
		case k.Width() > 0:
			f.storage = storeInt
		default:
			return nil, fmt.Errorf("state: column %s has no valid type", f.Name)
		}
		l.variable = l.variable || f.storage >= storeBytes
		f.offset = next
		next += words
		if i < 32 {
			f.valid, f.mask = 0, 1<<(32+i)
		} else {
			f.valid, f.mask = 1+(i-32)/64, 1<<((i-32)&63)
		}
		if i < len(keys) {
			l.keyMask |= f.mask
		} else if f.Type.NotNull && f.storage < storeBytes {
			if f.valid == 0 {
				l.required |= f.mask
			} else {
				l.extra[f.valid-1] |= f.mask
			}
		}
		if i == len(keys) {
			text.WriteString(" -> ")
		} else if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%s %s", core.QuoteName(f.Name), f.Type)
		l.fields = append(l.fields, f)
	}
	l.stride = next
	l.word64 = l.keys == 1 && l.fields[0].storage == storeInt && l.fields[0].Type.Kind.Width() == 8
	l.text = text.String()
	return l, nil
}

// String renders the layout as "a BIGINT -> n BIGINT NOT NULL": what pages carry, to refuse a table of another shape.
func (l *layout) String() string { return l.text }
