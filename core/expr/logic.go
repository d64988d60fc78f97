package expr

import (
	"turbo/core"
)

// condition checks that x is BOOLEAN.
func (b *binder) condition(n Node, x op, what string) (op, error) {
	if untyped(x) {
		return nullOp(core.Of(core.Boolean)), nil
	}
	if x.typ().Kind != core.Boolean {
		return nil, b.errorf(n, "%s needs a BOOLEAN, but %s is %s", what, shorten(n.String(), 60), describe(x))
	}
	return x, nil
}

func (b *binder) logic(n *Binary) (op, error) {
	var sides [2]op
	for i, side := range [...]Node{n.L, n.R} {
		x, err := b.bind(side)
		if err != nil {
			return nil, err
		}
		if sides[i], err = b.condition(side, x, n.Op); err != nil {
			return nil, err
		}
	}
	// TRUE AND x is x, FALSE OR x is x.
	for i, s := range sides {
		if c, ok := s.(*constOp); ok && !c.v.null(0) && (vals[uint8](&c.v)[0] == 1) == (n.Op == "AND") {
			return sides[1-i], nil
		}
	}
	return &logicOp{t: withNull(core.Of(core.Boolean), sides[:]...), l: sides[0], r: sides[1], or: n.Op == "OR"}, nil
}

// logicOp is AND or OR in three-valued logic. The right side is evaluated only for rows that the left side leaves open, so that x <> 0 AND 1 / x > 2 never fails.
type logicOp struct {
	target
	t         core.Type
	l, r      op
	or        bool
	open, hit []int32
}

func (o *logicOp) typ() core.Type  { return o.t }
func (o *logicOp) result() *target { return &o.target }

func (o *logicOp) eval(e *env, sel []int32) (*vec, error) {
	a, err := o.l.eval(e, sel)
	if err != nil {
		return nil, err
	}
	decided := b2u(o.or) // the value of the left side that decides
	x := vals[uint8](a)
	if a.isConst() && !a.null(0) && x[0] == decided {
		return a, nil
	}
	out := o.begin(o.t, e.n)
	y := vals[uint8](out)
	o.open = roomFor(o.open, e.n)
	open := o.open[:0]
	for _, r := range e.rows(sel) {
		if a.null(int(r)) {
			out.setNull(int(r))
			open = append(open, r)
			continue
		}
		v := x[int(r)&a.mask]
		y[r] = v
		if v != decided {
			open = append(open, r)
		}
	}
	if len(open) == 0 {
		return out, nil
	}
	b, err := o.r.eval(e, open)
	if err != nil {
		return nil, err
	}
	z := vals[uint8](b)
	for _, r := range open {
		row := int(r)
		switch {
		case b.null(row):
			out.setNull(row)
		case z[row&b.mask] == decided:
			y[row] = decided
			if out.valid != nil {
				out.valid[row>>3] |= 1 << (row & 7)
			}
		}
		// Else the right side is the neutral value: the left side, true, false or null, stands.
	}
	return out, nil
}

func (o *logicOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	if !o.or {
		hit, err := filterRows(e, o.l, sel, dst)
		if err != nil || len(hit) == 0 {
			return hit, err
		}
		return filterRows(e, o.r, hit, hit)
	}
	o.hit, o.open = roomFor(o.hit, e.n), roomFor(o.open, e.n)
	hit, err := filterRows(e, o.l, sel, o.hit)
	if err != nil {
		return nil, err
	}
	open := without(o.open, e.rows(sel), hit)
	more, err := filterRows(e, o.r, open, open)
	if err != nil {
		return nil, err
	}
	return merge(dst, hit, more), nil
}

// roomFor gives s with room for n rows.
func roomFor(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, grown(n))
	}
	return s[:cap(s)]
}

// notOp is NOT x: null stays null.
type notOp struct {
	target
	x op
}

func (o *notOp) typ() core.Type  { return o.x.typ() }
func (o *notOp) result() *target { return &o.target }

func (o *notOp) eval(e *env, sel []int32) (*vec, error) {
	a, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	n, constant := e.n, a.isConst()
	if constant {
		n, sel = 1, nil
	}
	out := o.begin(o.typ(), n, a)
	if !out.intersect(n, a) {
		out.allNull(o.typ())
		return out, nil
	}
	eqVC(vals[uint8](out), vals[uint8](a), 0, sel)
	if constant {
		out.makeConst()
	}
	return out, nil
}

func (o *notOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	a, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	return selectBool(dst, a, sel, e.n, 0), nil
}

