package expr

import (
	"turbo/core"
)

func (b *binder) caseOf(n *Case) (op, error) {
	var operand op
	var memo *memoOp
	if n.Operand != nil {
		x, err := b.bind(n.Operand)
		if err != nil {
			return nil, err
		}
		operand, memo = share(x)
	}
	o := &caseOp{node: n}
	for _, w := range n.Whens {
		cond, err := b.bind(w.Cond)
		if err != nil {
			return nil, err
		}
		if operand != nil {
			cond, err = b.comparison(w.Cond, "=", operand, cond)
		} else {
			cond, err = b.condition(w.Cond, cond, "WHEN")
		}
		if err != nil {
			return nil, err
		}
		value, err := b.bind(w.Value)
		if err != nil {
			return nil, err
		}
		o.conds, o.values = append(o.conds, cond), append(o.values, value)
	}
	last := op(nullOp(core.Type{}))
	if n.Else != nil {
		var err error
		if last, err = b.bind(n.Else); err != nil {
			return nil, err
		}
	}
	o.values = append(o.values, last)
	var err error
	if o.values, o.t, err = b.unifyAll(n, "CASE", o.values); err != nil {
		return nil, err
	}
	if o.t.Kind == core.Invalid {
		return last, nil
	}
	return scoped(o, memo), nil
}

// caseOp is CASE: each branch is evaluated for the rows that take it, and no others.
type caseOp struct {
	t         core.Type
	conds     []op
	values    []op // one more than conds: ELSE
	node      Node
	out       vec
	hit, rest []int32
}

func (o *caseOp) typ() core.Type { return o.t }

func (o *caseOp) eval(e *env, sel []int32) (*vec, error) {
	o.out.reset(o.t, e.n)
	o.hit, o.rest = roomFor(o.hit, e.n), roomFor(o.rest, e.n)
	rest := sel
	for i, cond := range o.conds {
		hit, err := filterRows(e, cond, rest, o.hit)
		if err != nil {
			return nil, err
		}
		if len(hit) == 0 {
			continue
		}
		if err := o.take(e, o.values[i], hit); err != nil {
			return nil, err
		}
		if rest = without(o.rest, e.rows(rest), hit); len(rest) == 0 {
			return o.done(e)
		}
	}
	if err := o.take(e, o.values[len(o.values)-1], rest); err != nil {
		return nil, err
	}
	return o.done(e)
}

func (o *caseOp) take(e *env, value op, rows []int32) error {
	v, err := value.eval(e, rows)
	if err != nil {
		return err
	}
	copyRows(&o.out, v, rows)
	return nil
}

func (o *caseOp) done(e *env) (*vec, error) {
	if err := o.out.keep(); err != nil {
		return nil, e.fail(o.node, 0, err)
	}
	return &o.out, nil
}

// coalesceOp is the first argument that is not null; later ones are evaluated only for rows that need them.
type coalesceOp struct {
	t         core.Type
	args      []op
	node      Node
	out       vec
	hit, rest []int32
}

func (o *coalesceOp) typ() core.Type { return o.t }

func (o *coalesceOp) eval(e *env, sel []int32) (*vec, error) {
	v, err := o.args[0].eval(e, sel)
	if err != nil || v.valid == nil {
		return v, err
	}
	o.out.reset(o.t, e.n)
	o.hit, o.rest = roomFor(o.hit, e.n), roomFor(o.rest, e.n)
	rest := sel
	for i := range o.args {
		if i > 0 {
			if v, err = o.args[i].eval(e, rest); err != nil {
				return nil, err
			}
		}
		hit := rest
		last := i == len(o.args)-1
		if !last && v.valid != nil {
			if v.isConst() {
				continue // a constant null
			}
			hit = selectValid(o.hit, v.valid, rest, e.n)
		}
		copyRows(&o.out, v, hit)
		if last || v.valid == nil {
			break
		}
		if rest = without(o.rest, e.rows(rest), hit); len(rest) == 0 {
			break
		}
	}
	if err := o.out.keep(); err != nil {
		return nil, e.fail(o.node, 0, err)
	}
	return &o.out, nil
}

func (b *binder) coalesce(n *Call, args []op) (op, error) {
	args, t, err := b.unifyAll(n, n.Name, args)
	if err != nil || t.Kind == core.Invalid {
		return args[0], err
	}
	t.NotNull = false
	for _, a := range args {
		t.NotNull = t.NotNull || a.typ().NotNull
	}
	if len(args) == 1 {
		return args[0], nil
	}
	return &coalesceOp{t: t, args: args, node: n}, nil
}

