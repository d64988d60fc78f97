package expr

import (
	"time"
)

// The calendar is the proleptic Gregorian one. Algorithms after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013).

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }

// civil gives year, month (1 to 12) and day (1 to 31) of a day since 1970-01-01.
func civil(days int64) (year int64, month, day int) {
	z := days + 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp) + 3
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

// daysOf gives the day since 1970-01-01 of a date; the day of the month may be out of range.
func daysOf(year int64, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	m := int64(month) - 3
	if month <= 2 {
		m += 12
	}
	doy := (153*m+2)/5 + int64(day) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

func isLeap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year int64, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	}
	return 31
}

// addMonths moves a day by months; a day that the month does not have becomes its last.
func addMonths(days, months int64) int64 {
	y, m, d := civil(days)
	total := y*12 + int64(m-1) + months
	y, m = floorDiv(total, 12), int(floorMod(total, 12))+1
	return daysOf(y, m, min(d, daysIn(y, m)))
}

// weekday gives 1 for Monday to 7 for Sunday.
func weekday(days int64) int { return int(floorMod(days+3, 7)) + 1 }

// dayOfYear counts from 1.
func dayOfYear(days int64) int {
	y, _, _ := civil(days)
	return int(days-daysOf(y, 1, 1)) + 1
}

// isoWeek gives the ISO 8601 week and the year it belongs to.
func isoWeek(days int64) (year int64, week int) {
	thursday := days - int64(weekday(days)) + 4
	y, _, _ := civil(thursday)
	return y, int(thursday-daysOf(y, 1, 1))/7 + 1
}

// toLocal gives the wall-clock time in zone of an instant, both in microseconds.
func toLocal(us int64, zone *time.Location) int64 {
	if zone == time.UTC {
		return us
	}
	_, offset := time.UnixMicro(us).In(zone).Zone()
	return us + int64(offset)*usSecond
}

// toInstant gives the instant of a wall-clock time in zone. A time that a change of the clock skips moves forward by the gap; of two equal
// times the first one counts.
func toInstant(local int64, zone *time.Location) int64 {
	if zone == time.UTC {
		return local
	}
	before := offsetAt(local-usDay, zone)
	after := offsetAt(local+usDay, zone)
	if before == after {
		return local - before
	}
	if early := local - before; offsetAt(early, zone) == before {
		return early
	}
	if late := local - after; offsetAt(late, zone) == after {
		return late
	}
	return local - before
}

func offsetAt(us int64, zone *time.Location) int64 {
	_, offset := time.UnixMicro(us).In(zone).Zone()
	return int64(offset) * usSecond
}
