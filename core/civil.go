package core

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 86_400 * microsPerSecond
	// The first and the last day that int64 microseconds reach into.
	minTimestampDay = -106_751_992
	maxTimestampDay = 106_751_991
)

// DaysFromCivil returns the days from 1970-01-01 to a day of the proleptic Gregorian calendar. The month counts from 1;
// year 0 is 1 BC. The day of the month may lie outside the month.
func DaysFromCivil(year, month, day int) int {
	// Years that begin in March have their leap day at the end, and 400 of them are one period of 146097 days.
	y := year
	m := month - 3
	if m < 0 {
		y--
		m += 12
	}
	period := y / 400
	if y < 0 {
		period = (y - 399) / 400
	}
	inPeriod := y - period*400
	return period*146097 + inPeriod*365 + inPeriod/4 - inPeriod/100 + (153*m+2)/5 + day - 1 - 719468
}

// CivilFromDays returns the day of the proleptic Gregorian calendar that lies days after 1970-01-01.
func CivilFromDays(days int) (year, month, day int) {
	z := days + 719468
	period := z / 146097
	if z < 0 {
		period = (z - 146096) / 146097
	}
	inPeriod := z - period*146097
	yearOfPeriod := (inPeriod - inPeriod/1460 + inPeriod/36524 - inPeriod/146096) / 365
	dayOfYear := inPeriod - (365*yearOfPeriod + yearOfPeriod/4 - yearOfPeriod/100)
	m := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*m+2)/5 + 1
	year = yearOfPeriod + period*400
	if m < 10 {
		return year, m + 3, day
	}
	return year + 1, m - 9, day
}

// DaysInMonth returns the length of a month, which counts from 1.
func DaysInMonth(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// SplitTimestamp divides microseconds since 1970-01-01 into the day and the microseconds of it, which are never negative.
func SplitTimestamp(us int64) (days int, ofDay int64) {
	d := us / microsPerDay
	r := us - d*microsPerDay
	if r < 0 {
		d--
		r += microsPerDay
	}
	return int(d), r
}

var fractionUnit = [7]int64{1_000_000, 100_000, 10_000, 1_000, 100, 10, 1}

// TruncateFraction drops what a TIME, TIMESTAMP or TIMESTAMP_LTZ of the given precision does not hold, toward the past.
func TruncateFraction(us int64, precision uint8) int64 {
	if precision >= 6 {
		return us
	}
	unit := fractionUnit[precision]
	r := us % unit
	if r < 0 {
		r += unit
	}
	return us - r
}
