package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Variables fill ${NAME}, ${NAME:-default} (the default also when the value is empty) and ${env:NAME} (the environment
// only) in the values of a specification. "$${" stands for a "${" that is meant as it is.
type Variables struct {
	Defines map[string]string           // from -D, beats the environment
	Lookup  func(string) (string, bool) // the environment, such as os.LookupEnv; nil: none
}

type expandError struct {
	offset  int
	message string
}

const maxVariableDepth = 16

// expand fills in the variables of one scalar and says which parts of the result came from one.
func (v Variables) expand(raw string) (string, []span, *expandError) {
	if !strings.Contains(raw, "${") {
		return raw, nil, nil
	}
	var out strings.Builder
	var spans []span
	for at := 0; at < len(raw); {
		i := strings.Index(raw[at:], "${")
		if i < 0 {
			out.WriteString(raw[at:])
			break
		}
		i += at
		if i > at && raw[i-1] == '$' { // $${ is ${
			out.WriteString(raw[at : i-1])
			start := out.Len()
			out.WriteString("${")
			spans = append(spans, span{start, start + 2, i - 1, i + 2})
			at = i + 2
			continue
		}
		out.WriteString(raw[at:i])
		value, end, err := v.variable(raw, i, 0)
		if err != nil {
			return "", nil, err
		}
		spans = append(spans, span{out.Len(), out.Len() + len(value), i, end})
		out.WriteString(value)
		at = end
	}
	return out.String(), spans, nil
}

// variable reads the ${...} at start and returns its value and the offset behind it.
func (v Variables) variable(raw string, start, depth int) (string, int, *expandError) {
	if depth > maxVariableDepth {
		return "", 0, &expandError{start, fmt.Sprintf("variables nest deeper than %d levels", maxVariableDepth)}
	}
	at := start + 2
	for at < len(raw) && (raw[at] == '_' || raw[at] == '.' || raw[at] == '-' || isAlphanumeric(raw[at])) {
		at++
	}
	name, environmentOnly := raw[start+2:at], false
	if name == "env" && at < len(raw) && raw[at] == ':' && !strings.HasPrefix(raw[at:], ":-") {
		environmentOnly = true
		from := at + 1
		for at = from; at < len(raw) && (raw[at] == '_' || isAlphanumeric(raw[at])); at++ {
		}
		name = raw[from:at]
	}
	if name == "" {
		return "", 0, &expandError{start, "${...} needs the name of a variable, as in ${NAME} or ${NAME:-default}; write $${ for a ${ that is text"}
	}
	fallback, hasFallback := "", false
	if strings.HasPrefix(raw[at:], ":-") {
		hasFallback = true
		var b strings.Builder
		for at += 2; at < len(raw) && raw[at] != '}'; {
			if strings.HasPrefix(raw[at:], "${") {
				inner, end, err := v.variable(raw, at, depth+1)
				if err != nil {
					return "", 0, err
				}
				b.WriteString(inner)
				at = end
				continue
			}
			b.WriteByte(raw[at])
			at++
		}
		fallback = b.String()
	}
	if at >= len(raw) || raw[at] != '}' {
		return "", 0, &expandError{start, fmt.Sprintf("the variable ${%s is not closed with }", name)}
	}
	at++
	value, ok := v.find(name, environmentOnly)
	switch {
	case ok && (value != "" || !hasFallback):
		return value, at, nil
	case hasFallback:
		return fallback, at, nil
	case environmentOnly:
		return "", 0, &expandError{start, fmt.Sprintf("the environment has no variable %s", name)}
	}
	names := make([]string, 0, len(v.Defines))
	for n := range v.Defines {
		names = append(names, n)
	}
	slices.Sort(names)
	hint := ""
	if near := Nearest(name, names); near != "" {
		hint = fmt.Sprintf(" (-D defines %s)", near)
	}
	return "", 0, &expandError{start, fmt.Sprintf("the variable %s is not defined%s: give -D %s=VALUE, set it in the environment, or write ${%s:-default}", name, hint, name, name)}
}

func (v Variables) find(name string, environmentOnly bool) (string, bool) {
	if !environmentOnly {
		if value, ok := v.Defines[name]; ok {
			return value, true
		}
	}
	if v.Lookup != nil {
		return v.Lookup(name)
	}
	return "", false
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
