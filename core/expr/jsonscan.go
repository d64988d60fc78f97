package expr

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonStep is one step of a JSON path: a member's name, or an element's index when name is nil.
type jsonStep struct {
	name  []byte
	index int
}

// parseJSONPath reads [lax|strict] $ followed by .name, ['name'], [0].
func parseJSONPath(text string) ([]jsonStep, error) {
	rest := strings.TrimSpace(text)
	for _, mode := range [...]string{"lax ", "strict "} {
		rest = strings.TrimSpace(strings.TrimPrefix(rest, mode))
	}
	bad := func(why string) error { return causef(ErrArgument, "the JSON path %s: %s", quote(text), why) }
	if !strings.HasPrefix(rest, "$") {
		return nil, bad("it must begin with $")
	}
	rest = rest[1:]
	steps := []jsonStep{}
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, "..") || strings.HasPrefix(rest, ".*") || strings.HasPrefix(rest, "[*") || strings.HasPrefix(rest, "[?"):
			return nil, bad("wildcards and filters are not supported: name one member or element")
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			name := rest[1 : 1+end]
			if name == "" {
				return nil, bad("a name is missing after .")
			}
			steps, rest = append(steps, jsonStep{name: []byte(name)}), rest[1+end:]
		case len(rest) > 1 && rest[0] == '[' && (rest[1] == '\'' || rest[1] == '"'):
			end := strings.Index(rest[2:], rest[1:2]+"]")
			if end < 0 {
				return nil, bad("a quote or bracket is not closed")
			}
			steps, rest = append(steps, jsonStep{name: []byte(rest[2 : 2+end])}), rest[2+end+2:]
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, bad("a bracket is not closed")
			}
			i, err := strconv.Atoi(strings.TrimSpace(rest[1:end]))
			if err != nil || i < 0 {
				return nil, bad("an index must be a number from 0")
			}
			steps, rest = append(steps, jsonStep{index: i}), rest[end+1:]
		default:
			return nil, bad("expected . or [")
		}
	}
	return steps, nil
}

// maxJSONDepth bounds the nesting of JSON that is scanned.
const maxJSONDepth = 1000

// jsonScanner checks one JSON text and finds the value of a path in it, without building a tree.
type jsonScanner struct {
	s     []byte
	at    int
	found []byte // the value found last, as written; of members with one name the last one counts
	name  []byte // buffer for names with escapes
}

// find gives the value at the path as written, or nil when there is none; ok is false when s is not JSON.
func (j *jsonScanner) find(s []byte, steps []jsonStep) (value []byte, ok bool) {
	j.s, j.at, j.found = s, 0, nil
	if !j.value(steps, true, 0) {
		return nil, false
	}
	j.space()
	return j.found, j.at == len(s)
}

func (j *jsonScanner) space() {
	for j.at < len(j.s) {
		switch j.s[j.at] {
		case ' ', '\t', '\n', '\r':
			j.at++
		default:
			return
		}
	}
}

// value scans a value. on says that it lies on the path, of which steps are left.
func (j *jsonScanner) value(steps []jsonStep, on bool, depth int) bool {
	j.space()
	if j.at >= len(j.s) || depth > maxJSONDepth {
		return false
	}
	start, ok := j.at, false
	switch c := j.s[j.at]; {
	case c == '{':
		ok = j.object(steps, on && len(steps) > 0 && steps[0].name != nil, depth)
	case c == '[':
		ok = j.array(steps, on && len(steps) > 0 && steps[0].name == nil, depth)
	case c == '"':
		_, ok = j.text()
	case c == '-' || isDigit(c):
		ok = j.number()
	default:
		for _, word := range [...]string{"true", "false", "null"} {
			if strings.HasPrefix(string(j.s[j.at:min(j.at+5, len(j.s))]), word) {
				j.at += len(word)
				ok = true
				break
			}
		}
	}
	if ok && on && len(steps) == 0 {
		j.found = j.s[start:j.at]
	}
	return ok
}

