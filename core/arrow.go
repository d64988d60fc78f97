package core

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
)

// arrowTypeKey is the field metadata that keeps what Arrow's types do not have, such as the precision of TIMESTAMP(3).
const arrowTypeKey = "turbo:type"

// ArrowType returns the Arrow type that values of t have at an edge. Apart from BOOLEAN it has the same layout as Vector's.
func ArrowType(t Type) arrow.DataType {
	switch t.Kind {
	case Boolean:
		return arrow.FixedWidthTypes.Boolean
	case Int8:
		return arrow.PrimitiveTypes.Int8
	case Int16:
		return arrow.PrimitiveTypes.Int16
	case Int32:
		return arrow.PrimitiveTypes.Int32
	case Int64:
		return arrow.PrimitiveTypes.Int64
	case Float32:
		return arrow.PrimitiveTypes.Float32
	case Float64:
		return arrow.PrimitiveTypes.Float64
	case Decimal:
		return &arrow.Decimal128Type{Precision: int32(t.Precise), Scale: int32(t.Scale)}
	case String:
		return arrow.BinaryTypes.String
	case Bytes:
		return arrow.BinaryTypes.Binary
	case Date:
		return arrow.FixedWidthTypes.Date32
	case TimeOfDay:
		return arrow.FixedWidthTypes.Time64us
	case Timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case TimestampLTZ:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case IntervalDay:
		return arrow.FixedWidthTypes.Duration_us
	case IntervalMonth:
		return arrow.FixedWidthTypes.MonthInterval
	case Array:
		return arrow.ListOfField(ArrowField(t.Elements[0]))
	case Map:
		m := arrow.MapOf(ArrowType(t.Elements[0].Type), ArrowType(t.Elements[1].Type)) // keys are never null, by Arrow's rule
		m.SetItemNullable(!t.Elements[1].Type.NotNull)
		return m
	case Row:
		fields := make([]arrow.Field, len(t.Elements))
		for i, e := range t.Elements {
			fields[i] = ArrowField(e)
		}
		return arrow.StructOf(fields...)
	}
	return arrow.Null
}

// ArrowField returns f as an Arrow field; its metadata keep the exact type.
func ArrowField(f Field) arrow.Field {
	return arrow.Field{Name: f.Name, Type: ArrowType(f.Type), Nullable: !f.Type.NotNull,
		Metadata: arrow.NewMetadata([]string{arrowTypeKey}, []string{f.Type.String()})}
}

// ArrowSchema returns the columns of s as an Arrow schema.
func ArrowSchema(s *Schema) *arrow.Schema {
	fields := make([]arrow.Field, len(s.Fields))
	for i, f := range s.Fields {
		fields[i] = ArrowField(f)
	}
	return arrow.NewSchema(fields, nil)
}

// SchemaOfArrow returns the columns of an Arrow schema, from turbo or from elsewhere. A column whose type has no
// counterpart is an error that names it.
func SchemaOfArrow(s *arrow.Schema) (*Schema, error) {
	out := NewSchema()
	for _, f := range s.Fields() {
		t, err := TypeOfArrowField(f)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", QuoteName(f.Name), err)
		}
		out.Fields = append(out.Fields, Field{f.Name, t})
	}
	return out, nil
}

// TypeOfArrowField returns the type of an Arrow field: the exact one when turbo wrote it, else the narrowest that holds
// every value of the Arrow type (up to microseconds).
func TypeOfArrowField(f arrow.Field) (Type, error) {
	if text, ok := f.Metadata.GetValue(arrowTypeKey); ok {
		if t, err := ParseType(text); err == nil && CheckArrow(f.Type, t) == nil {
			t.NotNull = !f.Nullable
			return t, nil
		}
	}
	t, err := typeOfArrow(f.Type)
	t.NotNull = !f.Nullable && err == nil
	return t, err
}

var simpleArrowTypes = map[arrow.Type]Kind{
	arrow.NULL: String, arrow.BOOL: Boolean, arrow.INT8: Int8, arrow.INT16: Int16, arrow.INT32: Int32, arrow.INT64: Int64,
	arrow.UINT8: Int16, arrow.UINT16: Int32, arrow.UINT32: Int64, arrow.FLOAT16: Float32, arrow.FLOAT32: Float32, arrow.FLOAT64: Float64,
	arrow.STRING: String, arrow.LARGE_STRING: String, arrow.BINARY: Bytes, arrow.LARGE_BINARY: Bytes, arrow.FIXED_SIZE_BINARY: Bytes,
	arrow.DATE32: Date, arrow.DATE64: Date, arrow.DURATION: IntervalDay, arrow.INTERVAL_MONTHS: IntervalMonth,
}

// fractionDigits returns the digits behind the second's point that a unit has, up to six.
func fractionDigits(u arrow.TimeUnit) uint8 { return [...]uint8{0, 3, 6, 6}[u] }

