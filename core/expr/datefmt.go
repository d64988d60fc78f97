package expr

import (
	"bytes"
	"strings"
	"time"
)

// dateFormat is a compiled pattern of Java's DateTimeFormatter: y or u year, Q quarter, M month, d day, D day of the year, E weekday (EEEE in full), e its number
// from Sunday, H hour (0-23), k (1-24), h (1-12), K (0-11), a AM/PM, m minute, s second, S fraction, X x Z offset, 'text' as it is.
type dateFormat struct {
	parts []datePart
	// daily: all rows of one day look the same.
	daily bool
}

type datePart struct {
	letter byte // 0: text
	count  int
	text   string
}

var (
	monthNames = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	dayNames   = [...]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
)

func parseDateFormat(pattern string) (*dateFormat, error) {
	f := &dateFormat{daily: true}
	text := func(s string) {
		if n := len(f.parts); n > 0 && f.parts[n-1].letter == 0 {
			f.parts[n-1].text += s
			return
		}
		f.parts = append(f.parts, datePart{text: s})
	}
	for i := 0; i < len(pattern); {
		c := pattern[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		switch {
		case c == '\'' && i+1 < len(pattern) && pattern[i+1] == '\'':
			text("'")
			i += 2
		case c == '\'':
			end := strings.IndexByte(pattern[i+1:], '\'')
			if end < 0 {
				return nil, causef(ErrArgument, "the date pattern %s has a quote that is not closed", quote(pattern))
			}
			text(pattern[i+1 : i+1+end])
			i += end + 2
		case letter:
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			if strings.IndexByte("yuQMLdDEeHkhKamsSXxZ", c) < 0 {
				return nil, causef(ErrArgument, "the date pattern %s has the letter %c, which is not supported: known are y u Q M L d D E e H k h K a m s S X x Z", quote(pattern), c)
			}
			if n > 9 {
				return nil, causef(ErrArgument, "the date pattern %s repeats %c too often", quote(pattern), c)
			}
			if strings.IndexByte("HkhKamsSXxZ", c) >= 0 {
				f.daily = false
			}
			f.parts = append(f.parts, datePart{letter: c, count: n})
			i += n
		default:
			text(string(c))
			i++
		}
	}
	return f, nil
}

// appendTime writes the wall-clock time local, in microseconds, whose zone is offset microseconds east of UTC.
func (f *dateFormat) appendTime(dst []byte, local, offset int64) []byte {
	day := floorDiv(local, usDay)
	clock := local - day*usDay
	year, month, dayOfMonth := civil(day)
	for i := range f.parts {
		p := &f.parts[i]
		switch p.letter {
		case 0:
			dst = append(dst, p.text...)
		case 'y', 'u':
			if p.count == 2 {
				dst = append2(dst, int(floorMod(year, 100)))
			} else if p.count == 4 {
				dst = append4(dst, year)
			} else {
				dst = appendPadded(dst, year, p.count)
			}
		case 'M', 'L':
			switch {
			case p.count >= 4:
				dst = append(dst, monthNames[month-1]...)
			case p.count == 3:
				dst = append(dst, monthNames[month-1][:3]...)
			default:
				dst = appendPadded(dst, int64(month), p.count)
			}
		case 'E':
			name := dayNames[weekday(day)-1]
			if p.count < 4 {
				name = name[:3]
			}
			dst = append(dst, name...)
		case 'a':
			if clock < 12*usHour {
				dst = append(dst, "AM"...)
			} else {
				dst = append(dst, "PM"...)
			}
		case 'S':
			rest, unit := clock%usSecond, usSecond/10
			for range p.count {
				if unit == 0 {
					dst = append(dst, '0')
					continue
				}
				dst = append(dst, byte('0'+rest/unit%10))
				unit /= 10
			}
		case 'X', 'x', 'Z':
			dst = appendOffset(dst, offset, p)
		default:
			dst = appendPadded(dst, dateField(p.letter, day, clock, month, dayOfMonth), p.count)
		}
	}
	return dst
}

func dateField(letter byte, day, clock int64, month, dayOfMonth int) int64 {
	switch letter {
	case 'Q':
		return int64(month+2) / 3
	case 'd':
		return int64(dayOfMonth)
	case 'D':
		return int64(dayOfYear(day))
	case 'e':
		return int64(weekday(day)%7 + 1)
	case 'H':
		return clock / usHour
	case 'k':
		return (clock/usHour+23)%24 + 1
	case 'h':
		return (clock/usHour+11)%12 + 1
	case 'K':
		return clock / usHour % 12
	case 'm':
		return clock / usMinute % 60
	}
	return clock / usSecond % 60
}

func appendOffset(dst []byte, offset int64, p *datePart) []byte {
	if offset == 0 && p.letter == 'X' {
		return append(dst, 'Z')
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = append2(append(dst, sign), int(offset/usHour))
	minutes := int(offset / usMinute % 60)
	switch {
	case p.letter != 'Z' && p.count == 1 && minutes == 0:
		return dst
	case p.letter == 'Z' || p.count <= 2:
		return append2(dst, minutes)
	}
	return append2(append(dst, ':'), minutes)
}

// parse reads a text that appendTime could have written; false when it is something else. offset is noOffset when the pattern has none.
func (f *dateFormat) parse(s []byte) (local, offset int64, ok bool) {
	year, month, dayOfMonth := int64(1970), int64(1), int64(1)
	var yearDay, hour, minute, second, fraction int64
	pm, hasPM := false, false
	offset = noOffset
	for i := range f.parts {
		p := &f.parts[i]
		low, high := p.count, p.count
		if p.count == 1 {
			high = 19
		}
		if i+1 < len(f.parts) && f.parts[i+1].letter != 0 {
			high = p.count
		}
		var v int64
		switch p.letter {
		case 0:
			if !bytes.HasPrefix(s, []byte(p.text)) {
				return 0, 0, false
			}
			s = s[len(p.text):]
			continue
		case 'E':
			if _, s, ok = cutName(s, dayNames[:], p.count); !ok {
				return 0, 0, false
			}
			continue
		case 'a':
			if len(s) < 2 || (s[0]|0x20 != 'a' && s[0]|0x20 != 'p') || s[1]|0x20 != 'm' {
				return 0, 0, false
			}
			pm, hasPM = s[0]|0x20 == 'p', true
			s = s[2:]
			continue
		case 'X', 'x', 'Z':
			if offset, s, ok = parseOffset(s); !ok {
				return 0, 0, false
			}
			continue
		case 'S':
			n := 0
			unit := usSecond / 10
			for n < p.count && n < len(s) && isDigit(s[n]) {
				fraction += int64(s[n]-'0') * unit
				unit /= 10
				n++
			}
			if n < p.count {
				return 0, 0, false
			}
			s = s[n:]
			continue
		case 'M', 'L':
			if p.count >= 3 {
				var index int
				if index, s, ok = cutName(s, monthNames[:], p.count); !ok {
					return 0, 0, false
				}
				month = int64(index) + 1
				continue
			}
		}
		if v, s, ok = digits(s, low, min(high, 18)); !ok {
			return 0, 0, false
		}
		switch p.letter {
		case 'y', 'u':
			if year = v; p.count == 2 {
				year += 2000
			}
		case 'M', 'L':
			month = v
		case 'd':
			dayOfMonth = v
		case 'D':
			yearDay = v
		case 'H', 'K':
			hour = v
		case 'k', 'h':
			limit := int64(24)
			if p.letter == 'h' {
				limit = 12
			}
			if v < 1 || v > limit {
				return 0, 0, false
			}
			hour = v % limit
		case 'm':
			minute = v
		case 's':
			second = v
		}
	}
	if hasPM && hour < 12 && pm {
		hour += 12
	}
	if len(s) > 0 || year > 9999 || month < 1 || month > 12 || dayOfMonth < 1 || dayOfMonth > int64(daysIn(year, int(month))) || hour > 23 || minute > 59 || second > 59 || yearDay > 366 {
		return 0, 0, false
	}
	day := daysOf(year, int(month), int(dayOfMonth))
	if yearDay > 0 {
		day = daysOf(year, 1, 1) + yearDay - 1
	}
	return day*usDay + hour*usHour + minute*usMinute + second*usSecond + fraction, offset, true
}

// cutName reads a name, in full when count is 4 and cut to three letters else, in any case.
func cutName(s []byte, names []string, count int) (index int, rest []byte, ok bool) {
	for i, name := range names {
		if count < 4 {
			name = name[:3]
		}
		if len(s) >= len(name) && strings.EqualFold(string(s[:len(name)]), name) {
			return i, s[len(name):], true
		}
	}
	return 0, s, false
}

// lastFormat is the pattern that a call saw last, and the text of the day it wrote last.
type lastFormat struct {
	pattern    string
	format     *dateFormat
	day        int64
	start, end int32
}

func formatOf(c *call, k, r int) (*lastFormat, error) {
	l, ok := c.state.(*lastFormat)
	if ok && c.arg[k].isConst() {
		return l, nil
	}
	if pattern := c.str(k, r); !ok || l.pattern != string(pattern) {
		f, err := parseDateFormat(string(pattern))
		if err != nil {
			return nil, err
		}
		l = &lastFormat{pattern: string(pattern), format: f}
		c.state = l
	}
	return l, nil
}

// write writes row r, sharing the text with the row before when that was of the same day.
func (l *lastFormat) write(c *call, r int, local, offset int64) {
	day := floorDiv(local, usDay)
	if l.format.daily && len(c.out.data) > 0 && day == l.day {
		c.out.start[r], c.out.end[r] = l.start, l.end
		return
	}
	c.end(r, l.format.appendTime(c.begin(r), local, offset))
	l.day, l.start, l.end = day, c.out.start[r], c.out.end[r]
}

func zoneOffset(us int64, zone *time.Location) int64 {
	if zone == time.UTC {
		return 0
	}
	return offsetAt(us, zone)
}
