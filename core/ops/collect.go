package ops

import (
	"turbo/core"
	"turbo/state"
)

// collect is ARRAY_AGG: the encoded values one after the other.
type collect struct{}

func newCollect(core.Type, []any) (encoding, error) { return collect{}, nil }

func (collect) more(dst []byte, _ bool, in *core.Vector, rows []int32) []byte {
	for _, r := range rows {
		dst = state.EncodeValue(dst, in, int(r), false)
	}
	return dst
}

func (collect) moreOf(dst, other []byte) []byte { return append(dst, other...) }

func (collect) result(out *core.Vector, b []byte) (err error) {
	if len(b) == 0 {
		out.AppendNull()
		return nil
	}
	for len(b) > 0 {
		if b, err = state.DecodeEncoded(out.Child(0), b); err != nil {
			return err
		}
	}
	out.EndElement()
	return nil
}

// concat is STRING_AGG. A state that is not null has had a string, be it an empty one.
type concat struct{ separator string }

func newConcat(_ core.Type, parameters []any) (encoding, error) {
	return concat{parameters[0].(string)}, nil
}

func (s concat) more(dst []byte, none bool, in *core.Vector, rows []int32) []byte {
	for i, r := range rows {
		if i > 0 || !none {
			dst = append(dst, s.separator...)
		}
		dst = append(dst, in.BytesAt(int(r))...)
	}
	return dst
}

func (s concat) moreOf(dst, other []byte) []byte {
	return append(append(dst, s.separator...), other...)
}

func (s concat) result(out *core.Vector, b []byte) error {
	if b == nil {
		out.AppendNull()
	} else {
		out.AppendBytes(b)
	}
	return nil
}
