package expr

// Kernels of comparison: into a column of booleans, and straight into a selection. The latter are branch-free: every row is written, and the position
// moves on when the row passes. dst may be sel itself.

type ordered interface{ number | ~uint8 }

func ltVV[T ordered](out []uint8, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] < b[i])
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] < b[i])
	}
}

func ltFilterVV[T ordered](dst []int32, a, b []T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, b, dst = a[:n], b[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] < b[i])
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] < b[i])
	}
	return dst[:k]
}

func ltVC[T ordered](out []uint8, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] < c)
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] < c)
	}
}

func ltFilterVC[T ordered](dst []int32, a []T, c T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, dst = a[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] < c)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] < c)
	}
	return dst[:k]
}

func leVV[T ordered](out []uint8, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] <= b[i])
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] <= b[i])
	}
}

func leFilterVV[T ordered](dst []int32, a, b []T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, b, dst = a[:n], b[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] <= b[i])
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] <= b[i])
	}
	return dst[:k]
}

func leVC[T ordered](out []uint8, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] <= c)
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] <= c)
	}
}

func leFilterVC[T ordered](dst []int32, a []T, c T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, dst = a[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] <= c)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] <= c)
	}
	return dst[:k]
}

func eqVV[T ordered](out []uint8, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] == b[i])
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] == b[i])
	}
}

func eqFilterVV[T ordered](dst []int32, a, b []T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, b, dst = a[:n], b[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] == b[i])
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] == b[i])
	}
	return dst[:k]
}

func eqVC[T ordered](out []uint8, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] == c)
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] == c)
	}
}

func eqFilterVC[T ordered](dst []int32, a []T, c T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, dst = a[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] == c)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] == c)
	}
	return dst[:k]
}

func neVV[T ordered](out []uint8, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] != b[i])
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] != b[i])
	}
}

func neFilterVV[T ordered](dst []int32, a, b []T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, b, dst = a[:n], b[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] != b[i])
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] != b[i])
	}
	return dst[:k]
}

func neVC[T ordered](out []uint8, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] != c)
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] != c)
	}
}

func neFilterVC[T ordered](dst []int32, a []T, c T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, dst = a[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] != c)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] != c)
	}
	return dst[:k]
}

func gtVC[T ordered](out []uint8, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] > c)
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] > c)
	}
}

func gtFilterVC[T ordered](dst []int32, a []T, c T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, dst = a[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] > c)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] > c)
	}
	return dst[:k]
}

func geVC[T ordered](out []uint8, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = b2u(a[i] >= c)
		}
		return
	}
	for _, i := range sel {
		out[i] = b2u(a[i] >= c)
	}
}

func geFilterVC[T ordered](dst []int32, a []T, c T, sel []int32, n int) []int32 {
	k := 0
	if sel == nil {
		a, dst = a[:n], dst[:n]
		for i := range a {
			dst[k] = int32(i)
			k += b2i(a[i] >= c)
		}
		return dst[:k]
	}
	dst = dst[:len(sel)]
	for _, i := range sel {
		dst[k] = i
		k += b2i(a[i] >= c)
	}
	return dst[:k]
}
