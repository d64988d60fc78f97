package expr

import (
	"turbo/core"
)

var jsonFunctions = []function{
	{name: "JSON_VALUE", sig: "JSON_VALUE(json, path [RETURNING type] [{NULL | ERROR | DEFAULT value} ON EMPTY] [{NULL | ERROR | DEFAULT value} ON ERROR])", args: "ss",
		doc: "The scalar at the path ($.a.b[0], $['a b']) of a JSON text, as STRING unless RETURNING says otherwise. NULL when there is none (ON EMPTY), and when the text is not JSON, the value is an object or array, " +
			"or it is no value of the type (ON ERROR), unless the clauses say otherwise. The whole text is checked; of members with one name the last one counts.",
		examples: "JSON_VALUE('{\"a\": {\"b\": [1, \"x\"]}}', '$.a.b[1]') => 'x'\nJSON_VALUE('{\"a\": 5}', '$.a' RETURNING INT) => 5\nJSON_VALUE('{}', '$.a' DEFAULT 'none' ON EMPTY) => 'none'", make: jsonValue},
	{name: "JSON_EXISTS", sig: "JSON_EXISTS(json, path [{TRUE | FALSE | UNKNOWN | ERROR} ON ERROR])", args: "ss",
		doc:      "Whether the JSON text has something, be it null, at the path. FALSE when the text is not JSON, unless the clause says otherwise.",
		examples: "JSON_EXISTS('{\"a\": null}', '$.a') => TRUE\nJSON_EXISTS('{\"a\": 1', '$.a') => FALSE", make: jsonExists},
	{name: "IS_JSON", sig: "IS_JSON(string)", args: "s", ret: boolType, doc: "Whether the text is JSON.", examples: "IS_JSON('[1, {}]') => TRUE\nIS_JSON('[1') => FALSE",
		row: func(c *call, r int) error {
			j := scannerOf(c)
			_, ok := j.scan.find(c.str(0, r), nil)
			c.setBool(r, ok)
			return nil
		}},
}

// jsonState is what a JSON function keeps: its scanner and the path it saw last.
type jsonState struct {
	scan  jsonScanner
	path  string
	steps []jsonStep
	set   bool
	text  vec
	inner call
}

func scannerOf(c *call) *jsonState {
	s, ok := c.state.(*jsonState)
	if !ok {
		s = &jsonState{}
		c.state = s
	}
	return s
}

// lookup finds the path of argument 1 in the text of argument 0.
func (s *jsonState) lookup(c *call, r int) (value []byte, ok bool, err error) {
	if !s.set || !c.arg[1].isConst() && string(c.str(1, r)) != s.path {
		s.path = string(c.str(1, r))
		if s.steps, err = parseJSONPath(s.path); err != nil {
			return nil, false, err
		}
		s.set = true
	}
	value, ok = s.scan.find(c.str(0, r), s.steps)
	return value, ok, nil
}

func (b *binder) checkPath(n *Call, path op) error {
	if text, ok := constString(path); ok {
		if _, err := parseJSONPath(text); err != nil {
			return b.errorf(n.Args[1], "%v", err)
		}
	}
	return nil
}

