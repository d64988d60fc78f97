package core

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

// TimeStyle says how JSON writes TIMESTAMP and TIMESTAMP_LTZ.
type TimeStyle uint8

// The time styles. All but EpochMillis keep microseconds.
const (
	TimeSQL         TimeStyle = iota // "2013-01-01 00:00:36.123", LTZ with a Z at the end
	TimeISO                          // "2013-01-01T00:00:36.123", LTZ with a Z at the end
	TimeEpochMillis                  // 1356998436123
)

// AppendJSON appends a row as JSON: numbers plain (NaN and the infinities as strings), DECIMAL with all its digits, BYTES as
// base64, times as text in SQL form, ROW and MAP as objects (a MAP's keys as text), ARRAY as an array, null as null.
func (v *Vector) AppendJSON(dst []byte, row int) []byte { return v.AppendJSONTimes(dst, row, TimeSQL) }

// AppendJSONTimes is AppendJSON with a choice of how times are written.
func (v *Vector) AppendJSONTimes(dst []byte, row int, times TimeStyle) []byte {
	if v.Null(row) {
		return append(dst, "null"...)
	}
	switch v.Type.Kind {
	case Boolean:
		return strconv.AppendBool(dst, v.Bools()[row] != 0)
	case Int8, Int16, Int32, Int64, Decimal:
		return v.AppendText(dst, row)
	case Float32:
		return appendJSONFloat(dst, float64(v.Float32s()[row]), 32)
	case Float64:
		return appendJSONFloat(dst, v.Float64s()[row], 64)
	case String:
		return AppendJSONString(dst, v.BytesAt(row))
	case Bytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.BytesAt(row)), '"')
	case Timestamp, TimestampLTZ:
		us := v.Int64s()[row]
		if times == TimeEpochMillis {
			return strconv.AppendInt(dst, TruncateFraction(us, 3)/1000, 10)
		}
		separator := byte(' ')
		if times == TimeISO {
			separator = 'T'
		}
		dst = appendTimestamp(append(dst, '"'), us, int(v.Type.Precise), separator)
		if v.Type.Kind == TimestampLTZ {
			dst = append(dst, 'Z')
		}
		return append(dst, '"')
	case Date, TimeOfDay, IntervalDay, IntervalMonth:
		return append(v.AppendText(append(dst, '"'), row), '"')
	}
	return v.appendNestedJSON(dst, row, times)
}

func appendJSONFloat(dst []byte, f float64, size int) []byte {
	if f-f != 0 { // NaN and infinities
		return append(AppendDouble(append(dst, '"'), f, size), '"')
	}
	return AppendDouble(dst, f, size)
}

func (v *Vector) appendNestedJSON(dst []byte, row int, times TimeStyle) []byte {
	switch v.Type.Kind {
	case Array:
		o := v.Offsets()
		dst = append(dst, '[')
		for i := o[row]; i < o[row+1]; i++ {
			if i > o[row] {
				dst = append(dst, ',')
			}
			dst = v.children[0].AppendJSONTimes(dst, int(i), times)
		}
		return append(dst, ']')
	case Map:
		o := v.Offsets()
		dst = append(dst, '{')
		for i := o[row]; i < o[row+1]; i++ {
			if i > o[row] {
				dst = append(dst, ',')
			}
			dst = append(v.children[0].appendJSONKey(dst, int(i), times), ':')
			dst = v.children[1].AppendJSONTimes(dst, int(i), times)
		}
		return append(dst, '}')
	case Row:
		dst = append(dst, '{')
		for i, c := range v.children {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendJSONString(dst, []byte(v.Type.Elements[i].Name)), ':')
			dst = c.AppendJSONTimes(dst, row, times)
		}
		return append(dst, '}')
	}
	return dst
}

// appendJSONKey appends a MAP's key, which is always a string.
func (v *Vector) appendJSONKey(dst []byte, row int, times TimeStyle) []byte {
	start := len(dst)
	dst = append(dst, '"')
	if dst = v.AppendJSONTimes(dst, row, times); dst[start+1] == '"' { // a string already
		return append(dst[:start], dst[start+1:]...)
	}
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// jsonPlain has true for the bytes that stand in a JSON string as they are, whatever surrounds them.
var jsonPlain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// AppendJSONString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if jsonPlain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		dst = append(append(dst, s[start:i]...), '\\')
		switch c {
		case '"', '\\':
			dst = append(dst, c)
		case '\n':
			dst = append(dst, 'n')
		case '\r':
			dst = append(dst, 'r')
		case '\t':
			dst = append(dst, 't')
		default:
			dst = append(dst, 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
