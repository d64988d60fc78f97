package expr

// Kernels of arithmetic: free functions over slices. out may be one of the operands. sel nil means every row of out; the operands are as long as out.
// VV takes two columns, VC a column and a constant, CV a constant and a column.

type signed interface {
	~int8 | ~int16 | ~int32 | ~int64
}

type float interface{ ~float32 | ~float64 }

type number interface{ signed | float }

// addVV adds; integers wrap around.
func addVV[T number](out, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = a[i] + b[i]
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] + b[i]
	}
}

// addVC adds a constant.
func addVC[T number](out, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = a[i] + c
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] + c
	}
}

// subVV subtracts; integers wrap around.
func subVV[T number](out, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = a[i] - b[i]
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] - b[i]
	}
}

// subCV subtracts from a constant.
func subCV[T number](out []T, c T, b []T, sel []int32) {
	if sel == nil {
		b = b[:len(out)]
		for i := range out {
			out[i] = c - b[i]
		}
		return
	}
	for _, i := range sel {
		out[i] = c - b[i]
	}
}

// mulVV multiplies; integers wrap around.
func mulVV[T number](out, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = a[i] * b[i]
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] * b[i]
	}
}

// mulVC multiplies by a constant.
func mulVC[T number](out, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = a[i] * c
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] * c
	}
}

// divVV divides floats as IEEE 754 does: by zero it gives an infinity or NaN.
func divVV[T float](out, a, b []T, sel []int32) {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			out[i] = a[i] / b[i]
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] / b[i]
	}
}

// divVC divides floats by a constant.
func divVC[T float](out, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = a[i] / c
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] / c
	}
}

// divCV divides a constant by floats.
func divCV[T float](out []T, c T, b []T, sel []int32) {
	if sel == nil {
		b = b[:len(out)]
		for i := range out {
			out[i] = c / b[i]
		}
		return
	}
	for _, i := range sel {
		out[i] = c / b[i]
	}
}

// quoVC divides integers by a constant that is not zero, toward zero.
func quoVC[T signed](out, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = a[i] / c
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] / c
	}
}

// remVC gives the remainder of division by a constant that is not zero; it has the sign of a.
func remVC[T signed](out, a []T, c T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = a[i] % c
		}
		return
	}
	for _, i := range sel {
		out[i] = a[i] % c
	}
}

// quoVV divides integers toward zero. It gives the first row that divides by zero and is valid, or -1.
func quoVV[T signed](out, a, b []T, sel []int32, valid []byte) int {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			y := b[i]
			if y == 0 {
				if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
					return int(i)
				}
				y = 1
			}
			out[i] = a[i] / y
		}
		return -1
	}
	for _, i := range sel {
		y := b[i]
		if y == 0 {
			if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
				return int(i)
			}
			y = 1
		}
		out[i] = a[i] / y
	}
	return -1
}

// quoCV divides a constant by integers. It gives the first row that divides by zero and is valid, or -1.
func quoCV[T signed](out []T, c T, b []T, sel []int32, valid []byte) int {
	if sel == nil {
		b = b[:len(out)]
		for i := range out {
			y := b[i]
			if y == 0 {
				if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
					return int(i)
				}
				y = 1
			}
			out[i] = c / y
		}
		return -1
	}
	for _, i := range sel {
		y := b[i]
		if y == 0 {
			if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
				return int(i)
			}
			y = 1
		}
		out[i] = c / y
	}
	return -1
}

// remVV gives the remainder. It gives the first row that divides by zero and is valid, or -1.
func remVV[T signed](out, a, b []T, sel []int32, valid []byte) int {
	if sel == nil {
		a, b = a[:len(out)], b[:len(out)]
		for i := range out {
			y := b[i]
			if y == 0 {
				if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
					return int(i)
				}
				y = 1
			}
			out[i] = a[i] % y
		}
		return -1
	}
	for _, i := range sel {
		y := b[i]
		if y == 0 {
			if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
				return int(i)
			}
			y = 1
		}
		out[i] = a[i] % y
	}
	return -1
}

// remCV gives the remainder of a constant. It gives the first row that divides by zero and is valid, or -1.
func remCV[T signed](out []T, c T, b []T, sel []int32, valid []byte) int {
	if sel == nil {
		b = b[:len(out)]
		for i := range out {
			y := b[i]
			if y == 0 {
				if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
					return int(i)
				}
				y = 1
			}
			out[i] = c % y
		}
		return -1
	}
	for _, i := range sel {
		y := b[i]
		if y == 0 {
			if valid == nil || valid[i>>3]>>(i&7)&1 != 0 {
				return int(i)
			}
			y = 1
		}
		out[i] = c % y
	}
	return -1
}

// negV changes the sign; the smallest integer stays.
func negV[T number](out, a []T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = -a[i]
		}
		return
	}
	for _, i := range sel {
		out[i] = -a[i]
	}
}

// absV gives the absolute value of integers; the smallest one stays, as in Java.
func absV[T signed](out, a []T, sel []int32) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = max(a[i], -a[i])
		}
		return
	}
	for _, i := range sel {
		out[i] = max(a[i], -a[i])
	}
}

// mapV applies f to every row.
func mapV[A, T any](out []T, a []A, sel []int32, f func(A) T) {
	if sel == nil {
		a = a[:len(out)]
		for i := range out {
			out[i] = f(a[i])
		}
		return
	}
	for _, i := range sel {
		out[i] = f(a[i])
	}
}