// nullIf compiles NULLIF(a, b): null when a = b, else a.
func (b *binder) nullIf(n *Call, args []op) (op, error) {
	shared, memo := share(args[0])
	cond, err := b.comparison(n, "=", shared, args[1])
	if err != nil {
		return nil, err
	}
	t := args[0].typ().Optional()
	if t.Kind == core.Invalid {
		return args[0], nil
	}
	return scoped(&caseOp{t: t, conds: []op{cond}, values: []op{nullOp(t), shared}, node: n}, memo), nil
}

func (b *binder) ifCall(n *Call, args []op) (op, error) {
	cond, err := b.condition(n.Args[0], args[0], "IF")
	if err != nil {
		return nil, err
	}
	values, t, err := b.unifyAll(n, "IF", args[1:])
	if err != nil || t.Kind == core.Invalid {
		return args[1], err
	}
	return &caseOp{t: t, conds: []op{cond}, values: values, node: n}, nil
}

// inOp is x IN (constants) for kinds that a Go map can hold; for others IN is a chain of ORs.
type inOp struct {
	target
	t       core.Type
	x       op
	numbers map[int64]struct{}
	strings map[string]struct{}
	null    bool // NULL is in the list: no match gives null
}

func (o *inOp) typ() core.Type  { return o.t }
func (o *inOp) result() *target { return &o.target }

func (o *inOp) eval(e *env, sel []int32) (*vec, error) {
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
	eachRow(sel, n, func(r int) {
		if a.null(r) {
			return
		}
		found := o.has(a, r)
		y[r] = b2u(found)
		if o.null && !found {
			out.setNull(r)
		}
	})
	if constant {
		out.makeConst()
	}
	return out, nil
}

func (o *inOp) has(a *vec, r int) (found bool) {
	if o.strings != nil {
		_, found = o.strings[string(a.str(r))]
		return found
	}
	_, found = o.numbers[integerAt(a, r)]
	return found
}

// integerAt gives the value of row r of a kind that is stored as an integer.
func integerAt(a *vec, r int) int64 {
	switch a.typ.Kind.Width() {
	case 1:
		return int64(at[int8](a, r))
	case 2:
		return int64(at[int16](a, r))
	case 4:
		return int64(at[int32](a, r))
	}
	return at[int64](a, r)
}

func (b *binder) in(n *In) (op, error) {
	x, err := b.bind(n.X)
	if err != nil {
		return nil, err
	}
	list, err := b.binds(n.List...)
	if err != nil {
		return nil, err
	}
	o, err := b.inList(n, x, list)
	if err != nil {
		return nil, err
	}
	if n.Not {
		return &notOp{x: o}, nil
	}
	return o, nil
}

func (b *binder) inList(n *In, x op, list []op) (op, error) {
	set := &inOp{t: withNull(core.Of(core.Boolean), append([]op{x}, list...)...)}
	simple := len(list) > 1
	t := x.typ()
	for _, item := range list {
		c, ok := item.(*constOp)
		if simple = simple && ok; !simple {
			break
		}
		if c.v.null(0) {
			set.null = true
			continue
		}
		l, r, err := b.unify(n, "IN", &columnOp{t, 0}, item)
		if err != nil {
			return nil, err
		}
		_, unchanged := l.(*columnOp)
		value, constant := r.(*constOp)
		k := t.Kind
		isText := k == core.String || k == core.Bytes
		isInt := k.Width() > 0 && k != core.Decimal && k != core.Float32 && k != core.Float64
		if simple = unchanged && constant && (isText || isInt); !simple {
			break
		}
		if isText {
			if set.strings == nil {
				set.strings = make(map[string]struct{})
			}
			set.strings[string(value.v.str(0))] = struct{}{}
		} else {
			if set.numbers == nil {
				set.numbers = make(map[int64]struct{})
			}
			set.numbers[integerAt(&value.v, 0)] = struct{}{}
		}
	}
	if simple && (set.numbers != nil || set.strings != nil) {
		set.x = x
		return set, nil
	}
	shared, memo := share(x)
	var o op
	for _, item := range list {
		equal, err := b.comparison(n, "=", shared, item)
		if err != nil {
			return nil, err
		}
		if o == nil {
			o = equal
		} else {
			o = &logicOp{t: withNull(core.Of(core.Boolean), o, equal), l: o, r: equal, or: true}
		}
	}
	return scoped(o, memo), nil
}
