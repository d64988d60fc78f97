package expr

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// oracle evaluates an expression for one row, naively: nil is NULL, INT is int32, BIGINT is int64, DOUBLE is float64, STRING is string, BOOLEAN is bool.
// It shares nothing with the compiler but the syntax tree.
type oracle map[string]any

var errOracle = errors.New("oracle: the row has no value")

func (o oracle) eval(n Node) (any, error) {
	switch n := n.(type) {
	case *Literal:
		switch n.Kind {
		case LiteralNull:
			return nil, nil
		case LiteralBool:
			return n.Text == "TRUE", nil
		case LiteralString:
			return n.Text, nil
		}
		if strings.ContainsAny(n.Text, "eE") {
			return strconv.ParseFloat(n.Text, 64)
		}
		i, err := strconv.ParseInt(n.Text, 10, 64)
		if i == int64(int32(i)) {
			return int32(i), err
		}
		return i, err
	case *Column:
		return o[n.Parts[0]], nil
	case *Unary:
		x, err := o.eval(n.X)
		if err != nil || x == nil {
			return nil, err
		}
		switch x := x.(type) {
		case bool:
			return !x, nil
		case int32:
			return -x, nil
		case int64:
			return -x, nil
		}
		return -x.(float64), nil
	case *Binary:
		return o.binary(n)
	case *Is:
		x, err := o.eval(n.X)
		if err != nil {
			return nil, err
		}
		var is bool
		switch n.What {
		case "NULL", "UNKNOWN":
			is = x == nil
		case "TRUE":
			is = x == true
		case "FALSE":
			is = x == false
		}
		return is != n.Not, nil
	case *Between:
		x, low, err := o.two(n.X, n.Low)
		if err != nil {
			return nil, err
		}
		left := naiveCompare(">=", x, low)
		result := left
		if left != false {
			high, err := o.eval(n.High)
			if err != nil {
				return nil, err
			}
			result = naiveAnd(left, naiveCompare("<=", x, high))
		}
		return naiveNot(result, n.Not), nil
	case *In:
		x, err := o.eval(n.X)
		if err != nil {
			return nil, err
		}
		var result any = false
		for _, item := range n.List {
			v, err := o.eval(item)
			if err != nil {
				return nil, err
			}
			equal := naiveCompare("=", x, v)
			if equal == true {
				result = true
				break
			}
			if equal == nil {
				result = nil
			}
		}
		return naiveNot(result, n.Not), nil
	case *Like:
		x, pattern, err := o.two(n.X, n.Pattern)
		if err != nil || x == nil || pattern == nil {
			return nil, err
		}
		return naiveLike([]rune(x.(string)), []rune(pattern.(string))) != n.Not, nil
	case *Case:
		return o.caseOf(n)
	case *Cast:
		x, err := o.eval(n.X)
		if err != nil || x == nil {
			return nil, err
		}
		v, err := naiveCast(x, n.Type)
		if err != nil && n.Try {
			return nil, nil
		}
		return v, err
	case *Call:
		return o.call(n)
	}
	return nil, fmt.Errorf("the oracle does not know %s", n)
}

func (o oracle) two(a, b Node) (x, y any, err error) {
	if x, err = o.eval(a); err != nil {
		return
	}
	y, err = o.eval(b)
	return
}

func naiveNot(x any, not bool) any {
	if b, ok := x.(bool); ok {
		return b != not
	}
	return nil
}

func naiveAnd(a, b any) any {
	switch {
	case a == false || b == false:
		return false
	case a == nil || b == nil:
		return nil
	}
	return true
}

