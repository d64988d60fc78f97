package expr

import (
	"bytes"

	"turbo/core"
)

// relation is a comparison operator as the set of outcomes that make it true: 1 less, 2 equal, 4 greater.
type relation uint8

const (
	less         relation = 1
	equal        relation = 2
	greater      relation = 4
	lessEqual             = less | equal
	greaterEqual          = greater | equal
	notEqual              = less | greater
)

var relations = map[string]relation{"=": equal, "<>": notEqual, "<": less, "<=": lessEqual, ">": greater, ">=": greaterEqual}

// flip gives the relation with its operands exchanged.
func (r relation) flip() relation { return r&equal | r&less<<2 | r&greater>>2 }

// holds tells whether an outcome of a three-way comparison, -1, 0 or 1, makes the relation true.
func (r relation) holds(outcome int) bool { return r>>(outcome+1)&1 != 0 }

// comparer compares two columns of one type, of which only b may be constant. Values under nulls are compared too, and mean nothing.
type comparer interface {
	eval(rel relation, out []uint8, a, b *vec, sel []int32)
	filter(rel relation, dst []int32, a, b *vec, sel []int32, n int) []int32
}

type numberComparer[T ordered] struct{}

func (numberComparer[T]) eval(rel relation, out []uint8, a, b *vec, sel []int32) {
	x, y := vals[T](a), vals[T](b)
	if b.isConst() {
		c := y[0]
		switch rel {
		case less:
			ltVC(out, x, c, sel)
		case lessEqual:
			leVC(out, x, c, sel)
		case equal:
			eqVC(out, x, c, sel)
		case notEqual:
			neVC(out, x, c, sel)
		case greater:
			gtVC(out, x, c, sel)
		default:
			geVC(out, x, c, sel)
		}
		return
	}
	switch rel {
	case less:
		ltVV(out, x, y, sel)
	case lessEqual:
		leVV(out, x, y, sel)
	case equal:
		eqVV(out, x, y, sel)
	case notEqual:
		neVV(out, x, y, sel)
	case greater:
		ltVV(out, y, x, sel)
	default:
		leVV(out, y, x, sel)
	}
}

func (numberComparer[T]) filter(rel relation, dst []int32, a, b *vec, sel []int32, n int) []int32 {
	x, y := vals[T](a), vals[T](b)
	if b.isConst() {
		c := y[0]
		switch rel {
		case less:
			return ltFilterVC(dst, x, c, sel, n)
		case lessEqual:
			return leFilterVC(dst, x, c, sel, n)
		case equal:
			return eqFilterVC(dst, x, c, sel, n)
		case notEqual:
			return neFilterVC(dst, x, c, sel, n)
		case greater:
			return gtFilterVC(dst, x, c, sel, n)
		}
		return geFilterVC(dst, x, c, sel, n)
	}
	switch rel {
	case less:
		return ltFilterVV(dst, x, y, sel, n)
	case lessEqual:
		return leFilterVV(dst, x, y, sel, n)
	case equal:
		return eqFilterVV(dst, x, y, sel, n)
	case notEqual:
		return neFilterVV(dst, x, y, sel, n)
	case greater:
		return ltFilterVV(dst, y, x, sel, n)
	}
	return leFilterVV(dst, y, x, sel, n)
}

// rowComparer compares row by row, with a function that gives -1, 0 or 1.
type rowComparer struct{ compare func(a, b *vec, r int) int }

func (c rowComparer) eval(rel relation, out []uint8, a, b *vec, sel []int32) {
	if sel == nil {
		for r := range out {
			out[r] = b2u(rel.holds(c.compare(a, b, r)))
		}
		return
	}
	for _, r := range sel {
		out[r] = b2u(rel.holds(c.compare(a, b, int(r))))
	}
}

func (c rowComparer) filter(rel relation, dst []int32, a, b *vec, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		for r := range n {
			dst[k] = int32(r)
			k += b2i(rel.holds(c.compare(a, b, r)))
		}
		return dst[:k]
	}
	for _, r := range sel {
		dst[k] = r
		k += b2i(rel.holds(c.compare(a, b, int(r))))
	}
	return dst[:k]
}

