package core

import (
	"fmt"
	"strings"
)

// Kind is the physical family of a Type.
type Kind uint8

// The kinds of values. The comment gives how a Vector stores one value.
const (
	Invalid       Kind = iota
	Boolean            // one byte, 0 or 1
	Int8               // int8 (TINYINT)
	Int16              // int16 (SMALLINT)
	Int32              // int32 (INT)
	Int64              // int64 (BIGINT)
	Float32            // float32 (FLOAT)
	Float64            // float64 (DOUBLE)
	Decimal            // decimal128.Num, 16 bytes
	String             // UTF-8 bytes behind int32 offsets
	Bytes              // bytes behind int32 offsets
	Date               // int32, days since 1970-01-01
	TimeOfDay          // int64, microseconds since midnight
	Timestamp          // int64, microseconds since 1970-01-01 00:00:00, no zone
	TimestampLTZ       // int64, microseconds since 1970-01-01T00:00:00Z
	IntervalDay        // int64, microseconds (INTERVAL DAY TO SECOND)
	IntervalMonth      // int32, months (INTERVAL YEAR TO MONTH)
	Array              // int32 offsets into one child
	Map                // int32 offsets into two children: keys and values
	Row                // one child a field, same length
	kindCount
)

// Type is the type of a column or of an expression. The zero Type is invalid. Types are values: compare with Equal.
type Type struct {
	Kind     Kind
	NotNull  bool
	Precise  uint8   // DECIMAL: digits (1..38); TIME, TIMESTAMP, TIMESTAMP_LTZ: fractional digits (0..6)
	Scale    uint8   // DECIMAL: digits behind the point
	Elements []Field // ARRAY: one ("element"); MAP: two ("key", "value"); ROW: its fields
}

// Field is a named, typed column of a Schema or member of a ROW.
type Field struct {
	Name string
	Type Type
}

// Of returns the nullable type of a kind without parameters (TIME and TIMESTAMP get their default precision).
func Of(k Kind) Type {
	t := Type{Kind: k}
	switch k {
	case Timestamp, TimestampLTZ:
		t.Precise = 6
	case Decimal:
		t.Precise = 10
	}
	return t
}

// DecimalOf returns DECIMAL(precision, scale).
func DecimalOf(precision, scale int) Type {
	return Type{Kind: Decimal, Precise: uint8(precision), Scale: uint8(scale)}
}

// ArrayOf returns ARRAY<element>.
func ArrayOf(element Type) Type {
	return Type{Kind: Array, Elements: []Field{{"element", element}}}
}

// MapOf returns MAP<key, value>.
func MapOf(key, value Type) Type {
	return Type{Kind: Map, Elements: []Field{{"key", key}, {"value", value}}}
}

// RowOf returns ROW<fields...>.
func RowOf(fields ...Field) Type { return Type{Kind: Row, Elements: fields} }

// Required returns t declared NOT NULL.
func (t Type) Required() Type { t.NotNull = true; return t }

// Optional returns t without NOT NULL.
func (t Type) Optional() Type { t.NotNull = false; return t }

// Equal reports whether both are the same type, nullability included.
func (t Type) Equal(o Type) bool { return t.NotNull == o.NotNull && t.Same(o) }

// Same reports whether both are the same type apart from their own nullability.
func (t Type) Same(o Type) bool {
	if t.Kind != o.Kind || t.Precise != o.Precise || t.Scale != o.Scale || len(t.Elements) != len(o.Elements) {
		return false
	}
	for i := range t.Elements {
		if t.Elements[i].Name != o.Elements[i].Name || !t.Elements[i].Type.Equal(o.Elements[i].Type) {
			return false
		}
	}
	return true
}

// Width returns the bytes of one value in Vector.Data, 0 where values are behind offsets or in children.
func (k Kind) Width() int { return int(kindWidth[k]) }

var kindWidth = [kindCount]uint8{
	Boolean: 1, Int8: 1, Int16: 2, Int32: 4, Int64: 8, Float32: 4, Float64: 8, Decimal: 16,
	Date: 4, TimeOfDay: 8, Timestamp: 8, TimestampLTZ: 8, IntervalDay: 8, IntervalMonth: 4,
}

// HasOffsets reports whether values of the kind stand behind int32 offsets.
func (k Kind) HasOffsets() bool { return k == String || k == Bytes || k == Array || k == Map }

// IsInteger reports whether the kind is one of the four integers.
func (k Kind) IsInteger() bool { return k >= Int8 && k <= Int64 }

// IsNumeric reports whether the kind takes part in arithmetic: integers, floats, DECIMAL.
func (k Kind) IsNumeric() bool { return k >= Int8 && k <= Decimal }

// IsNested reports whether the kind is ARRAY, MAP or ROW.
func (k Kind) IsNested() bool { return k >= Array && k <= Row }

// IsTime reports whether the kind can carry event time.
func (k Kind) IsTime() bool { return k == Timestamp || k == TimestampLTZ }

var kindName = [kindCount]string{
	"INVALID", "BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "STRING", "BYTES", "DATE", "TIME",
	"TIMESTAMP", "TIMESTAMP_LTZ", "INTERVAL DAY TO SECOND", "INTERVAL YEAR TO MONTH", "ARRAY", "MAP", "ROW",
}

// String returns the SQL name of the kind without parameters.
func (k Kind) String() string {
	if k >= kindCount {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindName[k]
}

// String renders t as ParseType reads it: DECIMAL(10, 2), ARRAY<INT NOT NULL>, TIMESTAMP(3) NOT NULL.
func (t Type) String() string {
	var b strings.Builder
	b.WriteString(t.Kind.String())
	switch t.Kind {
	case Decimal:
		fmt.Fprintf(&b, "(%d, %d)", t.Precise, t.Scale)
	case TimeOfDay, Timestamp, TimestampLTZ:
		fmt.Fprintf(&b, "(%d)", t.Precise)
	case Array, Map, Row:
		b.WriteByte('<')
		for i, e := range t.Elements {
			if i > 0 {
				b.WriteString(", ")
			}
			if t.Kind == Row {
				b.WriteString(QuoteName(e.Name))
				b.WriteByte(' ')
			}
			b.WriteString(e.Type.String())
		}
		b.WriteByte('>')
	}
	if t.NotNull {
		b.WriteString(" NOT NULL")
	}
	return b.String()
}

// QuoteName returns name as an SQL identifier: as it is when plain, else between backticks.
func QuoteName(name string) string {
	for i, c := range name {
		if c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9' {
			continue
		}
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	if name == "" {
		return "``"
	}
	return name
}
