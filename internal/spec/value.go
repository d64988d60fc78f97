package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Unlimited is the duration that -1 stands for.
const Unlimited time.Duration = -1

var timeUnits = map[string]float64{
	"ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "sec": 1e9, "m": 60e9, "min": 60e9, "h": 3600e9, "d": 86400e9,
}

// ParseDuration reads 10ms, 0.1ms, 1m, 1h30m, 2d; 0 and -1 (Unlimited) need no unit. Other negative durations take a
// sign in front, as in -5m. The error says what a duration looks like.
func ParseDuration(text string) (time.Duration, error) {
	s := strings.TrimSpace(text)
	if s == "-1" {
		return Unlimited, nil
	}
	if s == "0" {
		return 0, nil
	}
	fail := func(why string) (time.Duration, error) {
		return 0, fmt.Errorf("%s; a duration is a number with ns, us, ms, s, m, h or d, such as 10ms or 1h30m", why)
	}
	sign := 1.0
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		s, sign = rest, -1
	}
	if s == "" {
		return fail("the value is empty")
	}
	total := 0.0
	for s != "" {
		i := 0
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
			i++
		}
		number, err := strconv.ParseFloat(s[:i], 64)
		if err != nil {
			return fail("no number")
		}
		s = strings.TrimLeft(s[i:], " ")
		j := 0
		for j < len(s) && !(s[j] >= '0' && s[j] <= '9' || s[j] == '.' || s[j] == ' ') {
			j++
		}
		if j == 0 {
			return fail("the number has no unit")
		}
		unit, ok := timeUnits[s[:j]]
		if !ok {
			return fail(fmt.Sprintf("unknown unit %q", s[:j]))
		}
		total += number * unit
		s = strings.TrimLeft(s[j:], " ")
	}
	if total >= math.MaxInt64 {
		return fail("the duration is above 292 years")
	}
	return time.Duration(math.Round(sign * total)), nil
}

var sizeUnits = map[string]float64{
	"": 1, "b": 1, "bytes": 1,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

// ParseSize reads a number of bytes: 128MiB and 128m (powers of 1024), 100MB (powers of 1000), 4096.
func ParseSize(text string) (int64, error) {
	s := strings.TrimSpace(text)
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	number, err := strconv.ParseFloat(s[:i], 64)
	unit, ok := sizeUnits[strings.ToLower(strings.TrimSpace(s[i:]))]
	if err != nil || !ok {
		return 0, fmt.Errorf("not a size; a size is a number with B, KiB, MiB, GiB (1024) or KB, MB, GB (1000), such as 128MiB")
	}
	if number*unit >= math.MaxInt64 {
		return 0, fmt.Errorf("the size is above 8 EiB")
	}
	return int64(math.Round(number * unit)), nil
}

// ParseBool reads true and false, and the words that YAML users expect.
func ParseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("not true or false")
}

// ParseInt reads a whole number; underscores between digits are allowed.
func ParseInt(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil {
		if _, isFloat := strconv.ParseFloat(text, 64); isFloat == nil {
			return 0, fmt.Errorf("not a whole number in the range of 64 bits")
		}
		return 0, fmt.Errorf("not a number")
	}
	return n, nil
}

// ParseFloat reads a number. Infinity and NaN are refused.
func ParseFloat(text string) (float64, error) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, fmt.Errorf("not a number")
	}
	return f, nil
}

// FormatDuration renders a duration as ParseDuration reads it, without the zero parts of time.Duration's form.
func FormatDuration(d time.Duration) string {
	if d == Unlimited {
		return "-1"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// FormatSize renders a size with the largest binary unit that divides it.
func FormatSize(n int64) string {
	for _, u := range []struct {
		name string
		by   int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.by && n%u.by == 0 {
			return strconv.FormatInt(n/u.by, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