func compareStrings(a, b *vec, r int) int { return bytes.Compare(a.str(r), b.str(r)) }

// compareNested gives 0 for equal rows and 1 for others: nested values have no order.
func compareNested(a, b *vec, r int) int {
	if sameValue(a, b, r&a.mask, r&b.mask) {
		return 0
	}
	return 1
}

// sameValue tells whether row i of a and row j of b, of one kind, are the same, where null is the same as null.
func sameValue(a, b *vec, i, j int) bool {
	i, j = i&a.mask, j&b.mask
	if a.null(i) || b.null(j) {
		return a.null(i) == b.null(j)
	}
	switch k := a.typ.Kind; k {
	case core.String, core.Bytes:
		return bytes.Equal(a.str(i), b.str(j))
	case core.Decimal:
		return decimalCompare(vals[decimalNum](a)[i], vals[decimalNum](b)[j], int(a.typ.Scale), int(b.typ.Scale)) == 0
	case core.Float32:
		return vals[float32](a)[i] == vals[float32](b)[j]
	case core.Float64:
		return vals[float64](a)[i] == vals[float64](b)[j]
	case core.Row:
		for x := range a.kids {
			if !sameValue(a.kids[x], b.kids[x], i, j) {
				return false
			}
		}
		return true
	case core.Array, core.Map:
		n := a.end[i] - a.start[i]
		if n != b.end[j]-b.start[j] {
			return false
		}
		for x := range int(n) {
			if k == core.Array && !sameValue(a.kids[0], b.kids[0], int(a.start[i])+x, int(b.start[j])+x) || k == core.Map && !hasEntry(a, b, int(a.start[i])+x, j) {
				return false
			}
		}
		return true
	}
	switch a.typ.Kind.Width() {
	case 1:
		return vals[uint8](a)[i] == vals[uint8](b)[j]
	case 2:
		return vals[uint16](a)[i] == vals[uint16](b)[j]
	case 4:
		return vals[uint32](a)[i] == vals[uint32](b)[j]
	}
	return vals[uint64](a)[i] == vals[uint64](b)[j]
}

// hasEntry tells whether the map of row j of b has the entry x of a's children.
func hasEntry(a, b *vec, x, j int) bool {
	for y := int(b.start[j]); y < int(b.end[j]); y++ {
		if sameValue(a.kids[0], b.kids[0], x, y) {
			return sameValue(a.kids[1], b.kids[1], x, y)
		}
	}
	return false
}

func comparerOf(k core.Kind) comparer {
	switch k {
	case core.Boolean:
		return numberComparer[uint8]{}
	case core.Int8:
		return numberComparer[int8]{}
	case core.Int16:
		return numberComparer[int16]{}
	case core.Int32, core.Date, core.IntervalMonth:
		return numberComparer[int32]{}
	case core.Float32:
		return numberComparer[float32]{}
	case core.Float64:
		return numberComparer[float64]{}
	case core.String, core.Bytes:
		return rowComparer{compareStrings}
	case core.Decimal:
		return rowComparer{func(a, b *vec, r int) int {
			return decimalCompare(at[decimalNum](a, r), at[decimalNum](b, r), int(a.typ.Scale), int(b.typ.Scale))
		}}
	case core.Array, core.Map, core.Row:
		return rowComparer{compareNested}
	}
	return numberComparer[int64]{}
}

// compareOp is l rel r.
type compareOp struct {
	target
	t    core.Type
	rel  relation
	l, r op
	cmp  comparer
}

func (o *compareOp) typ() core.Type  { return o.t }
func (o *compareOp) result() *target { return &o.target }

// operands evaluates both sides; only the second may be constant, or both.
func (o *compareOp) operands(e *env, sel []int32) (a, b *vec, rel relation, err error) {
	if a, err = o.l.eval(e, sel); err != nil {
		return
	}
	if b, err = o.r.eval(e, sel); err != nil {
		return
	}
	if a.isConst() && !b.isConst() {
		return b, a, o.rel.flip(), nil
	}
	return a, b, o.rel, nil
}

