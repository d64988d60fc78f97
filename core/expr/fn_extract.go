package expr

import (
	"sync"
	"time"

	"turbo/core"
)

// zoneCache remembers time zones by name, for all programs.
type zoneCache struct {
	mu    sync.Mutex
	zones map[string]*time.Location
}

// maxZones bounds the cache: names come from data.
const maxZones = 1000

func newZoneCache() *zoneCache { return &zoneCache{zones: make(map[string]*time.Location)} }

func (z *zoneCache) get(name string) (*time.Location, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if loc, ok := z.zones[name]; ok {
		return loc, loc != nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		loc = nil
	}
	if len(z.zones) < maxZones {
		z.zones[name] = loc
	}
	return loc, loc != nil
}

// extract compiles EXTRACT(unit FROM x) and YEAR(x) and its kin.
func (b *binder) extract(n *Call, unit string, x op) (op, error) {
	if untyped(x) {
		return nullOp(bigintType), nil
	}
	k := x.typ().Kind
	switch {
	case k == core.TimeOfDay:
		if dayUnits[unit] == 0 && unit != "MILLISECOND" && unit != "MICROSECOND" || dayUnits[unit] >= usDay {
			return nil, b.errorf(n, "a TIME has no %s", unit)
		}
		return rowCall(n, bigintType, []op{x}, func(c *call, r int) error { c.setI64(r, clockPart(unit, c.i64(0, r))); return nil }), nil
	case isInterval(k):
		return b.extractInterval(n, unit, x)
	}
	x, err := b.needTime(n, x)
	if err != nil {
		return nil, err
	}
	if unit == "EPOCH" {
		zone, read := b.opts.Zone, localReader(k, b.opts.Zone)
		return rowCall(n, bigintType, []op{x}, func(c *call, r int) error {
			us := read(c, 0, r)
			if k == core.TimestampLTZ {
				us = toInstant(us, zone)
			}
			c.setI64(r, floorDiv(us, usSecond))
			return nil
		}), nil
	}
	read := localReader(k, b.opts.Zone)
	if part := datePartOf(unit); part != nil {
		return rowCall(n, bigintType, []op{x}, func(c *call, r int) error {
			c.setI64(r, part(floorDiv(read(c, 0, r), usDay)))
			return nil
		}), nil
	}
	return rowCall(n, bigintType, []op{x}, func(c *call, r int) error {
		c.setI64(r, clockPart(unit, floorMod(read(c, 0, r), usDay)))
		return nil
	}), nil
}

// clockPart gives a part of a time of the day.
func clockPart(unit string, us int64) int64 {
	switch unit {
	case "HOUR":
		return us / usHour
	case "MINUTE":
		return us / usMinute % 60
	case "SECOND":
		return us / usSecond % 60
	case "MILLISECOND":
		return us % usMinute / 1000
	}
	return us % usMinute
}

// datePartOf gives the function that reads a unit of a day and more from a day, or nil for smaller units.
func datePartOf(unit string) func(day int64) int64 {
	year := func(f func(year int64) int64) func(day int64) int64 {
		return func(day int64) int64 {
			y, _, _ := civil(day)
			return f(y)
		}
	}
	switch unit {
	case "YEAR":
		return year(func(y int64) int64 { return y })
	case "DECADE":
		return year(func(y int64) int64 { return floorDiv(y, 10) })
	case "CENTURY":
		return year(func(y int64) int64 { return floorDiv(y+99, 100) })
	case "MILLENNIUM":
		return year(func(y int64) int64 { return floorDiv(y+999, 1000) })
	case "ISOYEAR":
		return func(day int64) int64 { y, _ := isoWeek(day); return y }
	case "WEEK":
		return func(day int64) int64 { _, w := isoWeek(day); return int64(w) }
	case "QUARTER":
		return func(day int64) int64 { _, m, _ := civil(day); return int64(m+2) / 3 }
	case "MONTH":
		return func(day int64) int64 { _, m, _ := civil(day); return int64(m) }
	case "DAY":
		return func(day int64) int64 { _, _, d := civil(day); return int64(d) }
	case "DOW":
		return func(day int64) int64 { return int64(weekday(day)%7 + 1) }
	case "ISODOW":
		return func(day int64) int64 { return int64(weekday(day)) }
	case "DOY":
		return func(day int64) int64 { return int64(dayOfYear(day)) }
	}
	return nil
}

