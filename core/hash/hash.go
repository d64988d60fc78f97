// Package hash computes the 64-bit hashes of keys, a column at a time. The exchange computes a key's hash once; the receiver, its key
// group and its place in the keyed table all follow from it. It may import core, memory (in tests) and xxh3.
//
// Invariants:
//
//  1. Equal keys have equal hashes: -0.0 and 0.0 are equal, all NaN are equal, nulls are equal, integers of different width with one
//     value are equal, and so are maps with the same entries in another order.
//  2. Different keys may have equal hashes. A hash is never a key's identity: tables compare keys in full.
//  3. All bits are usable: key groups take the high ones (core.KeyGroup), hash tables the low ones.
//  4. The function is fixed for ever. Checkpoints store rows under the key group that this hash gave; a golden test guards it.
package hash

import (
	"math"
	"sync"

	"github.com/zeebo/xxh3"

	"turbo/core"
)

const (
	seed     = 0x9E3779B97F4A7C15 // what a key of no column hashes to; odd part of the golden ratio
	nullWord = 0xD6E8FEB86659FD93 // stands for a null
	listWord = 0xA24BAED4963EE407 // begins a nested value
)

// Mix is a bijection of 64 bits whose output bits each depend on all input bits: "moremur", Pelle Evensen's improvement (2019) of the
// finalizer of MurmurHash3. Being a bijection, it never makes two integer keys of one column collide.
func Mix(x uint64) uint64 {
	x ^= x >> 27
	x *= 0x3C79AC492BA7B653
	x ^= x >> 33
	x *= 0x1C69B3F74AC4AE35
	return x ^ x>>27
}

// Int64 returns the hash of a key of one integer column (any width), or of a date, time, timestamp or interval.
func Int64(v int64) uint64 { return Mix(uint64(v) ^ seed) }

// String returns the hash of a key of one STRING or BYTES column.
func String(v []byte) uint64 { return Mix(xxh3.Hash(v) ^ seed) }

// Columns writes the hash of the key that keys hold in each selected row to out, by physical row. sel is as in core.Batch (nil for all
// rows); keys have at least rows rows and out has at least rows elements. Elements of out that are not selected are undefined.
//
// Expected cost per row and column: about 1 ns for eight-byte columns without nulls (two multiplications that the processor
// pipelines over rows), 2 ns with nulls or a selection, 4 to 6 ns for short strings, some 20 ns for nested values.
func Columns(keys []*core.Vector, rows int, sel []int32, out []uint64) {
	out = out[:rows]
	for i, v := range keys {
		fold(v, sel, out, i == 0)
	}
	if len(keys) == 0 {
		fill(out, Mix(seed))
	}
}

func fill(out []uint64, x uint64) {
	for i := range out {
		out[i] = x
	}
}

// fold combines column v into the hashes so far; at the first column these are undefined and count as seed.
func fold(v *core.Vector, sel []int32, out []uint64, first bool) {
	switch v.Type.Kind {
	case core.Boolean:
		foldIntegers(core.Values[uint8](v), v.Validity(), sel, out, first)
	case core.Int8:
		foldIntegers(v.Int8s(), v.Validity(), sel, out, first)
	case core.Int16:
		foldIntegers(v.Int16s(), v.Validity(), sel, out, first)
	case core.Int32, core.Date, core.IntervalMonth:
		foldIntegers(v.Int32s(), v.Validity(), sel, out, first)
	case core.Int64, core.TimeOfDay, core.Timestamp, core.TimestampLTZ, core.IntervalDay:
		foldIntegers(v.Int64s(), v.Validity(), sel, out, first)
	case core.Float32:
		foldFloats(v.Float32s(), v.Validity(), sel, out, first)
	case core.Float64:
		foldFloats(v.Float64s(), v.Validity(), sel, out, first)
	case core.Decimal:
		words := core.Values[[2]uint64](v)
		foldWords(v, sel, out, first, func(i int) uint64 { return Mix(words[i][1]) ^ words[i][0] })
	case core.String, core.Bytes:
		offsets, data := v.Offsets(), v.Data()
		foldWords(v, sel, out, first, func(i int) uint64 { return xxh3.Hash(data[offsets[i]:offsets[i+1]]) })
	default:
		foldNested(v, sel, out, first)
	}
}

type integer interface {
	~uint8 | ~int8 | ~int16 | ~int32 | ~int64
}

