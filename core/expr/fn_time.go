package expr

import (
	"math"
	"strings"
	"time"

	"turbo/core"
)

var (
	dateType      = core.Of(core.Date)
	millisType    = core.Type{Kind: core.Timestamp, Precise: 3}
	millisLTZType = core.Type{Kind: core.TimestampLTZ, Precise: 3}
)

var timeFunctions = []function{
	{name: "DATE_FORMAT", sig: "DATE_FORMAT(time, pattern)", args: "as", doc: "The DATE, TIMESTAMP, TIMESTAMP_LTZ (in the session's zone), or STRING like '2024-02-29 13:45:00', in a pattern of Java's DateTimeFormatter. " +
		"Letters: y Q M d D E H h k K a m s S X; text stands in single quotes. A STRING that is no time gives NULL.",
		examples: "DATE_FORMAT(TIMESTAMP '2024-02-29 13:45:00', 'yyyy-MM-dd') => '2024-02-29'\nDATE_FORMAT(DATE '2024-02-29', 'EEE, d MMM yy') => 'Thu, 29 Feb 24'", make: makeDateFormat},
	{name: "EXTRACT", sig: "EXTRACT(unit FROM time)", args: "a", doc: "A part of a DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ or INTERVAL as BIGINT: MILLENNIUM, CENTURY, DECADE, YEAR, ISOYEAR, QUARTER, MONTH, WEEK (ISO), " +
		"DAY, DOW (1 is Sunday), ISODOW (1 is Monday), DOY, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND (of the minute), EPOCH.",
		examples: "EXTRACT(HOUR FROM TIMESTAMP '2024-02-29 13:45:00') => 13\nEXTRACT(WEEK FROM DATE '2024-12-30') => 1",
		make: func(b *binder, n *Call, args []op) (op, error) {
			return b.extract(n, n.Args[0].(*Symbol).Name, args[0])
		}},
	partFunction("YEAR", "YEAR", "The year.", "2024"), partFunction("QUARTER", "QUARTER", "The quarter, 1 to 4.", "1"), partFunction("MONTH", "MONTH", "The month, 1 to 12.", "2"),
	partFunction("WEEK", "WEEK", "The ISO week, 1 to 53.", "9"), partFunction("DAYOFYEAR", "DOY", "The day of the year, 1 to 366.", "60"), partFunction("DAYOFMONTH", "DAY", "The day of the month, 1 to 31.", "29"),
	partFunction("DAYOFWEEK", "DOW", "The day of the week, 1 is Sunday.", "5"), partFunction("HOUR", "HOUR", "The hour, 0 to 23.", "13"), partFunction("MINUTE", "MINUTE", "The minute, 0 to 59.", "45"),
	partFunction("SECOND", "SECOND", "The second, 0 to 59.", "10"),
	{name: "TO_TIMESTAMP", sig: "TO_TIMESTAMP(string[, pattern])", args: "s?s", ret: millisType, mayNull: true, doc: "The TIMESTAMP(3) that a text in the pattern, yyyy-MM-dd HH:mm:ss unless given, stands for; NULL when it is something else.",
		examples: "TO_TIMESTAMP('2024-02-29 13:45:00') => TIMESTAMP '2024-02-29 13:45:00.000'\nTO_TIMESTAMP('29.2.2024 7', 'd.M.yyyy H') => TIMESTAMP '2024-02-29 07:00:00.000'",
		row:      parseRow(func(c *call, r int, us int64) { c.setI64(r, cutPrecision(us, 3)) })},
	{name: "TO_DATE", sig: "TO_DATE(string[, pattern])", args: "s?s", ret: dateType, mayNull: true, doc: "The DATE that a text in the pattern, yyyy-MM-dd unless given, stands for; NULL when it is something else.",
		examples: "TO_DATE('2024-02-29') => DATE '2024-02-29'\nTO_DATE('29/02/24', 'dd/MM/yy') => DATE '2024-02-29'\nTO_DATE('2024-02-30') => NULL",
		row:      parseRow(func(c *call, r int, us int64) { c.setI32(r, int32(floorDiv(us, usDay))) })},
	{name: "TO_TIMESTAMP_LTZ", sig: "TO_TIMESTAMP_LTZ(number[, precision])", args: "n?i", ret: millisLTZType, doc: "The instant so many seconds (precision 0), milliseconds (3, unless given) or microseconds (6) after 1970-01-01 00:00:00 UTC.",
		examples: "TO_TIMESTAMP_LTZ(1709214300, 0) => TIMESTAMP_LTZ '2024-02-29 13:45:00.000Z'", make: toTimestampLTZ},
	{name: "UNIX_TIMESTAMP", sig: "UNIX_TIMESTAMP([string[, pattern] | time])", args: "?as", doc: "The seconds after 1970-01-01 00:00:00 UTC: of now (one value for a batch), of a text in the session's zone and the pattern yyyy-MM-dd HH:mm:ss unless given, " +
		"or of a DATE, TIMESTAMP or TIMESTAMP_LTZ. NULL when the text is something else.",
		examples: "UNIX_TIMESTAMP('2024-02-29 13:45:00') => 1709214300\nUNIX_TIMESTAMP(TIMESTAMP '1970-01-02 00:00:00') => 86400", make: unixTimestamp},
	{name: "FROM_UNIXTIME", sig: "FROM_UNIXTIME(seconds[, pattern])", args: "i?s", doc: "The time so many seconds after 1970-01-01 00:00:00 UTC in the session's zone, as text in the pattern yyyy-MM-dd HH:mm:ss unless given.",
		examples: "FROM_UNIXTIME(1709214300) => '2024-02-29 13:45:00'", make: fromUnixTime},
	{name: "TIMESTAMPADD", sig: "TIMESTAMPADD(unit, n, time)", args: "ia", doc: "The time n units later: YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND. A DATE stays one for units of a day and more and becomes a TIMESTAMP(3) for smaller ones.",
		examples: "TIMESTAMPADD(MONTH, 1, DATE '2024-01-31') => DATE '2024-02-29'\nTIMESTAMPADD(HOUR, 2, TIMESTAMP '2024-02-29 23:00:00.000') => TIMESTAMP '2024-03-01 01:00:00.000'", make: timestampAdd},
	{name: "TIMESTAMPDIFF", sig: "TIMESTAMPDIFF(unit, from, to)", args: "aa", doc: "The whole units between two times as INT, negative when to is earlier: YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND.",
		examples: "TIMESTAMPDIFF(DAY, TIMESTAMP '2024-02-01 12:00:00', TIMESTAMP '2024-02-29 11:00:00') => 27", make: timestampDiff},
	{name: "CONVERT_TZ", sig: "CONVERT_TZ(string, from zone, to zone)", args: "sss", ret: stringType, mayNull: true, doc: "A wall-clock time of one zone as that of another; NULL when the text is no time or a zone is unknown.",
		examples: "CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles') => '1969-12-31 16:00:00'", row: convertTZ},
	{name: "CURRENT_TIMESTAMP", sig: "CURRENT_TIMESTAMP | NOW()", varying: true, aliases: "NOW CURRENT_ROW_TIMESTAMP", doc: "The time as TIMESTAMP_LTZ(3): one value for all rows of a batch.", examples: "CURRENT_TIMESTAMP > TIMESTAMP '2020-01-01 00:00:00' => TRUE",
		make: nowCall(millisLTZType, func(us int64, _ *time.Location) int64 { return cutPrecision(us, 3) })},
	{name: "LOCALTIMESTAMP", sig: "LOCALTIMESTAMP", varying: true, doc: "The time in the session's zone as TIMESTAMP(3): one value for all rows of a batch.", examples: "LOCALTIMESTAMP > TIMESTAMP '2020-01-01 00:00:00' => TRUE",
		make: nowCall(millisType, func(us int64, zone *time.Location) int64 { return cutPrecision(toLocal(us, zone), 3) })},
	{name: "CURRENT_DATE", sig: "CURRENT_DATE", varying: true, doc: "The day in the session's zone: one value for all rows of a batch.", examples: "CURRENT_DATE > DATE '2020-01-01' => TRUE",
		make: nowCall(dateType, func(us int64, zone *time.Location) int64 { return floorDiv(toLocal(us, zone), usDay) })},
	{name: "CURRENT_TIME", sig: "CURRENT_TIME", varying: true, aliases: "LOCALTIME", doc: "The time of the day in the session's zone as TIME(0): one value for all rows of a batch.", examples: "CURRENT_TIME >= TIME '00:00:00' => TRUE",
		make: nowCall(core.Of(core.TimeOfDay), func(us int64, zone *time.Location) int64 {
			return cutPrecision(floorMod(toLocal(us, zone), usDay), 0)
		})},
}

