package core

import "math"

const beyondTimestamp = "it is outside of what 64 bits of microseconds hold"

// timeScanner reads the parts of a date or time from the front of a text. After the first mistake, reason is set and every
// further step does nothing.
type timeScanner struct {
	b      []byte
	at     int
	reason string
}

func (s *timeScanner) fail(reason string) {
	if s.reason == "" {
		s.reason = reason
	}
}

// two reads exactly two digits that make at most limit.
func (s *timeScanner) two(limit int, reason string) int {
	if s.at+2 > len(s.b) || s.b[s.at]-'0' > 9 || s.b[s.at+1]-'0' > 9 {
		s.fail("expected two digits")
		return 0
	}
	n := int(s.b[s.at]-'0')*10 + int(s.b[s.at+1]-'0')
	s.at += 2
	if n > limit {
		s.fail(reason)
	}
	return n
}

func (s *timeScanner) symbol(c byte, reason string) {
	if s.at < len(s.b) && s.b[s.at] == c {
		s.at++
		return
	}
	s.fail(reason)
}

// number reads up to max digits.
func (s *timeScanner) number(max int, reason string) int {
	n, start := 0, s.at
	for s.at < len(s.b) && s.b[s.at]-'0' <= 9 && s.at-start < max {
		n = n*10 + int(s.b[s.at]-'0')
		s.at++
	}
	if s.at == start {
		s.fail(reason)
	}
	return n
}

// day reads [-]YYYY-MM-DD, with up to seven digits for the year, and returns the days since 1970-01-01.
func (s *timeScanner) day() int {
	b := s.b[s.at:]
	var year int
	if len(b) >= 10 && b[4] == '-' && b[0]-'0' <= 9 && b[1]-'0' <= 9 && b[2]-'0' <= 9 && b[3]-'0' <= 9 {
		year = int(b[0]-'0')*1000 + int(b[1]-'0')*100 + int(b[2]-'0')*10 + int(b[3]-'0')
		s.at += 4
	} else {
		negative := len(b) > 0 && b[0] == '-'
		if negative || len(b) > 0 && b[0] == '+' {
			s.at++
		}
		start := s.at
		if year = s.number(7, "expected a date such as 2013-01-31"); s.at-start < 4 {
			s.fail("expected a date such as 2013-01-31, with four digits for the year")
		}
		if negative {
			year = -year
		}
	}
	s.symbol('-', "expected - after the year")
	month := s.two(12, "the month is not 01 to 12")
	s.symbol('-', "expected - after the month")
	day := s.two(31, "the day is not 01 to 31")
	if s.reason != "" {
		return 0
	}
	if month == 0 {
		s.fail("the month is not 01 to 12")
		return 0
	}
	if day == 0 || day > 28 && day > DaysInMonth(year, month) {
		s.fail("the month does not have that day")
		return 0
	}
	return DaysFromCivil(year, month, day)
}

// clock reads hh:mm[:ss[.fraction]] and returns microseconds; digits of the fraction beyond six are dropped.
func (s *timeScanner) clock() int64 {
	hour := s.two(23, "the hour is not 00 to 23")
	s.symbol(':', "expected : after the hour")
	minute := s.two(59, "the minute is not 00 to 59")
	seconds := int64(hour*3600 + minute*60)
	if s.at >= len(s.b) || s.b[s.at] != ':' {
		return seconds * microsPerSecond
	}
	s.at++
	seconds += int64(s.two(59, "the second is not 00 to 59"))
	return seconds*microsPerSecond + s.fraction()
}

func (s *timeScanner) fraction() int64 {
	if s.at >= len(s.b) || s.b[s.at] != '.' {
		return 0
	}
	s.at++
	start := s.at
	unit, us := int64(microsPerSecond/10), int64(0)
	for s.at < len(s.b) && s.b[s.at]-'0' <= 9 {
		us += unit * int64(s.b[s.at]-'0')
		unit /= 10
		s.at++
	}
	if n := s.at - start; n == 0 || n > 9 {
		s.fail("expected one to nine digits behind the point")
	}
	return us
}