func (o *compareOp) eval(e *env, sel []int32) (*vec, error) {
	a, b, rel, err := o.operands(e, sel)
	if err != nil {
		return nil, err
	}
	n, constant := e.n, a.isConst()
	if constant {
		n, sel = 1, nil
	}
	out := o.begin(o.t, n)
	if !out.intersect(n, a, b) {
		out.allNull(o.t)
		return out, nil
	}
	o.cmp.eval(rel, vals[uint8](out), a, b, sel)
	if constant {
		out.makeConst()
	}
	return out, nil
}

func (o *compareOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	a, b, rel, err := o.operands(e, sel)
	if err != nil {
		return nil, err
	}
	if a.isConst() {
		v, err := o.eval(e, sel)
		if err != nil {
			return nil, err
		}
		return selectTrue(dst, v, sel, e.n), nil
	}
	for _, v := range [...]*vec{a, b} {
		switch {
		case v.valid == nil:
		case v.isConst() && v.null(0):
			return dst[:0], nil
		case !v.isConst():
			sel = selectValid(dst, v.valid, sel, e.n)
		}
	}
	return o.cmp.filter(rel, dst, a, b, sel, e.n), nil
}

// comparison compiles = <> < <= > >=.
func (b *binder) comparison(n Node, sign string, l, r op) (op, error) {
	l, r, err := b.unify(n, sign, l, r)
	if err != nil {
		return nil, err
	}
	rel, k := relations[sign], l.typ().Kind
	if k == core.Invalid {
		return nullOp(core.Of(core.Boolean)), nil
	}
	if k.IsNested() && rel != equal && rel != notEqual {
		return nil, b.invalid(n, sign, "nested values can only be compared for equality", l, r)
	}
	t := withNull(core.Of(core.Boolean), l, r)
	if rel == equal {
		if text, ok := constString(r); ok {
			return &likeOp{t: t, x: l, shape: likeExact, text: newShortText([]byte(text))}, nil
		}
		if text, ok := constString(l); ok {
			return &likeOp{t: t, x: r, shape: likeExact, text: newShortText([]byte(text))}, nil
		}
	}
	return &compareOp{t: t, rel: rel, l: l, r: r, cmp: comparerOf(k)}, nil
}

// distinctOp is l IS [NOT] DISTINCT FROM r: a comparison to which null is a value.
type distinctOp struct {
	compareOp
	not bool
}

func (b *binder) distinct(n *Binary, l, r op) (op, error) {
	l, r, err := b.unify(n, n.Op, l, r)
	if err != nil {
		return nil, err
	}
	t := core.Of(core.Boolean).Required()
	return &distinctOp{compareOp{t: t, rel: equal, l: l, r: r, cmp: comparerOf(l.typ().Kind)}, n.Op == "IS NOT DISTINCT FROM"}, nil
}

func (o *distinctOp) eval(e *env, sel []int32) (*vec, error) {
	a, b, _, err := o.operands(e, sel)
	if err != nil {
		return nil, err
	}
	n, constant := e.n, a.isConst()
	if constant {
		n, sel = 1, nil
	}
	out := o.begin(o.t, n)
	values := vals[uint8](out)
	o.cmp.eval(equal, values, a, b, sel)
	if a.valid != nil || b.valid != nil {
		eachRow(sel, n, func(r int) {
			if x, y := a.null(r), b.null(r); x || y {
				values[r] = b2u(x && y)
			}
		})
	}
	if !o.not {
		eachRow(sel, n, func(r int) { values[r] ^= 1 })
	}
	if constant {
		out.makeConst()
	}
	return out, nil
}

func (o *distinctOp) filter(e *env, sel, dst []int32) ([]int32, error) {
	v, err := o.eval(e, sel)
	if err != nil {
		return nil, err
	}
	return selectTrue(dst, v, sel, e.n), nil
}