func foldIntegers[T integer](values []T, validity []byte, sel []int32, out []uint64, first bool) {
	if first && validity == nil && sel == nil { // ~1 ns a row
		values = values[:len(out)]
		for i, x := range values {
			out[i] = Mix(uint64(int64(x)) ^ seed)
		}
		return
	}
	if first {
		fill(out, seed)
	}
	values = values[:len(out)]
	switch {
	case sel == nil && validity == nil:
		for i, x := range values {
			out[i] = Mix(uint64(int64(x)) ^ out[i])
		}
	case sel == nil:
		for i, x := range values {
			out[i] = Mix(orNull(uint64(int64(x)), validity, i) ^ out[i])
		}
	case validity == nil:
		for _, i := range sel {
			out[i] = Mix(uint64(int64(values[i])) ^ out[i])
		}
	default:
		for _, i := range sel {
			out[i] = Mix(orNull(uint64(int64(values[i])), validity, int(i)) ^ out[i])
		}
	}
}

// orNull returns x, or nullWord where row i is null, without a branch.
func orNull(x uint64, validity []byte, i int) uint64 {
	valid := -uint64(validity[i>>3] >> (i & 7) & 1)
	return x&valid | nullWord&^valid
}

func foldFloats[T float32 | float64](values []T, validity []byte, sel []int32, out []uint64, first bool) {
	if first {
		fill(out, seed)
	}
	if sel != nil {
		for _, i := range sel {
			x := floatWord(float64(values[i]))
			if validity != nil {
				x = orNull(x, validity, int(i))
			}
			out[i] = Mix(x ^ out[i])
		}
		return
	}
	for i, value := range values[:len(out)] {
		x := floatWord(float64(value))
		if validity != nil {
			x = orNull(x, validity, i)
		}
		out[i] = Mix(x ^ out[i])
	}
}

// floatWord maps a float to bits that are equal for equal keys. FLOAT is widened first, so that it equals a DOUBLE of its value.
func floatWord(x float64) uint64 {
	if x != x {
		return 0x7FF8000000000001 // math.NaN's bits; any payload and sign
	}
	return math.Float64bits(x + 0) // -0.0 + 0 = +0.0
}

// foldWords is fold for values that word maps to 64 bits; it is called for rows that are selected and not null only.
func foldWords(v *core.Vector, sel []int32, out []uint64, first bool, word func(int) uint64) {
	if first {
		fill(out, seed)
	}
	nulls := v.HasNulls()
	one := func(i int) {
		x := uint64(nullWord)
		if !nulls || !v.Null(i) {
			x = word(i)
		}
		out[i] = Mix(x ^ out[i])
	}
	if sel == nil {
		for i := range out {
			one(i)
		}
		return
	}
	for _, i := range sel {
		one(int(i))
	}
}

var scratch = sync.Pool{New: func() any { return new([]uint64) }}

// foldNested hashes the children's elements first and then combines those of a row.
func foldNested(v *core.Vector, sel []int32, out []uint64, first bool) {
	held := make([]*[]uint64, 0, 2)
	hashesOf := func(children ...*core.Vector) []uint64 {
		p := scratch.Get().(*[]uint64)
		held = append(held, p)
		n := 0
		if len(children) > 0 {
			n = children[0].Len()
		}
		if cap(*p) < n {
			*p = make([]uint64, n)
		}
		Columns(children, n, nil, (*p)[:n])
		return (*p)[:n]
	}
	switch v.Type.Kind {
	case core.Array:
		elements, offsets := hashesOf(v.Child(0)), v.Offsets()
		foldWords(v, sel, out, first, func(i int) uint64 {
			h := uint64(listWord)
			for _, e := range elements[offsets[i]:offsets[i+1]] {
				h = Mix(h) ^ e
			}
			return h
		})
	case core.Map: // a sum, so that the order of entries does not matter
		entries, offsets := hashesOf(v.Child(0), v.Child(1)), v.Offsets()
		foldWords(v, sel, out, first, func(i int) uint64 {
			h := uint64(listWord)
			for _, e := range entries[offsets[i]:offsets[i+1]] {
				h += e
			}
			return h
		})
	case core.Row:
		children := make([]*core.Vector, len(v.Type.Elements))
		for i := range children {
			children[i] = v.Child(i)
		}
		fields := hashesOf(children...)
		foldWords(v, sel, out, first, func(i int) uint64 { return fields[i] })
	}
	for _, p := range held {
		scratch.Put(p)
	}
}
