package expr

import (
	"math/big"
	"strconv"
	"strings"

	"turbo/core"
)

// literal compiles a constant: 1 is INT (BIGINT when too large), 1.5 is DECIMAL(2, 1), 1e3 is DOUBLE.
func (b *binder) literal(n *Literal) (op, error) {
	switch n.Kind {
	case LiteralNull:
		return nullOp(core.Type{}), nil
	case LiteralBool:
		return boolConst(n.Text == "TRUE"), nil
	case LiteralString:
		return bytesConst(core.String, n.Text), nil
	case LiteralBinary:
		return bytesConst(core.Bytes, n.Text), nil
	case LiteralDate:
		days, err := parseDate([]byte(n.Text))
		if err != nil {
			return nil, b.errorf(n, "%v", err)
		}
		return fixedConst(core.Of(core.Date), days), nil
	case LiteralTime:
		us, digits, err := parseTime([]byte(n.Text))
		if err != nil {
			return nil, b.errorf(n, "%v", err)
		}
		return fixedConst(core.Type{Kind: core.TimeOfDay, Precise: uint8(digits)}, us), nil
	case LiteralTimestamp:
		us, digits, err := parseTimestamp([]byte(n.Text))
		if err != nil {
			return nil, b.errorf(n, "%v", err)
		}
		return fixedConst(core.Type{Kind: core.Timestamp, Precise: uint8(digits)}, us), nil
	}
	return b.number(n)
}

func (b *binder) number(n *Literal) (op, error) {
	if strings.ContainsAny(n.Text, "eE") {
		f, err := strconv.ParseFloat(n.Text, 64)
		if err != nil {
			return nil, b.errorf(n, "%s is out of the range of DOUBLE", n.Text)
		}
		return fixedConst(core.Of(core.Float64), f), nil
	}
	if !strings.Contains(n.Text, ".") {
		if i, err := strconv.ParseInt(n.Text, 10, 64); err == nil {
			if i == int64(int32(i)) {
				return fixedConst(core.Of(core.Int32), int32(i)), nil
			}
			return fixedConst(core.Of(core.Int64), i), nil
		}
	}
	digits := strings.TrimPrefix(n.Text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	whole = strings.TrimLeft(whole, "0")
	precision := max(len(whole)+len(fraction), 1)
	if precision > maxPrecision {
		return nil, b.errorf(n, "%s has more than %d digits: write it as a DOUBLE, such as 1e40", shorten(n.Text, 60), maxPrecision)
	}
	value, ok := new(big.Int).SetString(strings.Replace(n.Text, ".", "", 1), 10)
	if !ok {
		return nil, b.errorf(n, "%s is no number", n.Text)
	}
	d, _ := decimalFromBig(value, maxPrecision)
	return fixedConst(core.DecimalOf(precision, len(fraction)), d), nil
}

const (
	usSecond = int64(1000000)
	usMinute = 60 * usSecond
	usHour   = 60 * usMinute
	usDay    = 24 * usHour
)

// dayUnits gives the units of INTERVAL DAY TO SECOND in microseconds.
var dayUnits = map[string]int64{"WEEK": 7 * usDay, "DAY": usDay, "HOUR": usHour, "MINUTE": usMinute, "SECOND": usSecond}

// monthUnits gives the units of INTERVAL YEAR TO MONTH in months.
var monthUnits = map[string]int64{"YEAR": 12, "QUARTER": 3, "MONTH": 1}

func (b *binder) interval(n *Interval) (op, error) {
	last := n.ToUnit
	if last == "" {
		last = n.Unit
	}
	bad := func(form string) error {
		return b.errorf(n, "%s is no interval: expected %s", n, form)
	}
	if monthUnits[n.Unit] > 0 {
		if monthUnits[last] == 0 || n.ToUnit != "" && (n.Unit != "YEAR" || last != "MONTH") {
			return nil, b.errorf(n, "an interval goes from %s to no %s: YEAR TO MONTH is possible", n.Unit, n.ToUnit)
		}
		months, ok := parseUnits(n.Text, n.Unit, last)
		if !ok {
			return nil, bad("INTERVAL '1' YEAR, INTERVAL '1-2' YEAR TO MONTH")
		}
		if n.Negative {
			months = -months
		}
		if months != int64(int32(months)) {
			return nil, b.errorf(n, "%s is too long", n)
		}
		return fixedConst(core.Of(core.IntervalMonth), int32(months)), nil
	}
	if dayUnits[last] == 0 || dayUnits[last] > dayUnits[n.Unit] || n.ToUnit != "" && n.Unit == "WEEK" {
		return nil, b.errorf(n, "an interval goes from %s to no %s: DAY TO SECOND is possible", n.Unit, n.ToUnit)
	}
	us, ok := parseUnits(n.Text, n.Unit, last)
	if !ok {
		return nil, bad("INTERVAL '1' DAY, INTERVAL '1 02:03:04.5' DAY TO SECOND")
	}
	if n.Negative {
		us = -us
	}
	return fixedConst(core.Of(core.IntervalDay), us), nil
}

// parseUnits reads the text of an interval from unit first to unit last, in months or microseconds.
func parseUnits(text, first, last string) (int64, bool) {
	text = strings.TrimSpace(text)
	negative := strings.HasPrefix(text, "-")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "-"), "+")
	var total int64
	unit := first
	for {
		size := dayUnits[unit]
		if size == 0 {
			size = monthUnits[unit]
		}
		end := 0
		for end < len(text) && isDigit(text[end]) {
			end++
		}
		v, err := strconv.ParseInt(text[:end], 10, 64)
		if err != nil || v > (1<<62)/size || total > 1<<62 {
			return 0, false
		}
		total += v * size
		text = text[end:]
		if unit == last {
			break
		}
		next := map[string]string{"YEAR": "MONTH", "DAY": "HOUR", "HOUR": "MINUTE", "MINUTE": "SECOND"}[unit]
		separator := map[string]string{"MONTH": "-", "HOUR": " ", "MINUTE": ":", "SECOND": ":"}[next]
		rest, ok := strings.CutPrefix(text, separator)
		if !ok {
			return 0, false
		}
		text, unit = strings.TrimLeft(rest, " "), next
	}
	if unit == "SECOND" && strings.HasPrefix(text, ".") {
		fraction := text[1:]
		if len(fraction) == 0 || len(fraction) > 9 || !allDigits(fraction) {
			return 0, false
		}
		us, _ := strconv.ParseInt((fraction + "000000")[:6], 10, 64)
		total, text = total+us, ""
	}
	if negative {
		total = -total
	}
	return total, text == ""
}