func partFunction(name, unit, doc, result string) function {
	example := name + "(TIMESTAMP '2024-02-29 13:45:10') => " + result
	return function{name: name, sig: name + "(time)", args: "a", doc: doc + " The same as EXTRACT(" + unit + " FROM time).", examples: example,
		make: func(b *binder, n *Call, args []op) (op, error) { return b.extract(n, unit, args[0]) }}
}

func nowCall(t core.Type, get func(us int64, zone *time.Location) int64) func(b *binder, n *Call, args []op) (op, error) {
	return func(*binder, *Call, []op) (op, error) {
		return &nowOp{t: t.Required(), get: func(now core.Time, zone *time.Location) int64 { return get(int64(now), zone) }}, nil
	}
}

// localReader gives a function that reads argument k, a day or an instant, as wall-clock microseconds of the session's zone.
func localReader(k core.Kind, zone *time.Location) func(c *call, arg, r int) int64 {
	switch k {
	case core.Date:
		return func(c *call, arg, r int) int64 { return int64(c.i32(arg, r)) * usDay }
	case core.TimestampLTZ:
		return func(c *call, arg, r int) int64 { return toLocal(c.i64(arg, r), zone) }
	}
	return func(c *call, arg, r int) int64 { return c.i64(arg, r) }
}