func (b *binder) is(n *Is) (op, error) {
	x, err := b.bind(n.X)
	if err != nil {
		return nil, err
	}
	if n.What != "NULL" {
		if x, err = b.condition(n.X, x, "IS "+n.What); err != nil {
			return nil, err
		}
	}
	what := n.What
	if what == "UNKNOWN" {
		what = "NULL"
	}
	return &isOp{x: x, what: what, not: n.Not}, nil
}

// isOp is x IS [NOT] NULL, TRUE or FALSE. It is never null.
type isOp struct {
	target
	x    op
	what string
	not  bool
}

func (o *isOp) typ() core.Type  { return core.Of(core.Boolean).Required() }
func (o *isOp) result() *target { return &o.target }

func (o *isOp) eval(e *env, sel []int32) (*vec, error) {
	a, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	n, constant := e.n, a.isConst()
	if constant {
		n, sel = 1, nil
	}
	out := o.begin(o.typ(), n)
	y := vals[uint8](out)
	flip := b2u(o.not)
	switch o.what {
	case "NULL":
		eachRow(sel, n, func(r int) { y[r] = b2u(a.null(r)) ^ flip })
	default:
		want, x := b2u(o.what == "TRUE"), vals[uint8](a)
		eachRow(sel, n, func(r int) { y[r] = b2u(!a.null(r) && x[r&a.mask] == want) ^ flip })
	}
	if constant {
		out.makeConst()
	}
	return out, nil
}

func (o *isOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	a, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	switch {
	case o.what == "NULL" && a.isConst():
		if a.null(0) != o.not {
			return selectAll(dst, sel, e.n), nil
		}
		return dst[:0], nil
	case o.what == "NULL" && a.valid == nil:
		if o.not {
			return selectAll(dst, sel, e.n), nil
		}
		return dst[:0], nil
	case o.what == "NULL" && o.not:
		return selectValid(dst, a.valid, sel, e.n), nil
	case o.what == "NULL":
		return selectNull(dst, a.valid, sel, e.n), nil
	case !o.not:
		return selectBool(dst, a, sel, e.n, b2u(o.what == "TRUE")), nil
	}
	v, err := o.eval(e, sel)
	if err != nil {
		return nil, err
	}
	return selectTrue(dst, v, sel, e.n), nil
}

// memoOp lets several operations share one operand. The first evaluation after a reset computes it; the later ones must be for a part of the same rows.
type memoOp struct {
	x   op
	v   *vec
	set bool
}

func (o *memoOp) typ() core.Type { return o.x.typ() }

func (o *memoOp) eval(e *env, sel []int32) (*vec, error) {
	if o.set {
		return o.v, nil
	}
	v, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	v.scratch = false
	o.v, o.set = v, true
	return v, nil
}

// share gives an operand that can be used many times: itself when it costs nothing.
func share(x op) (op, *memoOp) {
	switch x.(type) {
	case *columnOp, *constOp:
		return x, nil
	}
	m := &memoOp{x: x}
	return m, m
}

// scopeOp resets its memo before every evaluation of its body.
type scopeOp struct {
	body op
	memo *memoOp
}

func scoped(body op, memo *memoOp) op {
	if memo == nil {
		return body
	}
	return &scopeOp{body, memo}
}

func (o *scopeOp) typ() core.Type { return o.body.typ() }

func (o *scopeOp) eval(e *env, sel []int32) (*vec, error) {
	o.memo.set = false
	return o.body.eval(e, sel)
}

func (o *scopeOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	o.memo.set = false
	return filterRows(e, o.body, sel, dst)
}

// between compiles x BETWEEN low AND high as x >= low AND x <= high.
func (b *binder) between(n *Between) (op, error) {
	x, err := b.bind(n.X)
	if err != nil {
		return nil, err
	}
	bounds, err := b.binds(n.Low, n.High)
	if err != nil {
		return nil, err
	}
	shared, memo := share(x)
	inside := func(low, high op) (op, error) {
		l, err := b.comparison(n, ">=", shared, low)
		if err != nil {
			return nil, err
		}
		r, err := b.comparison(n, "<=", shared, high)
		if err != nil {
			return nil, err
		}
		return &logicOp{t: withNull(core.Of(core.Boolean), l, r), l: l, r: r}, nil
	}
	o, err := inside(bounds[0], bounds[1])
	if err != nil {
		return nil, err
	}
	if n.Symmetric {
		other, err := inside(bounds[1], bounds[0])
		if err != nil {
			return nil, err
		}
		o = &logicOp{t: withNull(core.Of(core.Boolean), o, other), l: o, r: other, or: true}
	}
	if n.Not {
		o = &notOp{x: o}
	}
	return scoped(o, memo), nil
}