// usualTimestamp reads the 19 bytes of 2013-01-01 00:00:36, with a blank or a T, and reports false for whatever is not exactly that:
// timestamp then finds out what it is.
func usualTimestamp(b []byte) (us int64, ok bool) {
	if len(b) < 19 {
		return 0, false
	}
	b = b[:19]
	if b[4] != '-' || b[7] != '-' || b[10] != ' ' && b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	y1, y2, y3, y4 := uint(b[0]-'0'), uint(b[1]-'0'), uint(b[2]-'0'), uint(b[3]-'0')
	o1, o2, d1, d2 := uint(b[5]-'0'), uint(b[6]-'0'), uint(b[8]-'0'), uint(b[9]-'0')
	h1, h2, m1, m2, s1, s2 := uint(b[11]-'0'), uint(b[12]-'0'), uint(b[14]-'0'), uint(b[15]-'0'), uint(b[17]-'0'), uint(b[18]-'0')
	if y1 > 9 || y2 > 9 || y3 > 9 || y4 > 9 || o1 > 1 || o2 > 9 || d1 > 3 || d2 > 9 || h1 > 2 || h2 > 9 || m1 > 5 || m2 > 9 || s1 > 5 || s2 > 9 {
		return 0, false
	}
	year, month, day, hour := int(y1*1000+y2*100+y3*10+y4), int(o1*10+o2), int(d1*10+d2), int(h1*10+h2)
	if month == 0 || month > 12 || day == 0 || day > 28 && day > DaysInMonth(year, month) || hour > 23 {
		return 0, false
	}
	seconds := hour*3600 + int(m1*10+m2)*60 + int(s1*10+s2)
	return int64(DaysFromCivil(year, month, day))*microsPerDay + int64(seconds)*microsPerSecond, true
}

// timestamp reads a date, and after a blank or T an optional clock.
func (s *timeScanner) timestamp() int64 {
	if us, ok := usualTimestamp(s.b); ok {
		s.at = 19
		return us + s.fraction()
	}
	days := s.day()
	var ofDay int64
	if s.at < len(s.b) && (s.b[s.at] == ' ' || s.b[s.at] == 'T') {
		s.at++
		ofDay = s.clock()
	}
	// From the midnight nearer to 1970, so that nothing wraps before the last step.
	midnight, more := int64(days)*microsPerDay, ofDay
	if days < 0 {
		midnight, more = int64(days+1)*microsPerDay, ofDay-microsPerDay
	}
	us := midnight + more
	if days < minTimestampDay || days > maxTimestampDay || days < 0 && us > midnight || days >= 0 && us < midnight {
		s.fail(beyondTimestamp)
	}
	return us
}

// zone reads Z, +hh, +hhmm or +hh:mm and returns the offset in microseconds. Nothing at all is UTC.
func (s *timeScanner) zone() int64 {
	if s.reason == "" && s.at < len(s.b) && s.b[s.at] == ' ' && s.at+1 < len(s.b) {
		s.at++
	}
	if s.at >= len(s.b) {
		return 0
	}
	c := s.b[s.at]
	switch c {
	case 'Z', 'z':
		s.at++
		return 0
	case '+', '-':
		s.at++
		minutes := 60 * s.two(18, "the zone's offset is more than 18 hours")
		if s.at < len(s.b) && s.b[s.at] == ':' {
			s.at++
			minutes += s.two(59, "the minutes of the zone's offset are not 00 to 59")
		} else if s.at < len(s.b) {
			minutes += s.two(59, "the minutes of the zone's offset are not 00 to 59")
		}
		if c == '-' {
			minutes = -minutes
		}
		return int64(minutes) * 60 * microsPerSecond
	}
	return 0
}

