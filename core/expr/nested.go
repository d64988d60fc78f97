package expr

import (
	"fmt"
	"strings"

	"turbo/core"
)

// field compiles the access to a field of a ROW.
func (b *binder) field(n Node, x op, name string) (op, error) {
	t := x.typ()
	if t.Kind != core.Row {
		return nil, b.errorf(n, "%s has no field %s: only a ROW has fields", describe(x), quoteName(name))
	}
	names := make([]string, len(t.Elements))
	for i, f := range t.Elements {
		if names[i] = f.Name; f.Name != name {
			continue
		}
		ft := f.Type
		ft.NotNull = ft.NotNull && t.NotNull
		return &fieldOp{t: ft, x: x, index: i}, nil
	}
	if near := core.Nearest(name, names); near != "" {
		return nil, b.errorf(n, "the ROW has no field %s, did you mean %s?", quoteName(name), quoteName(near))
	}
	return nil, b.errorf(n, "the ROW has no field %s; it has %s", quoteName(name), shorten(strings.Join(names, ", "), 200))
}

// fieldOp is a field of a ROW: null where the row or the field is.
type fieldOp struct {
	t     core.Type
	x     op
	index int
	out   vec
}

func (o *fieldOp) typ() core.Type { return o.t }

func (o *fieldOp) eval(e *env, sel []int32) (*vec, error) {
	v, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	kid := v.kids[o.index]
	if v.valid == nil {
		return kid, nil
	}
	if v.isConst() {
		o.out.allNull(o.t)
		return &o.out, nil
	}
	bits := o.out.bits
	kids := o.out.kids
	o.out = *kid
	o.out.bits, o.out.scratch = bits, false
	if o.t.Kind.IsNested() {
		kids = kid.kids
	}
	o.out.kids = kids
	o.out.intersect(v.n, kid, v)
	return &o.out, nil
}

// index compiles a[i] and m[key].
func (b *binder) index(n *Index) (op, error) {
	x, err := b.bind(n.X)
	if err != nil {
		return nil, err
	}
	i, err := b.bind(n.I)
	if err != nil {
		return nil, err
	}
	t := x.typ()
	o := &elementOp{x: x, node: n}
	switch t.Kind {
	case core.Array:
		if !untyped(i) && !i.typ().Kind.IsInteger() {
			return nil, b.errorf(n.I, "the index of an array must be an integer, but is %s", describe(i))
		}
		o.i, err = b.convert(n.I, i, core.Of(core.Int64))
		o.t = t.Elements[0].Type.Optional()
	case core.Map:
		if _, ok := common(t.Elements[0].Type, i.typ()); !ok {
			return nil, b.errorf(n.I, "the keys of the map are %s, but the key asked for is %s", t.Elements[0].Type.Optional(), describe(i))
		}
		o.i, err = b.convert(n.I, i, t.Elements[0].Type)
		o.t = t.Elements[1].Type.Optional()
	default:
		return nil, b.errorf(n, "%s has no elements: only ARRAY and MAP have", describe(x))
	}
	return o, err
}

// elementOp is an element of an ARRAY (from 1) or the value of a key of a MAP; null when there is none.
type elementOp struct {
	t    core.Type
	x, i op
	node Node
	out  vec
}

func (o *elementOp) typ() core.Type { return o.t }

func (o *elementOp) eval(e *env, sel []int32) (*vec, error) {
	v, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	i, err := o.i.eval(e, sel)
	if err != nil {
		return nil, err
	}
	n, constant := e.n, v.isConst() && i.isConst()
	if constant {
		n, sel = 1, nil
	}
	o.out.reset(o.t, n)
	isMap := v.typ.Kind == core.Map
	values := v.kids[len(v.kids)-1]
	var failed error
	eachRow(sel, n, func(r int) {
		at := -1
		if !v.null(r) && !i.null(r) {
			at = find(v, i, r, isMap)
		}
		if at == -2 && failed == nil {
			failed = e.fail(o.node, r, causef(ErrArgument, "array index %d: elements count from 1", integerAt(i, r)))
		}
		if at < 0 || values.null(at) {
			o.out.setNull(r)
			return
		}
		setRow(&o.out, r, values, at)
	})
	if failed != nil {
		return nil, failed
	}
	if err := o.out.keep(); err != nil {
		return nil, e.fail(o.node, 0, err)
	}
	if constant {
		o.out.makeConst()
	}
	return &o.out, nil
}

// find gives the place of an element in the children, -1 when there is none and -2 for an index below 1.
func find(v, i *vec, r int, isMap bool) int {
	row := r & v.mask
	from, to := int(v.start[row]), int(v.end[row])
	if isMap {
		for x := from; x < to; x++ {
			if sameValue(v.kids[0], i, x, r) {
				return x
			}
		}
		return -1
	}
	at := integerAt(i, r)
	switch {
	case at < 1:
		return -2
	case at > int64(to-from):
		return -1
	}
	return from + int(at) - 1
}