func (o oracle) binary(n *Binary) (any, error) {
	if n.Op == "AND" || n.Op == "OR" {
		x, err := o.eval(n.L)
		if err != nil || x == (n.Op == "OR") {
			return x, err
		}
		y, err := o.eval(n.R)
		if err != nil {
			return nil, err
		}
		if n.Op == "AND" {
			return naiveAnd(x, y), nil
		}
		return naiveNot(naiveAnd(naiveNot(x, true), naiveNot(y, true)), true), nil
	}
	x, y, err := o.two(n.L, n.R)
	if err != nil {
		return nil, err
	}
	switch n.Op {
	case "IS DISTINCT FROM", "IS NOT DISTINCT FROM":
		same := x == nil && y == nil || x != nil && y != nil && naiveCompare("=", x, y) == true
		return same == (n.Op == "IS NOT DISTINCT FROM"), nil
	case "=", "<>", "<", "<=", ">", ">=":
		return naiveCompare(n.Op, x, y), nil
	}
	if x == nil || y == nil {
		return nil, nil
	}
	if n.Op == "||" {
		return x.(string) + y.(string), nil
	}
	_, float1 := x.(float64)
	_, float2 := y.(float64)
	if float1 || float2 {
		a, b := naiveFloat(x), naiveFloat(y)
		switch n.Op {
		case "+":
			return a + b, nil
		case "-":
			return a - b, nil
		case "*":
			return a * b, nil
		case "/":
			return a / b, nil
		}
		return math.Mod(a, b), nil
	}
	a, b := naiveInt(x), naiveInt(y)
	var v int64
	switch n.Op {
	case "+":
		v = a + b
	case "-":
		v = a - b
	case "*":
		v = a * b
	default:
		if b == 0 {
			return nil, errOracle
		}
		if v = a / b; n.Op == "%" {
			v = a % b
		}
	}
	_, wide1 := x.(int64)
	_, wide2 := y.(int64)
	if n.Op == "%" && wide2 || n.Op != "%" && (wide1 || wide2) {
		return v, nil
	}
	return int32(v), nil
}

func naiveInt(x any) int64 {
	if i, ok := x.(int32); ok {
		return int64(i)
	}
	return x.(int64)
}

func naiveFloat(x any) float64 {
	if f, ok := x.(float64); ok {
		return f
	}
	return float64(naiveInt(x))
}

func naiveCompare(op string, x, y any) any {
	if x == nil || y == nil {
		return nil
	}
	var less, equal bool
	switch a := x.(type) {
	case string:
		less, equal = a < y.(string), a == y.(string)
	case bool:
		less, equal = !a && y.(bool), a == y.(bool)
	default:
		_, float1 := x.(float64)
		_, float2 := y.(float64)
		if float1 || float2 {
			p, q := naiveFloat(x), naiveFloat(y)
			if p != p || q != q {
				return op == "<>"
			}
			less, equal = p < q, p == q
		} else {
			less, equal = naiveInt(x) < naiveInt(y), naiveInt(x) == naiveInt(y)
		}
	}
	switch op {
	case "=":
		return equal
	case "<>":
		return !equal
	case "<":
		return less
	case "<=":
		return less || equal
	case ">":
		return !less && !equal
	}
	return !less
}

func naiveLike(s, pattern []rune) bool {
	if len(pattern) == 0 {
		return len(s) == 0
	}
	switch pattern[0] {
	case '%':
		return naiveLike(s, pattern[1:]) || len(s) > 0 && naiveLike(s[1:], pattern)
	case '_':
		return len(s) > 0 && naiveLike(s[1:], pattern[1:])
	}
	return len(s) > 0 && s[0] == pattern[0] && naiveLike(s[1:], pattern[1:])
}

// cond tells whether a condition is true. Where only that matters, the right side of AND is not evaluated when the left side is NULL.
func (o oracle) cond(n Node) (bool, error) {
	switch n := n.(type) {
	case *Binary:
		if n.Op == "AND" || n.Op == "OR" {
			x, err := o.cond(n.L)
			if err != nil || x == (n.Op == "OR") {
				return x, err
			}
			return o.cond(n.R)
		}
	case *Between:
		if !n.Not {
			x, low, err := o.two(n.X, n.Low)
			if err != nil || naiveCompare(">=", x, low) != true {
				return false, err
			}
			high, err := o.eval(n.High)
			return naiveCompare("<=", x, high) == true, err
		}
	}
	v, err := o.eval(n)
	return v == true, err
}