func jsonValue(b *binder, n *Call, args []op) (op, error) {
	if err := b.checkPath(n, args[1]); err != nil {
		return nil, err
	}
	t := stringType
	if n.JSON.Returning != "" {
		var err error
		if t, err = b.typeText(n.JSON.Returning, n.JSON.ReturningPos); err != nil {
			return nil, err
		}
		t.NotNull = false
	}
	convert := castFromString(t, b)
	if t.Kind != core.String && convert == nil {
		return nil, b.errorf(n, "JSON_VALUE cannot return %s", t)
	}
	defaults := [2]int{-1, -1} // arguments of DEFAULT ON EMPTY, ON ERROR
	actions := [2]string{n.JSON.OnEmpty, n.JSON.OnError}
	for i, value := range [...]Node{n.JSON.EmptyDefault, n.JSON.ErrorDefault} {
		if word := actions[i]; word == "TRUE" || word == "FALSE" || word == "UNKNOWN" {
			return nil, b.errorf(n, "JSON_VALUE takes NULL, ERROR or DEFAULT, not %s", word)
		}
		if value == nil {
			continue
		}
		x, err := b.bind(value)
		if err != nil {
			return nil, err
		}
		if x, err = b.convert(value, x, t); err != nil {
			return nil, err
		}
		defaults[i] = len(args)
		args = append(args, x)
	}
	otherwise := func(c *call, r, which int, cause error) error {
		switch {
		case defaults[which] >= 0 && !c.null(defaults[which], r):
			setRow(c.out, r, c.arg[defaults[which]], r)
			return nil
		case actions[which] == "ERROR":
			return cause
		}
		c.setNull(r)
		return nil
	}
	return &rowOp{t: t, args: args, node: n, onNull: true, fn: func(c *call, r int) error {
		if c.null(0, r) || c.null(1, r) {
			c.setNull(r)
			return nil
		}
		s := scannerOf(c)
		value, ok, err := s.lookup(c, r)
		switch {
		case err != nil:
			return err
		case !ok:
			return otherwise(c, r, 1, causef(ErrArgument, "the text is not JSON"))
		case value == nil:
			return otherwise(c, r, 0, causef(ErrArgument, "the JSON text has nothing at %s", s.path))
		case value[0] == '{' || value[0] == '[':
			return otherwise(c, r, 1, causef(ErrArgument, "the JSON value at %s is no scalar", s.path))
		case string(value) == "null":
			c.setNull(r)
			return nil
		}
		if t.Kind == core.String {
			out := c.begin(r)
			if value[0] == '"' {
				c.end(r, appendUnescaped(out, value[1:len(value)-1]))
			} else {
				c.end(r, append(out, value...))
			}
			return nil
		}
		if err := s.convert(c, r, value, convert); err != nil {
			return otherwise(c, r, 1, err)
		}
		return nil
	}}, nil
}

// convert casts the text of a value by way of a constant argument that holds it.
func (s *jsonState) convert(c *call, r int, value []byte, cast func(c *call, r int) error) error {
	s.text.reset(stringType, 1)
	if value[0] == '"' {
		s.text.data = appendUnescaped(s.text.data, value[1:len(value)-1])
	} else {
		s.text.data = append(s.text.data, value...)
	}
	s.text.end[0] = int32(len(s.text.data))
	s.text.bytes = s.text.data[:0]
	s.text.makeConst()
	s.inner.arg = append(s.inner.arg[:0], &s.text)
	s.inner.out, s.inner.env = c.out, c.env
	return cast(&s.inner, r)
}

func jsonExists(b *binder, n *Call, args []op) (op, error) {
	if err := b.checkPath(n, args[1]); err != nil {
		return nil, err
	}
	word := n.JSON.OnError
	if n.JSON.Returning != "" || n.JSON.OnEmpty != "" || word == "NULL" || word == "DEFAULT" {
		return nil, b.errorf(n, "JSON_EXISTS takes TRUE, FALSE, UNKNOWN or ERROR ON ERROR and nothing else")
	}
	t := withNull(boolType, args...)
	t.NotNull = t.NotNull && word != "UNKNOWN"
	return &rowOp{t: t, args: args, node: n, fn: func(c *call, r int) error {
		value, ok, err := scannerOf(c).lookup(c, r)
		switch {
		case err != nil:
			return err
		case ok:
			c.setBool(r, value != nil)
		case word == "ERROR":
			return causef(ErrArgument, "the text is not JSON")
		case word == "UNKNOWN":
			c.setNull(r)
		default:
			c.setBool(r, word == "TRUE")
		}
		return nil
	}}, nil
}