func (b *binder) extractInterval(n *Call, unit string, x op) (op, error) {
	if x.typ().Kind == core.IntervalMonth {
		var f func(months int64) int64
		switch unit {
		case "YEAR":
			f = func(m int64) int64 { return m / 12 }
		case "QUARTER":
			f = func(m int64) int64 { return m%12/3 + 1 }
		case "MONTH":
			f = func(m int64) int64 { return m % 12 }
		default:
			return nil, b.errorf(n, "an INTERVAL YEAR TO MONTH has no %s", unit)
		}
		return rowCall(n, bigintType, []op{x}, func(c *call, r int) error { c.setI64(r, f(int64(c.i32(0, r)))); return nil }), nil
	}
	size := map[string]int64{"DAY": usDay, "HOUR": usHour, "MINUTE": usMinute, "SECOND": usSecond, "MILLISECOND": 1000, "EPOCH": usSecond}[unit]
	if size == 0 {
		return nil, b.errorf(n, "an INTERVAL DAY TO SECOND has no %s", unit)
	}
	within := map[string]int64{"HOUR": usDay, "MINUTE": usHour, "SECOND": usMinute, "MILLISECOND": usMinute}[unit]
	return rowCall(n, bigintType, []op{x}, func(c *call, r int) error {
		us := c.i64(0, r)
		if within > 0 {
			us %= within
		}
		c.setI64(r, us/size)
		return nil
	}), nil
}

// floorTime compiles FLOOR(x TO unit), and CEIL when up.
func (b *binder) floorTime(n *Call, x op, unit string, up bool) (op, error) {
	x, err := b.needTime(n, x)
	if err != nil {
		return nil, err
	}
	months := map[string]int64{"MILLENNIUM": 12000, "CENTURY": 1200, "DECADE": 120, "YEAR": 12, "QUARTER": 3, "MONTH": 1}[unit]
	size := map[string]int64{"WEEK": 7 * usDay, "DAY": usDay, "HOUR": usHour, "MINUTE": usMinute, "SECOND": usSecond, "MILLISECOND": 1000, "MICROSECOND": 1}[unit]
	if months == 0 && size == 0 {
		return nil, b.errorf(n, "%s has no unit %s: known are YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND", n.Name, unit)
	}
	phase := int64(0)
	if unit == "WEEK" {
		phase = -4 * usDay // 1969-12-28, a Sunday
	}
	step := func(local int64) int64 {
		var low, next int64
		if months > 0 {
			y, m, _ := civil(floorDiv(local, usDay))
			index := floorDiv(y*12+int64(m-1), months) * months
			low = daysOf(floorDiv(index, 12), int(floorMod(index, 12))+1, 1) * usDay
			next = addMonthsMicros(low, months)
		} else {
			low = phase + floorDiv(local-phase, size)*size
			next = low + size
		}
		if up && low != local {
			return next
		}
		return low
	}
	k, zone, read := x.typ().Kind, b.opts.Zone, localReader(x.typ().Kind, b.opts.Zone)
	return rowCall(n, x.typ(), []op{x}, func(c *call, r int) error {
		us := step(read(c, 0, r))
		switch k {
		case core.Date:
			c.setI32(r, int32(floorDiv(us, usDay)))
		case core.TimestampLTZ:
			c.setI64(r, toInstant(us, zone))
		default:
			c.setI64(r, us)
		}
		return nil
	}), nil
}