func typeOfArrow(dt arrow.DataType) (Type, error) {
	if k, ok := simpleArrowTypes[dt.ID()]; ok {
		return Of(k), nil
	}
	switch dt := dt.(type) {
	case *arrow.Uint64Type:
		return DecimalOf(20, 0), nil
	case *arrow.Decimal128Type:
		if dt.Scale < 0 || dt.Scale > dt.Precision || dt.Precision > 38 {
			return Type{}, fmt.Errorf("%s: a DECIMAL has 1 to 38 digits and a scale from 0 to those", dt)
		}
		return DecimalOf(int(dt.Precision), int(dt.Scale)), nil
	case *arrow.Time32Type:
		return Type{Kind: TimeOfDay, Precise: fractionDigits(dt.Unit)}, nil
	case *arrow.Time64Type:
		return Type{Kind: TimeOfDay, Precise: fractionDigits(dt.Unit)}, nil
	case *arrow.TimestampType:
		k := Timestamp
		if dt.TimeZone != "" {
			k = TimestampLTZ
		}
		return Type{Kind: k, Precise: fractionDigits(dt.Unit)}, nil
	case *arrow.DictionaryType:
		return typeOfArrow(dt.ValueType)
	case *arrow.MapType:
		key, err := TypeOfArrowField(dt.KeyField())
		if err != nil {
			return Type{}, err
		}
		value, err := TypeOfArrowField(dt.ItemField())
		if err == nil && key.Kind.IsNested() {
			err = fmt.Errorf("%s: a MAP's key cannot be nested", dt)
		}
		return MapOf(key, value), err
	case arrow.ListLikeType:
		e, err := TypeOfArrowField(dt.ElemField())
		return ArrayOf(e), err
	case *arrow.StructType:
		if dt.NumFields() == 0 {
			return Type{}, fmt.Errorf("%s: a ROW has at least one field", dt)
		}
		var fields []Field
		for _, f := range dt.Fields() {
			t, err := TypeOfArrowField(f)
			if err != nil {
				return Type{}, fmt.Errorf("field %s: %w", QuoteName(f.Name), err)
			}
			fields = append(fields, Field{f.Name, t})
		}
		return RowOf(fields...), nil
	}
	return Type{}, fmt.Errorf("the Arrow type %s has no counterpart", dt)
}

// CheckArrow reports why AppendArrow cannot read values of an Arrow type as t, or nil. What it lets pass is
// exact for every value that AppendArrow does not refuse by itself: integers change width, times become microseconds (cut to
// t's precision), FLOAT becomes DOUBLE, DECIMAL gets more digits, text becomes bytes, and bytes that are UTF-8 text.
func CheckArrow(dt arrow.DataType, t Type) error {
	id := dt.ID()
	ok := false
	switch t.Kind {
	case Boolean:
		ok = id == arrow.BOOL
	case Int8, Int16, Int32, Int64:
		ok = arrow.IsInteger(id)
	case Float32:
		ok = id == arrow.FLOAT16 || id == arrow.FLOAT32 || id == arrow.INT8 || id == arrow.INT16 || id == arrow.UINT8 || id == arrow.UINT16
	case Float64:
		ok = arrow.IsFloating(id) || arrow.IsInteger(id) && id != arrow.INT64 && id != arrow.UINT64
	case Decimal:
		d, isDecimal := dt.(*arrow.Decimal128Type)
		ok = arrow.IsInteger(id) || isDecimal && d.Scale >= 0 && d.Scale <= int32(t.Scale)
	case String, Bytes:
		ok = id == arrow.STRING || id == arrow.LARGE_STRING || id == arrow.BINARY || id == arrow.LARGE_BINARY || id == arrow.FIXED_SIZE_BINARY
	case Date:
		ok = id == arrow.DATE32 || id == arrow.DATE64
	case TimeOfDay:
		ok = id == arrow.TIME32 || id == arrow.TIME64
	case Timestamp, TimestampLTZ:
		ok = id == arrow.TIMESTAMP
	case IntervalDay:
		ok = id == arrow.DURATION
	case IntervalMonth:
		ok = id == arrow.INTERVAL_MONTHS
	}
	if ok || id == arrow.NULL && !t.NotNull {
		return nil
	}
	switch dt := dt.(type) {
	case *arrow.DictionaryType:
		return CheckArrow(dt.ValueType, t)
	case *arrow.MapType:
		if t.Kind == Map {
			if err := CheckArrow(dt.KeyType(), t.Elements[0].Type); err != nil {
				return err
			}
			return CheckArrow(dt.ItemType(), t.Elements[1].Type)
		}
	case arrow.ListLikeType:
		if t.Kind == Array {
			return CheckArrow(dt.Elem(), t.Elements[0].Type)
		}
	case *arrow.StructType:
		if t.Kind == Row {
			return checkArrowFields(dt, t)
		}
	}
	return fmt.Errorf("the Arrow type %s cannot be read as %s without loss", dt, t.Optional())
}

func checkArrowFields(dt *arrow.StructType, t Type) error {
	for _, e := range t.Elements {
		f, ok := dt.FieldByName(e.Name)
		if !ok {
			if e.Type.NotNull {
				return fmt.Errorf("field %s is missing, but it is NOT NULL", QuoteName(e.Name))
			}
			continue
		}
		if err := CheckArrow(f.Type, e.Type); err != nil {
			return fmt.Errorf("field %s: %w", QuoteName(e.Name), err)
		}
	}
	return nil
}