// end returns the error of what went wrong, or of what is left over.
func (s *timeScanner) end(typ string) error {
	if s.reason == "" {
		if s.at == len(s.b) {
			return nil
		}
		s.reason = "unexpected text behind the value"
	}
	return badValue(s.b, typ, s.reason)
}

// ParseDate reads a DATE such as 2013-01-31.
func ParseDate(text []byte) (int32, error) {
	s := timeScanner{b: text}
	days := s.day()
	if days < math.MinInt32 || days > math.MaxInt32 {
		s.fail("the year is out of range")
	}
	return int32(days), s.end("DATE")
}

// ParseTime reads a TIME such as 12:34 or 12:34:56.789 and returns microseconds since midnight.
func ParseTime(text []byte) (int64, error) {
	s := timeScanner{b: text}
	us := s.clock()
	return us, s.end("TIME")
}

// ParseTimestamp reads a TIMESTAMP: 2013-01-01 00:00:36[.123456], or with a T in the middle, or the date alone. A Z at the end is
// accepted, since the session's zone is UTC; another zone is an error. Digits beyond microseconds are dropped.
func ParseTimestamp(text []byte) (int64, error) {
	s := timeScanner{b: text}
	us := s.timestamp()
	if s.reason == "" && s.at < len(s.b) {
		switch s.b[s.at] {
		case 'Z':
			s.at++
		case '+', '-':
			s.fail("a TIMESTAMP has no zone, declare the column TIMESTAMP_LTZ")
		}
	}
	return us, s.end("TIMESTAMP")
}

// ParseTimestampLTZ reads a TIMESTAMP_LTZ: a timestamp followed by Z, +02, +0200, +02:00 or nothing, which means UTC.
func ParseTimestampLTZ(text []byte) (int64, error) {
	s := timeScanner{b: text}
	us := s.timestamp()
	if s.reason == "" {
		offset := s.zone()
		if moved := us - offset; (moved < us) == (offset > 0) {
			us = moved
		} else {
			s.fail(beyondTimestamp)
		}
	}
	return us, s.end("TIMESTAMP_LTZ")
}

// sign reads + or - and reports whether it was a minus.
func (s *timeScanner) sign() bool {
	if s.at < len(s.b) && (s.b[s.at] == '-' || s.b[s.at] == '+') {
		s.at++
		return s.b[s.at-1] == '-'
	}
	return false
}

// ParseIntervalDay reads an INTERVAL DAY TO SECOND such as +1 02:03:04.567 or -0 00:00:01 and returns microseconds.
func ParseIntervalDay(text []byte) (int64, error) {
	s := timeScanner{b: text}
	negative := s.sign()
	days := int64(s.number(9, "expected days and a time such as +1 02:03:04"))
	s.symbol(' ', "expected a blank between the days and the time")
	us := s.clock()
	if days > maxTimestampDay {
		s.fail(beyondTimestamp)
	}
	us = -(days * microsPerDay) - us // negative: that side reaches one further
	switch {
	case us > 0:
		s.fail(beyondTimestamp)
	case !negative && us == math.MinInt64:
		s.fail(beyondTimestamp)
	case !negative:
		us = -us
	}
	return us, s.end("INTERVAL DAY TO SECOND")
}

// ParseIntervalMonth reads an INTERVAL YEAR TO MONTH such as +10-04 and returns months.
func ParseIntervalMonth(text []byte) (int32, error) {
	s := timeScanner{b: text}
	negative := s.sign()
	months := 12 * s.number(9, "expected years and months such as +10-04")
	s.symbol('-', "expected - between the years and the months")
	months += s.two(11, "the months are not 00 to 11")
	if negative {
		months = -months
	}
	if months < math.MinInt32 || months > math.MaxInt32 {
		s.fail("it is out of range")
	}
	return int32(months), s.end("INTERVAL YEAR TO MONTH")
}