func (o oracle) caseOf(n *Case) (any, error) {
	var operand any
	var err error
	if n.Operand != nil {
		if operand, err = o.eval(n.Operand); err != nil {
			return nil, err
		}
	}
	for _, w := range n.Whens {
		if n.Operand == nil {
			yes, err := o.cond(w.Cond)
			if err != nil {
				return nil, err
			}
			if yes {
				return o.eval(w.Value)
			}
			continue
		}
		value, err := o.eval(w.Cond)
		if err != nil {
			return nil, err
		}
		if naiveCompare("=", operand, value) == true {
			return o.eval(w.Value)
		}
	}
	if n.Else == nil {
		return nil, nil
	}
	return o.eval(n.Else)
}

func naiveCast(x any, t string) (any, error) {
	switch t {
	case "STRING":
		if b, ok := x.(bool); ok {
			return strings.ToUpper(strconv.FormatBool(b)), nil
		}
		return fmt.Sprint(x), nil
	case "DOUBLE":
		return naiveFloat(x), nil
	}
	if s, ok := x.(string); ok {
		i, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
		if err != nil {
			return nil, errOracle
		}
		return int32(i), nil
	}
	low, high := float64(math.MinInt64), float64(math.MaxInt64)
	if t == "INT" {
		low, high = math.MinInt32, math.MaxInt32
	}
	var v int64
	if f, ok := x.(float64); ok {
		switch {
		case f != f:
		case f <= low:
			v = int64(low)
		case f >= high && t == "INT":
			v = math.MaxInt32
		case f >= high:
			v = math.MaxInt64
		default:
			v = int64(math.Trunc(f))
		}
	} else {
		v = naiveInt(x)
	}
	if t == "INT" {
		return int32(v), nil
	}
	return v, nil
}

func (o oracle) call(n *Call) (any, error) {
	switch n.Name {
	case "IF":
		yes, err := o.cond(n.Args[0])
		if err != nil {
			return nil, err
		}
		if yes {
			return o.eval(n.Args[1])
		}
		return o.eval(n.Args[2])
	case "COALESCE":
		for _, a := range n.Args {
			if v, err := o.eval(a); err != nil || v != nil {
				return v, err
			}
		}
		return nil, nil
	}
	args := make([]any, len(n.Args))
	for i, a := range n.Args {
		if _, ok := a.(*Symbol); ok {
			args[i] = ""
			continue
		}
		var err error
		if args[i], err = o.eval(a); err != nil {
			return nil, err
		}
	}
	if n.Name == "NULLIF" {
		if naiveCompare("=", args[0], args[1]) == true {
			return nil, nil
		}
		return args[0], nil
	}
	for _, a := range args {
		if a == nil {
			return nil, nil
		}
	}
	return naiveFunction(n.Name, args), nil
}

func naiveFunction(name string, args []any) any {
	switch name {
	case "UPPER":
		return strings.ToUpper(args[0].(string))
	case "LOWER":
		return strings.ToLower(args[0].(string))
	case "TRIM":
		return strings.Trim(args[2].(string), " ")
	case "REPLACE":
		return strings.ReplaceAll(args[0].(string), args[1].(string), args[2].(string))
	case "REVERSE":
		out := ""
		for _, r := range args[0].(string) {
			out = string(r) + out
		}
		return out
	case "SUBSTRING":
		runes := []rune(args[0].(string))
		from := min(int(naiveInt(args[1]))-1, len(runes))
		return string(runes[from:min(from+int(naiveInt(args[2])), len(runes))])
	case "CHAR_LENGTH":
		return int32(utf8.RuneCountInString(args[0].(string)))
	case "POSITION":
		at := strings.Index(args[1].(string), args[0].(string))
		if at < 0 {
			return int32(0)
		}
		return int32(utf8.RuneCountInString(args[1].(string)[:at])) + 1
	case "FLOOR":
		return math.Floor(args[0].(float64))
	case "CEIL":
		return math.Ceil(args[0].(float64))
	case "SQRT":
		return math.Sqrt(args[0].(float64))
	case "GREATEST":
		if naiveCompare("<", args[0], args[1]) == true {
			return args[1]
		}
		return args[0]
	case "ABS":
		switch x := args[0].(type) {
		case int32:
			return max(x, -x)
		case int64:
			return max(x, -x)
		}
		return math.Abs(args[0].(float64))
	}
	panic("the oracle does not know " + name)
}