// needTime checks that an argument is a day or an instant.
func (b *binder) needTime(n *Call, x op) (op, error) {
	if untyped(x) {
		return nullOp(core.Of(core.Timestamp)), nil
	}
	if !isDateTime(x.typ().Kind) {
		hint := ""
		if x.typ().Kind == core.String {
			hint = ": convert it with CAST or TO_TIMESTAMP"
		}
		return nil, b.errorf(n, "%s takes a DATE, TIMESTAMP or TIMESTAMP_LTZ, not %s%s", n.Name, describe(x), hint)
	}
	return x, nil
}

func makeDateFormat(b *binder, n *Call, args []op) (op, error) {
	if pattern, ok := constString(args[1]); ok {
		if _, err := parseDateFormat(pattern); err != nil {
			return nil, b.errorf(n.Args[1], "%v", err)
		}
	}
	k := args[0].typ().Kind
	if k == core.String {
		return &rowOp{t: stringType, args: args, node: n, fn: func(c *call, r int) error {
			l, err := formatOf(c, 1, r)
			if err != nil {
				return err
			}
			us, _, _, err := parseInstant(c.str(0, r))
			if err != nil {
				c.setNull(r)
				return nil
			}
			l.write(c, r, us, 0)
			return nil
		}}, nil
	}
	x, err := b.needTime(n, args[0])
	if err != nil {
		return nil, err
	}
	read, zone := localReader(k, b.opts.Zone), b.opts.Zone
	return rowCall(n, stringType, []op{x, args[1]}, func(c *call, r int) error {
		l, err := formatOf(c, 1, r)
		if err != nil {
			return err
		}
		local, offset := read(c, 0, r), int64(0)
		if k == core.TimestampLTZ {
			offset = zoneOffset(c.i64(0, r), zone)
		}
		l.write(c, r, local, offset)
		return nil
	}), nil
}

