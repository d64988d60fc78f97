package expr

import (
	"turbo/core"
)

var collectionFunctions = []function{
	{name: "CARDINALITY", sig: "CARDINALITY(array or map)", args: "a", doc: "The number of elements or entries.", examples: "CARDINALITY(ARRAY[1, 2, 3]) => 3",
		make: func(b *binder, n *Call, args []op) (op, error) {
			if k := args[0].typ().Kind; k != core.Array && k != core.Map {
				return nil, b.errorf(n, "CARDINALITY takes an ARRAY or a MAP, not %s", describe(args[0]))
			}
			return rowCall(n, intType, args, func(c *call, r int) error {
				a := c.arg[0]
				c.setI32(r, a.end[r&a.mask]-a.start[r&a.mask])
				return nil
			}), nil
		}},
	{name: "ELEMENT", sig: "ELEMENT(array)", args: "a", doc: "The only element of an array; NULL when it is empty. It fails for more than one.", examples: "ELEMENT(ARRAY[7]) => 7", make: makeElement},
	{name: "ARRAY_CONTAINS", sig: "ARRAY_CONTAINS(array, value)", args: "aa", doc: "Whether the value, which may be NULL, is among the elements.", examples: "ARRAY_CONTAINS(ARRAY['a', 'b'], 'b') => TRUE", make: arrayContains},
	{name: "MAP_KEYS", sig: "MAP_KEYS(map)", args: "a", doc: "The keys as an array, in the order of the entries.", examples: "MAP_KEYS(MAP['a', 1, 'b', 2]) => ARRAY['a', 'b']", make: mapPart(0)},
	{name: "MAP_VALUES", sig: "MAP_VALUES(map)", args: "a", doc: "The values as an array, in the order of the entries.", examples: "MAP_VALUES(MAP['a', 1, 'b', 2]) => ARRAY[1, 2]", make: mapPart(1)},
}

func makeElement(b *binder, n *Call, args []op) (op, error) {
	t := args[0].typ()
	if t.Kind != core.Array {
		return nil, b.errorf(n, "ELEMENT takes an ARRAY, not %s", describe(args[0]))
	}
	return &rowOp{t: t.Elements[0].Type.Optional(), args: args, node: n, fn: func(c *call, r int) error {
		a := c.arg[0]
		from, to := int(a.start[r&a.mask]), int(a.end[r&a.mask])
		switch {
		case to-from > 1:
			return causef(ErrArgument, "the array has %d elements, not one", to-from)
		case to == from || a.kids[0].null(from):
			c.setNull(r)
		default:
			setRow(c.out, r, a.kids[0], from)
		}
		return nil
	}}, nil
}

func arrayContains(b *binder, n *Call, args []op) (op, error) {
	t := args[0].typ()
	if t.Kind != core.Array {
		return nil, b.errorf(n, "ARRAY_CONTAINS takes an ARRAY, not %s", describe(args[0]))
	}
	if _, ok := common(t.Elements[0].Type, args[1].typ()); !ok {
		return nil, b.invalid(n, "ARRAY_CONTAINS", "", args...)
	}
	value, err := b.convert(n, args[1], t.Elements[0].Type)
	if err != nil {
		return nil, err
	}
	return &rowOp{t: withNull(boolType, args[0]), args: []op{args[0], value}, node: n, onNull: true, fn: func(c *call, r int) error {
		a := c.arg[0]
		if a.null(r) {
			c.setNull(r)
			return nil
		}
		found := false
		for i := int(a.start[r&a.mask]); i < int(a.end[r&a.mask]) && !found; i++ {
			found = sameValue(a.kids[0], c.arg[1], i, r)
		}
		c.setBool(r, found)
		return nil
	}}, nil
}

// mapPart gives the keys (0) or values (1) of a map: a view of its children.
func mapPart(part int) func(b *binder, n *Call, args []op) (op, error) {
	return func(b *binder, n *Call, args []op) (op, error) {
		t := args[0].typ()
		if t.Kind != core.Map {
			return nil, b.errorf(n, "%s takes a MAP, not %s", n.Name, describe(args[0]))
		}
		return &mapPartOp{t: withNull(core.ArrayOf(t.Elements[part].Type), args[0]), x: args[0], part: part}, nil
	}
}

type mapPartOp struct {
	t    core.Type
	x    op
	part int
	out  vec
}

func (o *mapPartOp) typ() core.Type { return o.t }

func (o *mapPartOp) eval(e *env, sel []int32) (*vec, error) {
	v, err := o.x.eval(e, sel)
	if err != nil {
		return nil, err
	}
	o.out = vec{typ: o.t, mask: v.mask, n: v.n, valid: v.valid, start: v.start, end: v.end, kids: append(o.out.kids[:0], v.kids[o.part])}
	return &o.out, nil
}
