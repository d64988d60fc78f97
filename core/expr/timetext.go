package expr

import (
	"bytes"
	"math"
)

// appendPadded writes v with at least width digits.
func appendPadded(dst []byte, v int64, width int) []byte {
	if v < 0 {
		dst = append(dst, '-')
		v = -v
	}
	for range max(width-digitsOf(v), 0) {
		dst = append(dst, '0')
	}
	return appendInt(dst, v)
}

func digitsOf(v int64) int {
	n := 1
	for v >= 10 {
		v /= 10
		n++
	}
	return n
}

func append2(dst []byte, v int) []byte { return append(dst, byte('0'+v/10), byte('0'+v%10)) }

func append4(dst []byte, v int64) []byte {
	if v < 0 || v > 9999 {
		return appendPadded(dst, v, 4)
	}
	return append(dst, byte('0'+v/1000), byte('0'+v/100%10), byte('0'+v/10%10), byte('0'+v%10))
}

func appendDate(dst []byte, days int64) []byte {
	y, m, d := civil(days)
	dst = append4(dst, y)
	dst = append2(append(dst, '-'), m)
	return append2(append(dst, '-'), d)
}

// appendClock writes HH:mm:ss and digits of the fraction.
func appendClock(dst []byte, us int64, digits int) []byte {
	dst = append2(dst, int(us/usHour))
	dst = append2(append(dst, ':'), int(us/usMinute%60))
	dst = append2(append(dst, ':'), int(us/usSecond%60))
	return appendFraction(dst, us%usSecond, digits)
}

func appendFraction(dst []byte, us int64, digits int) []byte {
	if digits <= 0 {
		return dst
	}
	dst = append(dst, '.')
	for unit := usSecond / 10; digits > 0 && unit > 0; digits-- {
		dst = append(dst, byte('0'+us/unit%10))
		unit /= 10
	}
	return dst
}

func appendTimestamp(dst []byte, us int64, digits int) []byte {
	day := floorDiv(us, usDay)
	dst = append(appendDate(dst, day), ' ')
	return appendClock(dst, us-day*usDay, digits)
}

// appendDayInterval writes +D HH:mm:ss.SSS.
func appendDayInterval(dst []byte, us int64) []byte {
	sign := byte('+')
	u := uint64(us)
	if us < 0 {
		sign, u = '-', -u
	}
	dst = append(dst, sign)
	dst = appendInt(dst, int64(u/uint64(usDay)))
	rest := int64(u % uint64(usDay))
	digits := 3
	if rest%1000 != 0 {
		digits = 6
	}
	return appendClock(append(dst, ' '), rest, digits)
}

// appendMonthInterval writes +Y-MM.
func appendMonthInterval(dst []byte, months int64) []byte {
	if months < 0 {
		dst, months = append(dst, '-'), -months
	} else {
		dst = append(dst, '+')
	}
	dst = appendInt(dst, months/12)
	return append2(append(dst, '-'), int(months%12))
}

// noOffset says that a text has no zone.
const noOffset = math.MinInt64

// digits reads between low and high digits at the start of s.
func digits(s []byte, low, high int) (value int64, rest []byte, ok bool) {
	n := 0
	for n < len(s) && n < high && isDigit(s[n]) {
		value = value*10 + int64(s[n]-'0')
		n++
	}
	return value, s[n:], n >= low
}

func parseDateParts(s []byte) (days int64, rest []byte, ok bool) {
	y, s, ok1 := digits(s, 4, 4)
	if !ok1 || len(s) == 0 || s[0] != '-' {
		return 0, s, false
	}
	m, s, ok2 := digits(s[1:], 1, 2)
	if !ok2 || len(s) == 0 || s[0] != '-' {
		return 0, s, false
	}
	d, s, ok3 := digits(s[1:], 1, 2)
	if !ok3 || m < 1 || m > 12 || d < 1 || d > int64(daysIn(y, int(m))) {
		return 0, s, false
	}
	return daysOf(y, int(m), int(d)), s, true
}