// parseRow reads a text by the pattern of the second argument, or as an instant; NULL when it is none.
func parseRow(set func(c *call, r int, us int64)) func(c *call, r int) error {
	return func(c *call, r int) error {
		us, ok, err := parseTimeText(c, r)
		switch {
		case err != nil:
			return err
		case !ok:
			c.setNull(r)
		default:
			set(c, r, us)
		}
		return nil
	}
}

func parseTimeText(c *call, r int) (us int64, ok bool, err error) {
	var offset int64
	if len(c.arg) > 1 {
		l, err := formatOf(c, 1, r)
		if err != nil {
			return 0, false, err
		}
		us, offset, ok = l.format.parse(c.str(0, r))
	} else {
		var bad error
		us, offset, _, bad = parseInstant(c.str(0, r))
		ok = bad == nil
	}
	if offset != noOffset {
		us -= offset
	}
	return us, ok, nil
}

func toTimestampLTZ(b *binder, n *Call, args []op) (op, error) {
	precision := op(fixedConst(bigintType, int64(3)))
	if len(args) > 1 {
		precision = args[1]
	}
	x, isInteger := args[0], args[0].typ().Kind.IsInteger()
	to := doubleType
	if isInteger {
		to = bigintType
	}
	x, err := b.convert(n, x, to)
	t := millisLTZType
	if c, ok := precision.(*constOp); ok && !c.v.null(0) && vals[int64](&c.v)[0] == 6 {
		t.Precise = 6
	}
	return rowCall(n, t, []op{x, precision}, func(c *call, r int) error {
		var unit int64
		switch c.i64(1, r) {
		case 0:
			unit = usSecond
		case 3:
			unit = 1000
		case 6:
			unit = 1
		default:
			return causef(ErrArgument, "the precision of TO_TIMESTAMP_LTZ is 0, 3 or 6, not %d", c.i64(1, r))
		}
		if isInteger {
			c.setI64(r, c.i64(0, r)*unit)
		} else {
			c.setI64(r, toInt64(c.f64(0, r)*float64(unit)))
		}
		return nil
	}), err
}

func unixTimestamp(b *binder, n *Call, args []op) (op, error) {
	zone := b.opts.Zone
	if len(args) == 0 {
		b.varying++
		return &nowOp{t: bigintType.Required(), get: func(now core.Time, _ *time.Location) int64 { return floorDiv(int64(now), usSecond) }}, nil
	}
	if len(args) == 1 && isDateTime(args[0].typ().Kind) {
		read := localReader(args[0].typ().Kind, zone)
		return rowCall(n, bigintType, args, func(c *call, r int) error {
			c.setI64(r, floorDiv(toInstant(read(c, 0, r), zone), usSecond))
			return nil
		}), nil
	}
	if k := args[0].typ().Kind; k != core.String && k != core.Invalid {
		return nil, b.errorf(n, "UNIX_TIMESTAMP takes a STRING, DATE, TIMESTAMP or TIMESTAMP_LTZ, not %s", describe(args[0]))
	}
	x, err := b.convert(n, args[0], stringType)
	args[0] = x
	return &rowOp{t: bigintType, args: args, node: n, fn: parseRow(func(c *call, r int, us int64) {
		c.setI64(r, floorDiv(toInstant(us, zone), usSecond))
	})}, err
}

