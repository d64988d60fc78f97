package core

import (
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// appendArrowTimes is AppendArrow for dates, times and nested types.
func (v *Vector) appendArrowTimes(a arrow.Array) error {
	k := v.Type.Kind
	switch a := a.(type) {
	case *array.Date32:
		if k == Date {
			return appendPlain(v, a, a.Date32Values())
		}
	case *array.Date64:
		if k == Date {
			return appendEach(v, a, func(i int) error {
				days := int64(a.Value(i)) / 86_400_000
				if days*86_400_000 != int64(a.Value(i)) || days != int64(int32(days)) {
					return fmt.Errorf("%d milliseconds are no whole day of a DATE", a.Value(i))
				}
				v.AppendInt32(int32(days))
				return nil
			})
		}
	case *array.MonthInterval:
		if k == IntervalMonth {
			return appendPlain(v, a, a.MonthIntervalValues())
		}
	case *array.Time32:
		if k == TimeOfDay {
			return v.appendMicros(a, a.DataType().(*arrow.Time32Type).Unit, func(i int) int64 { return int64(a.Value(i)) })
		}
	case *array.Time64:
		if k == TimeOfDay {
			return v.appendMicros(a, a.DataType().(*arrow.Time64Type).Unit, func(i int) int64 { return int64(a.Value(i)) })
		}
	case *array.Timestamp:
		if k.IsTime() {
			if unit := a.DataType().(*arrow.TimestampType).Unit; unit != arrow.Microsecond || v.Type.Precise < 6 {
				return v.appendMicros(a, unit, func(i int) int64 { return int64(a.Value(i)) })
			}
			return appendPlain(v, a, a.TimestampValues())
		}
	case *array.Duration:
		if k == IntervalDay {
			return v.appendMicros(a, a.DataType().(*arrow.DurationType).Unit, func(i int) int64 { return int64(a.Value(i)) })
		}
	case *array.Map:
		if k == Map {
			return v.appendArrowMap(a)
		}
	case array.ListLike:
		if k == Array {
			return v.appendArrowList(a)
		}
	case *array.Struct:
		if k == Row {
			return v.appendArrowStruct(a)
		}
	}
	return v.refuseArrow(a)
}

// appendMicros appends times of a unit as microseconds, cut to the type's precision.
func (v *Vector) appendMicros(a arrow.Array, unit arrow.TimeUnit, value func(int) int64) error {
	precision := v.Type.Precise
	if v.Type.Kind == IntervalDay {
		precision = 6
	}
	factor := int64(1)
	switch unit {
	case arrow.Second:
		factor = 1_000_000
	case arrow.Millisecond:
		factor = 1_000
	}
	return appendEach(v, a, func(i int) error {
		x := value(i)
		if unit == arrow.Nanosecond {
			us := x / 1000
			if x%1000 < 0 {
				us-- // toward the past
			}
			if v.Type.Kind == IntervalDay && us*1000 != x {
				return fmt.Errorf("an interval of %d nanoseconds does not fit microseconds", x)
			}
			x = us
		} else if x > math.MaxInt64/factor || x < math.MinInt64/factor {
			return fmt.Errorf("%d %s are beyond what %s holds", x, unit, v.Type.Optional())
		} else {
			x *= factor
		}
		if v.Type.Kind == TimeOfDay && (x < 0 || x >= microsPerDay) {
			return fmt.Errorf("%d microseconds are no time of the day", x)
		}
		v.AppendInt64(TruncateFraction(x, precision))
		return nil
	})
}

// appendSpan appends rows [from, to) of an Arrow array.
func (v *Vector) appendSpan(a arrow.Array, from, to int64) error {
	part := array.NewSlice(a, from, to)
	defer part.Release()
	return v.AppendArrow(part)
}

func (v *Vector) appendArrowList(a array.ListLike) error {
	if a.Len() == 0 {
		return nil
	}
	// The elements of all rows stand in a row, unless nulls have some between: then row by row.
	if a.NullN() == 0 {
		from, _ := a.ValueOffsets(0)
		_, to := a.ValueOffsets(a.Len() - 1)
		for i, at := 0, from; i < a.Len(); i++ {
			start, end := a.ValueOffsets(i)
			if start != at || end < start || end > int64(a.ListValues().Len()) {
				return errors.New(badOffsets)
			}
			at = end
		}
		base := int64(v.children[0].n) - from
		if err := v.children[0].appendSpan(a.ListValues(), from, to); err != nil {
			return err
		}
		for i := range a.Len() {
			_, end := a.ValueOffsets(i)
			v.endOffset(int(base + end))
		}
		return nil
	}
	return appendEach(v, a, func(i int) error {
		from, to := a.ValueOffsets(i)
		if err := v.children[0].appendSpan(a.ListValues(), from, to); err != nil {
			return err
		}
		v.EndElement()
		return nil
	})
}

func (v *Vector) appendArrowMap(a *array.Map) error {
	return appendEach(v, a, func(i int) error {
		from, to := a.ValueOffsets(i)
		if err := v.children[0].appendSpan(a.Keys(), from, to); err != nil {
			return err
		}
		if err := v.children[1].appendSpan(a.Items(), from, to); err != nil {
			return err
		}
		v.EndElement()
		return nil
	})
}

func (v *Vector) appendArrowStruct(a *array.Struct) error {
	dt := a.DataType().(*arrow.StructType)
	for c, e := range v.Type.Elements {
		child := v.children[c]
		i, ok := dt.FieldIdx(e.Name)
		if !ok {
			if e.Type.NotNull {
				return fmt.Errorf("field %s is missing, but it is NOT NULL", QuoteName(e.Name))
			}
			child.AppendNulls(a.Len())
			continue
		}
		if err := child.appendStructField(a, a.Field(i)); err != nil {
			return fmt.Errorf("field %s: %w", QuoteName(e.Name), err)
		}
	}
	start := v.n
	for range a.Len() {
		v.EndElement()
	}
	if a.NullN() > 0 {
		for i := range a.Len() {
			if a.IsNull(i) {
				v.SetNull(start + i)
			}
		}
	}
	return nil
}

// appendStructField appends a field's values; under a null ROW a null of a NOT NULL field is no mistake.
func (v *Vector) appendStructField(parent *array.Struct, a arrow.Array) error {
	if parent.NullN() == 0 || !v.Type.NotNull || a.NullN() == 0 {
		return v.AppendArrow(a)
	}
	for i := range a.Len() {
		if parent.IsNull(i) {
			v.AppendNull()
		} else if err := v.appendSpan(a, int64(i), int64(i+1)); err != nil {
			return err
		}
	}
	return nil
}
