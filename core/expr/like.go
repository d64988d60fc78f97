package expr

import (
	"bytes"
	"unicode/utf8"

	"turbo/core"
)

// likeShape is the form of a LIKE pattern; all but likeAny need no general matching.
type likeShape uint8

const (
	likeExact    likeShape = iota // abc, and = 'abc'
	likePrefix                    // abc%
	likeSuffix                    // %abc
	likeContains                  // %abc%
	likeAny                       // the rest
)

// likePart is a piece of a pattern: text, _ or %.
type likePart struct {
	text []byte
	kind byte // 't', '_' or '%'
}

// parseLike splits a pattern; escape is 0 for none.
func parseLike(pattern []byte, escape rune) ([]likePart, error) {
	var parts []likePart
	var text []byte
	flush := func() {
		if len(text) > 0 {
			parts = append(parts, likePart{append([]byte(nil), text...), 't'})
			text = text[:0]
		}
	}
	for i := 0; i < len(pattern); {
		r, size := utf8.DecodeRune(pattern[i:])
		c := pattern[i : i+size]
		i += size
		switch {
		case escape != 0 && r == escape:
			next, size := utf8.DecodeRune(pattern[i:])
			if next != '%' && next != '_' && next != escape {
				return nil, causef(ErrArgument, "the LIKE pattern %q has the escape character %q before something that is not %%, _ or itself", pattern, escape)
			}
			text = append(text, pattern[i:i+size]...)
			i += size
		case r == '%':
			flush()
			if len(parts) == 0 || parts[len(parts)-1].kind != '%' {
				parts = append(parts, likePart{kind: '%'})
			}
		case r == '_':
			flush()
			parts = append(parts, likePart{kind: '_'})
		default:
			text = append(text, c...)
		}
	}
	flush()
	return parts, nil
}

func shapeOf(parts []likePart) (likeShape, []byte) {
	kinds := make([]byte, len(parts))
	var text []byte
	for i, p := range parts {
		kinds[i] = p.kind
		if p.kind == 't' {
			text = p.text
		}
	}
	switch string(kinds) {
	case "", "t":
		return likeExact, text
	case "t%", "%":
		return likePrefix, text
	case "%t":
		return likeSuffix, text
	case "%t%":
		return likeContains, text
	}
	return likeAny, nil
}

// matchLike tells whether s matches the parts. It goes back to the last % only, which is enough.
func matchLike(s []byte, parts []likePart) bool {
	at, part := 0, 0
	retryAt, retryPart := -1, 0
	for {
		if part < len(parts) {
			p := &parts[part]
			switch {
			case p.kind == '%':
				if part == len(parts)-1 {
					return true
				}
				part++
				retryAt, retryPart = at, part
				continue
			case p.kind == '_' && at < len(s):
				_, size := utf8.DecodeRune(s[at:])
				at += size
				part++
				continue
			case p.kind == 't' && bytes.HasPrefix(s[at:], p.text):
				at += len(p.text)
				part++
				continue
			}
		} else if at == len(s) {
			return true
		}
		if retryAt < 0 || retryAt >= len(s) {
			return false
		}
		_, size := utf8.DecodeRune(s[retryAt:])
		retryAt += size
		at, part = retryAt, retryPart
	}
}

// likeOp is x LIKE a constant pattern, or x = a constant string.
type likeOp struct {
	target
	t     core.Type
	x     op
	shape likeShape
	text  shortText
	parts []likePart
}

func (o *likeOp) typ() core.Type  { return o.t }
func (o *likeOp) result() *target { return &o.target }

func (o *likeOp) matches(s []byte) bool {
	switch o.shape {
	case likeExact:
		return string(s) == string(o.text.text)
	case likePrefix:
		return bytes.HasPrefix(s, o.text.text)
	case likeSuffix:
		return bytes.HasSuffix(s, o.text.text)
	case likeContains:
		return bytes.Contains(s, o.text.text)
	}
	return matchLike(s, o.parts)
}

func (o *likeOp) eval(e *env, sel []int32) (*vec, error) {
	a, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	n, constant := e.n, a.isConst()
	if constant {
		n, sel = 1, nil
	}
	out := o.begin(o.t, n)
	if !out.intersect(n, a) {
		out.allNull(o.t)
		return out, nil
	}
	y := vals[uint8](out)
	if sel == nil {
		for r := range n {
			y[r] = b2u(o.matches(a.str(r)))
		}
	} else {
		for _, r := range sel {
			y[r] = b2u(o.matches(a.str(int(r))))
		}
	}
	if constant {
		out.makeConst()
	}
	return out, nil
}

func (o *likeOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	a, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	if a.isConst() {
		if a.null(0) || !o.matches(a.str(0)) {
			return dst[:0], nil
		}
		return selectAll(dst, sel, e.n), nil
	}
	if a.valid != nil {
		sel = selectValid(dst, a.valid, sel, e.n)
	}
	if o.shape == likeExact || o.shape == likePrefix {
		return o.text.filterPrefix(dst, a, sel, e.n, o.shape == likeExact), nil
	}
	k := 0
	for _, r := range e.rows(sel) {
		dst[k] = r
		k += b2i(o.matches(a.str(int(r))))
	}
	return dst[:k], nil
}

func (b *binder) like(n *Like) (op, error) {
	args, err := b.binds(n.X, n.Pattern)
	if err != nil {
		return nil, err
	}
	for i, a := range args {
		if untyped(a) {
			return nullOp(core.Of(core.Boolean)), nil
		}
		if a.typ().Kind != core.String {
			return nil, b.errorf(n, "LIKE needs strings, but its %s is %s: convert with CAST", [...]string{"left side", "pattern"}[i], describe(a))
		}
	}
	escape := rune(0)
	if n.Escape != nil {
		x, err := b.bind(n.Escape)
		if err != nil {
			return nil, err
		}
		text, ok := constString(x)
		if !ok || utf8.RuneCountInString(text) != 1 {
			return nil, b.errorf(n.Escape, "ESCAPE needs a constant string of one character")
		}
		escape, _ = utf8.DecodeRuneInString(text)
	}
	var o op
	t := withNull(core.Of(core.Boolean), args...)
	if pattern, ok := constString(args[1]); ok {
		parts, err := parseLike([]byte(pattern), escape)
		if err != nil {
			return nil, b.errorf(n.Pattern, "%v", err)
		}
		shape, text := shapeOf(parts)
		o = &likeOp{t: t, x: args[0], shape: shape, text: newShortText(text), parts: parts}
	} else {
		o = &rowOp{t: t, args: args, node: n, fn: likeRow(escape)}
	}
	if n.Not {
		return &notOp{x: o}, nil
	}
	return o, nil
}

// likeRow matches a pattern that changes from row to row, and keeps the last one.
func likeRow(escape rune) func(c *call, r int) error {
	type last struct {
		pattern []byte
		parts   []likePart
		err     error
	}
	return func(c *call, r int) error {
		pattern := c.str(1, r)
		l, ok := c.state.(*last)
		if !ok || !bytes.Equal(l.pattern, pattern) {
			l = &last{pattern: append([]byte(nil), pattern...)}
			l.parts, l.err = parseLike(pattern, escape)
			c.state = l
		}
		if l.err != nil {
			return l.err
		}
		c.setBool(r, matchLike(c.str(0, r), l.parts))
		return nil
	}
}
