package ops

import (
	"turbo/core"
	"turbo/state"
)

// collect is ARRAY_AGG: the encoded values one after the other.
type collect struct{}

func newCollect(core.Type, []any) (encoding, error) { return collect{}, nil }

func (collect) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	dst = append(dst, old...)
	for _, r := range rows {
		dst = state.EncodeValue(dst, in, int(r), false)
	}
	return dst, len(rows) > 0, nil
}

func (collect) merge(dst, old, other []byte) ([]byte, bool, error) {
	return append(append(dst, old...), other...), true, nil
}

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

func (s concat) fold(dst, old []byte, in *core.Vector, rows []int32) ([]byte, bool, error) {
	dst = append(dst, old...)
	for i, r := range rows {
		if i > 0 || old != nil {
			dst = append(dst, s.separator...)
		}
		dst = append(dst, in.BytesAt(int(r))...)
	}
	return dst, len(rows) > 0, nil
}

func (s concat) merge(dst, old, other []byte) ([]byte, bool, error) {
	return append(append(append(dst, old...), s.separator...), other...), true, nil
}

func (s concat) result(out *core.Vector, b []byte) error {
	if b == nil {
		out.AppendNull()
	} else {
		out.AppendBytes(b)
	}
	return nil
}