// setRow copies row s of src, which has the same kind and is not null, to row r of dst.
func setRow(dst *vec, r int, src *vec, s int) {
	s &= src.mask
	switch k := dst.typ.Kind; k.Width() {
	case 1:
		vals[uint8](dst)[r] = vals[uint8](src)[s]
	case 2:
		vals[uint16](dst)[r] = vals[uint16](src)[s]
	case 4:
		vals[uint32](dst)[r] = vals[uint32](src)[s]
	case 8:
		vals[uint64](dst)[r] = vals[uint64](src)[s]
	case 16:
		vals[decimalNum](dst)[r] = vals[decimalNum](src)[s]
	default:
		switch k {
		case core.String, core.Bytes:
			dst.setBytes(r, src.str(s))
		case core.Row:
			for i, kid := range dst.kids {
				if src.kids[i].null(s) {
					kid.setNull(r)
					continue
				}
				setRow(kid, r, src.kids[i], s)
			}
		default:
			dst.pushVar(src, r, s)
		}
	}
}

// collectOp makes an ARRAY, MAP or ROW of its arguments.
type collectOp struct {
	t    core.Type
	args []op
	vecs []*vec
	node Node
	out  vec
}

func (o *collectOp) typ() core.Type { return o.t }

func (o *collectOp) eval(e *env, sel []int32) (*vec, error) {
	o.vecs = o.vecs[:0]
	constant := true
	for _, a := range o.args {
		v, err := a.eval(e, sel)
		if err != nil {
			return nil, err
		}
		constant = constant && v.isConst()
		o.vecs = append(o.vecs, v)
	}
	n := e.n
	if constant {
		n, sel = 1, nil
	}
	o.out.reset(o.t, n)
	if o.t.Kind == core.Row {
		for i, v := range o.vecs {
			copyRows(o.out.kids[i], v, sel)
		}
	} else {
		var failed error
		eachRow(sel, n, func(r int) {
			if err := o.row(r); err != nil && failed == nil {
				failed = e.fail(o.node, r, err)
			}
		})
		if failed != nil {
			return nil, failed
		}
	}
	if constant {
		o.out.makeConst()
	}
	return &o.out, nil
}

// row collects one row of an ARRAY or MAP. Of equal keys the last one counts.
func (o *collectOp) row(r int) error {
	kids := o.out.kids
	o.out.start[r] = int32(kids[0].n)
	step := len(kids)
next:
	for i := 0; i < len(o.vecs); i += step {
		if step == 2 {
			if o.vecs[i].null(r) {
				return causef(ErrArgument, "a key of MAP is NULL")
			}
			for j := i + 2; j < len(o.vecs); j += 2 {
				if sameValue(o.vecs[i], o.vecs[j], r, r) {
					continue next
				}
			}
		}
		for k, kid := range kids {
			kid.push(o.vecs[i+k], r)
		}
	}
	o.out.end[r] = int32(kids[0].n)
	return nil
}

func (b *binder) arrayLit(n *ArrayLit) (op, error) {
	args, err := b.binds(n.Elems...)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return nil, b.errorf(n, "the type of an empty ARRAY is not known: write CAST(NULL AS ARRAY<type>), or give an element")
	}
	args, t, err := b.unifyAll(n, "ARRAY", args)
	if err != nil {
		return nil, err
	}
	if t.Kind == core.Invalid {
		return nil, b.errorf(n, "the type of the elements is not known: write CAST(NULL AS type)")
	}
	return &collectOp{t: core.ArrayOf(t).Required(), args: args, node: n}, nil
}

func (b *binder) mapLit(n *MapLit) (op, error) {
	args, err := b.binds(n.Elems...)
	if err != nil {
		return nil, err
	}
	var types [2]core.Type
	var sides [2][]op
	for i, a := range args {
		sides[i%2] = append(sides[i%2], a)
	}
	for i, what := range [...]string{"the keys of MAP", "the values of MAP"} {
		if sides[i], types[i], err = b.unifyAll(n, what, sides[i]); err != nil {
			return nil, err
		}
		if types[i].Kind == core.Invalid {
			return nil, b.errorf(n, "the type of %s is not known: write CAST(NULL AS type), or give an entry", what)
		}
	}
	if types[0].Kind.IsNested() {
		return nil, b.errorf(n, "the key of a MAP cannot be %s", types[0].Optional())
	}
	types[0].NotNull = true
	for i := range args {
		args[i] = sides[i%2][i/2]
	}
	return &collectOp{t: core.MapOf(types[0], types[1]).Required(), args: args, node: n}, nil
}

func (b *binder) rowLit(n *RowLit) (op, error) {
	args, err := b.binds(n.Elems...)
	if err != nil {
		return nil, err
	}
	fields := make([]core.Field, len(args))
	for i, a := range args {
		if untyped(a) {
			return nil, b.errorf(n.Elems[i], "the type of NULL is not known here: write CAST(NULL AS type)")
		}
		fields[i] = core.Field{Name: fmt.Sprintf("f%d", i), Type: a.typ()}
	}
	if len(fields) == 0 {
		return nil, b.errorf(n, "a ROW needs at least one field")
	}
	return &collectOp{t: core.RowOf(fields...).Required(), args: args, node: n}, nil
}