func fromUnixTime(b *binder, n *Call, args []op) (op, error) {
	if len(args) == 1 {
		args = append(args, bytesConst(core.String, "yyyy-MM-dd HH:mm:ss"))
	}
	zone := b.opts.Zone
	return rowCall(n, stringType, args, func(c *call, r int) error {
		l, err := formatOf(c, 1, r)
		if err != nil {
			return err
		}
		seconds := c.i64(0, r)
		if seconds > math.MaxInt64/usSecond || seconds < math.MinInt64/usSecond {
			return causef(ErrArgument, "%d seconds are out of range", seconds)
		}
		us := seconds * usSecond
		l.write(c, r, toLocal(us, zone), zoneOffset(us, zone))
		return nil
	}), nil
}

func timestampAdd(b *binder, n *Call, args []op) (op, error) {
	unit := n.Args[0].(*Symbol).Name
	x, err := b.needTime(n, args[1])
	if err != nil {
		return nil, err
	}
	k := core.IntervalDay
	size := dayUnits[unit]
	if m := monthUnits[unit]; m > 0 {
		k, size = core.IntervalMonth, m
	}
	if size == 0 {
		return nil, b.errorf(n.Args[0], "TIMESTAMPADD takes YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE or SECOND, not %s", unit)
	}
	t := core.Of(k)
	interval := b.fold2(rowCall(n, t, args[:1], func(c *call, r int) error {
		setInteger(c.out, r, c.i64(0, r)*size)
		return nil
	}), args[0])
	if x.typ().Kind == core.Date && k == core.IntervalDay && size%usDay == 0 {
		return rowCall(n, dateType, []op{x, interval}, func(c *call, r int) error {
			c.setI32(r, c.i32(0, r)+int32(c.i64(1, r)/usDay))
			return nil
		}), nil
	}
	return b.temporalArithmetic(n, '+', x, interval)
}

// fold2 folds o when its only operand is constant.
func (b *binder) fold2(o, operand op) op {
	if _, ok := operand.(*constOp); ok {
		return b.fold(o)
	}
	return o
}

func timestampDiff(b *binder, n *Call, args []op) (op, error) {
	unit := n.Args[0].(*Symbol).Name
	months, size := monthUnits[unit], dayUnits[unit]
	if months == 0 && size == 0 {
		return nil, b.errorf(n.Args[0], "TIMESTAMPDIFF takes YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE or SECOND, not %s", unit)
	}
	var readers [2]func(c *call, arg, r int) int64
	for i := range args {
		x, err := b.needTime(n, args[i])
		if err != nil {
			return nil, err
		}
		args[i], readers[i] = x, localReader(x.typ().Kind, b.opts.Zone)
	}
	return rowCall(n, intType, args, func(c *call, r int) error {
		from, to := readers[0](c, 0, r), readers[1](c, 1, r)
		if months > 0 {
			c.setI32(r, int32(monthsBetween(from, to)/months))
		} else {
			c.setI32(r, int32((to-from)/size))
		}
		return nil
	}), nil
}

// monthsBetween gives the whole months from one wall-clock time to another.
func monthsBetween(from, to int64) int64 {
	y1, m1, _ := civil(floorDiv(from, usDay))
	y2, m2, _ := civil(floorDiv(to, usDay))
	n := (y2-y1)*12 + int64(m2-m1)
	if n > 0 && addMonthsMicros(from, n) > to {
		n--
	} else if n < 0 && addMonthsMicros(from, n) < to {
		n++
	}
	return n
}

func convertTZ(c *call, r int) error {
	us, _, _, err := parseInstant(c.str(0, r))
	from, ok1 := zoneByName(c.str(1, r))
	to, ok2 := zoneByName(c.str(2, r))
	if err != nil || !ok1 || !ok2 {
		c.setNull(r)
		return nil
	}
	c.end(r, appendTimestamp(c.begin(r), toLocal(toInstant(us, from), to), 0))
	return nil
}

var zones = newZoneCache()

func zoneByName(name []byte) (*time.Location, bool) {
	if strings.EqualFold(string(name), "UTC") || strings.EqualFold(string(name), "GMT") {
		return time.UTC, true
	}
	return zones.get(string(name))
}