// parseDate reads yyyy-MM-dd.
func parseDate(s []byte) (int32, error) {
	days, rest, ok := parseDateParts(s)
	if !ok || len(rest) > 0 {
		return 0, causef(ErrCast, "%s is no date: expected yyyy-MM-dd", quote(shorten(string(s), 40)))
	}
	return int32(days), nil
}

// parseClock reads HH:mm[:ss[.fraction]] at the start of s.
func parseClock(s []byte) (us int64, precision int, rest []byte, ok bool) {
	h, s, ok1 := digits(s, 1, 2)
	if !ok1 || len(s) == 0 || s[0] != ':' {
		return 0, 0, s, false
	}
	m, s, ok2 := digits(s[1:], 2, 2)
	if !ok2 || h > 23 || m > 59 {
		return 0, 0, s, false
	}
	us = h*usHour + m*usMinute
	if len(s) == 0 || s[0] != ':' {
		return us, 0, s, true
	}
	sec, s, ok3 := digits(s[1:], 2, 2)
	if !ok3 || sec > 59 {
		return 0, 0, s, false
	}
	us += sec * usSecond
	if len(s) == 0 || s[0] != '.' {
		return us, 0, s, true
	}
	s = s[1:]
	unit := usSecond / 10
	for len(s) > 0 && isDigit(s[0]) {
		us += int64(s[0]-'0') * unit
		unit /= 10
		precision++
		s = s[1:]
	}
	return us, min(precision, 6), s, precision > 0 && precision <= 9
}

// parseTime reads HH:mm:ss[.fraction].
func parseTime(s []byte) (us int64, precision int, err error) {
	us, precision, rest, ok := parseClock(s)
	if !ok || len(rest) > 0 {
		return 0, 0, causef(ErrCast, "%s is no time: expected HH:mm:ss[.fraction]", quote(shorten(string(s), 40)))
	}
	return us, precision, nil
}

// parseTimestamp reads yyyy-MM-dd[ HH:mm:ss[.fraction]].
func parseTimestamp(s []byte) (us int64, precision int, err error) {
	us, offset, precision, err := parseInstant(s)
	if err == nil && offset != noOffset {
		err = causef(ErrCast, "%s has a zone, and a TIMESTAMP has none", quote(shorten(string(s), 40)))
	}
	return us, precision, err
}

// parseInstant reads yyyy-MM-dd[( |T)HH:mm[:ss[.fraction]][Z|+hh:mm|-hh:mm]]. offset is that of the zone in microseconds, or noOffset.
func parseInstant(s []byte) (us, offset int64, precision int, err error) {
	days, rest, ok := parseDateParts(s)
	us, offset = days*usDay, noOffset
	if ok && len(rest) > 0 && (rest[0] == ' ' || rest[0] == 'T') {
		var clock int64
		clock, precision, rest, ok = parseClock(rest[1:])
		us += clock
		if ok && len(rest) > 0 {
			offset, rest, ok = parseOffset(bytes.TrimLeft(rest, " "))
		}
	}
	if !ok || len(rest) > 0 {
		return 0, 0, 0, causef(ErrCast, "%s is no timestamp: expected yyyy-MM-dd HH:mm:ss[.fraction]", quote(shorten(string(s), 40)))
	}
	return us, offset, precision, nil
}

// parseOffset reads Z, +hh, +hhmm or +hh:mm at the start of s.
func parseOffset(s []byte) (offset int64, rest []byte, ok bool) {
	if len(s) == 0 {
		return 0, s, false
	}
	if s[0] == 'Z' {
		return 0, s[1:], true
	}
	if s[0] != '+' && s[0] != '-' {
		return 0, s, false
	}
	h, rest, ok := digits(s[1:], 2, 2)
	if !ok || h > 18 {
		return 0, s, false
	}
	var m int64
	if len(rest) > 0 && (rest[0] == ':' || isDigit(rest[0])) {
		if rest[0] == ':' {
			rest = rest[1:]
		}
		if m, rest, ok = digits(rest, 2, 2); !ok || m > 59 {
			return 0, s, false
		}
	}
	offset = h*usHour + m*usMinute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, rest, true
}