func (j *jsonScanner) object(steps []jsonStep, on bool, depth int) bool {
	j.at++
	if j.space(); j.at < len(j.s) && j.s[j.at] == '}' {
		j.at++
		return true
	}
	for {
		j.space()
		if j.at >= len(j.s) || j.s[j.at] != '"' {
			return false
		}
		raw, ok := j.text()
		if !ok {
			return false
		}
		hit := false
		if on {
			j.name = appendUnescaped(j.name[:0], raw)
			if hit = string(j.name) == string(steps[0].name); hit {
				j.found = nil // an earlier member of the same name
			}
		}
		if j.space(); j.at >= len(j.s) || j.s[j.at] != ':' {
			return false
		}
		j.at++
		rest := steps
		if hit {
			rest = steps[1:]
		}
		if !j.value(rest, hit, depth+1) {
			return false
		}
		if done, ok := j.next('}'); done || !ok {
			return ok
		}
	}
}

func (j *jsonScanner) array(steps []jsonStep, on bool, depth int) bool {
	j.at++
	if j.space(); j.at < len(j.s) && j.s[j.at] == ']' {
		j.at++
		return true
	}
	for i := 0; ; i++ {
		rest, hit := steps, on && steps[0].index == i
		if hit {
			rest = steps[1:]
		}
		if !j.value(rest, hit, depth+1) {
			return false
		}
		if done, ok := j.next(']'); done || !ok {
			return ok
		}
	}
}

// next takes a comma, or the closing bracket, which is the end.
func (j *jsonScanner) next(closing byte) (done, ok bool) {
	j.space()
	if j.at >= len(j.s) {
		return false, false
	}
	c := j.s[j.at]
	j.at++
	return c == closing, c == closing || c == ','
}

// text scans a string and gives what is between the quotes, escapes as written.
func (j *jsonScanner) text() ([]byte, bool) {
	start := j.at + 1
	for i := start; i < len(j.s); i++ {
		switch c := j.s[i]; {
		case c == '"':
			j.at = i + 1
			return j.s[start:i], true
		case c < 0x20:
			return nil, false
		case c == '\\':
			i++
			if i >= len(j.s) || strings.IndexByte(`"\/bfnrtu`, j.s[i]) < 0 {
				return nil, false
			}
			if j.s[i] == 'u' {
				if i+4 >= len(j.s) {
					return nil, false
				}
				for _, h := range j.s[i+1 : i+5] {
					if _, ok := hexDigit(h); !ok {
						return nil, false
					}
				}
			}
		}
	}
	return nil, false
}

func (j *jsonScanner) number() bool {
	digits := func() bool {
		from := j.at
		for j.at < len(j.s) && isDigit(j.s[j.at]) {
			j.at++
		}
		return j.at > from
	}
	if j.s[j.at] == '-' {
		j.at++
	}
	zero := j.at
	if !digits() || j.s[zero] == '0' && j.at > zero+1 {
		return false
	}
	if j.at < len(j.s) && j.s[j.at] == '.' {
		if j.at++; !digits() {
			return false
		}
	}
	if j.at < len(j.s) && j.s[j.at]|0x20 == 'e' {
		j.at++
		if j.at < len(j.s) && (j.s[j.at] == '+' || j.s[j.at] == '-') {
			j.at++
		}
		return digits()
	}
	return true
}

// appendUnescaped writes a scanned string with its escapes resolved.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		i++
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			unit := hexUnit(s[i+1:])
			i += 4
			if 0xd800 <= unit && unit < 0xdc00 && i+6 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
				if low := hexUnit(s[i+3:]); 0xdc00 <= low && low < 0xe000 {
					unit = 0x10000 + (unit-0xd800)<<10 + (low - 0xdc00)
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, unit)
		default:
			dst = append(dst, s[i])
		}
	}
	return dst
}

func hexUnit(s []byte) rune {
	var r rune
	for _, c := range s[:4] {
		d, _ := hexDigit(c)
		r = r<<4 | rune(d)
	}
	return r
}
