package core

// Extremes returns the least and the greatest of values[sel[i]], or of all values when sel is nil. There is at least one.
//
// Expected: 0.4 ns a row without a selection; the four chains of comparisons do not wait for each other.
func Extremes(values []int64, sel []int32) (low, high int64) {
	if sel != nil {
		low = values[sel[0]]
		high = low
		for _, r := range sel {
			low, high = min(low, values[r]), max(high, values[r])
		}
		return low, high
	}
	low = values[0]
	high = low
	l1, l2, l3, h1, h2, h3 := low, low, low, high, high, high
	i := 0
	for ; i+4 <= len(values); i += 4 {
		v := values[i : i+4 : i+4]
		a, b, c, d := v[0], v[1], v[2], v[3]
		low, high = min(low, a), max(high, a)
		l1, h1 = min(l1, b), max(h1, b)
		l2, h2 = min(l2, c), max(h2, c)
		l3, h3 = min(l3, d), max(h3, d)
	}
	for _, x := range values[i:] {
		low, high = min(low, x), max(high, x)
	}
	return min(low, l1, l2, l3), max(high, h1, h2, h3)
}
