package property

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// column is a column of a result: how it is said in a job, and what it must be.
type column struct {
	name, expression string
	kind             byte // of its text: 'v' as it is, 't' a time, 'd' a double, 'a' an array of numbers
	value            func(rows []*row) string
}

func values(rows []*row) (vs []int64) {
	for _, r := range rows {
		if r.v != never {
			vs = append(vs, r.v)
		}
	}
	return vs
}

// ofValues is an aggregate over the values that are not null; null when there are none.
func ofValues(f func(vs []int64) string) func([]*row) string {
	return func(rows []*row) string {
		if vs := values(rows); len(vs) > 0 {
			return f(vs)
		}
		return ""
	}
}

func sum(vs []int64) (n int64) {
	for _, v := range vs {
		n += v
	}
	return n
}

func ids(rows []*row) string {
	var out []int64
	for _, r := range rows {
		out = append(out, r.id)
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

var (
	countColumn = column{"n", "COUNT(*)", 'v', func(rows []*row) string { return fmt.Sprint(len(rows)) }}
	idsColumn   = column{"ids", "ARRAY_AGG(id)", 'a', ids}
	aggregates  = []column{
		{"c", "COUNT(v)", 'v', func(rows []*row) string { return fmt.Sprint(len(values(rows))) }},
		{"s", "SUM(v)", 'v', ofValues(func(vs []int64) string { return fmt.Sprint(sum(vs)) })},
		{"lo", "MIN(v)", 'v', ofValues(func(vs []int64) string { return fmt.Sprint(slices.Min(vs)) })},
		{"hi", "MAX(v)", 'v', ofValues(func(vs []int64) string { return fmt.Sprint(slices.Max(vs)) })},
		{"m", "AVG(v)", 'd', ofValues(func(vs []int64) string { return double(float64(sum(vs)) / float64(len(vs))) })},
		{"u", "COUNT(DISTINCT g)", 'v', func(rows []*row) string {
			seen := map[int64]bool{}
			for _, r := range rows {
				seen[r.g] = true
			}
			return fmt.Sprint(len(seen))
		}},
		{"med", "MEDIAN(v)", 'd', ofValues(func(vs []int64) string {
			slices.Sort(vs)
			n := len(vs)
			return double(float64(vs[(n-1)/2]+vs[n/2]) / 2)
		})},
		{"dev", "STDDEV_POP(v)", 'd', ofValues(func(vs []int64) string {
			mean, squares := float64(sum(vs))/float64(len(vs)), 0.0
			for _, v := range vs {
				squares += (float64(v) - mean) * (float64(v) - mean)
			}
			return double(math.Sqrt(squares / float64(len(vs))))
		})},
		{"about", "APPROX_COUNT_DISTINCT(g)", 'v', func(rows []*row) string { // exact below 256
			seen := map[int64]bool{}
			for _, r := range rows {
				seen[r.g] = true
			}
			return fmt.Sprint(len(seen))
		}},
		{"x", "SUM(v + 2 * g)", 'v', func(rows []*row) string {
			total, some := int64(0), false
			for _, r := range rows {
				if r.v != never {
					total, some = total+r.v+2*r.g, true
				}
			}
			if !some {
				return ""
			}
			return fmt.Sprint(total)
		}},
		{"y", "SUM(v) * 10 + COUNT(*)", 'v', func(rows []*row) string {
			if vs := values(rows); len(vs) > 0 {
				return fmt.Sprint(sum(vs)*10 + int64(len(rows)))
			}
			return ""
		}},
		{"last_time", "MAX(ts)", 't', func(rows []*row) string {
			most := int64(never)
			for _, r := range rows {
				most = max(most, r.ts)
			}
			return milliseconds(most)
		}},
	}
	orderedColumns = []column{ // where the order of rows is known
		{"f", "FIRST_VALUE(id)", 'v', func(rows []*row) string { return fmt.Sprint(rows[0].id) }},
		{"l", "LAST_VALUE(id)", 'v', func(rows []*row) string { return fmt.Sprint(rows[len(rows)-1].id) }},
	}
)

func double(x float64) string { return strconv.FormatFloat(x, 'f', 6, 64) }

func milliseconds(us int64) string {
	if us == never {
		return ""
	}
	return fmt.Sprint(floor(us, 0, 1000) / 1000)
}

// newColumns picks some aggregates. The first is always the number of rows.
func newColumns(r *rand.Rand, withIDs, ordered bool) []column {
	out := []column{countColumn}
	for _, c := range aggregates {
		if r.IntN(3) == 0 {
			out = append(out, c)
		}
	}
	if ordered && r.IntN(2) == 0 {
		out = append(out, orderedColumns...)
	}
	if withIDs {
		out = append(out, idsColumn)
	}
	return out
}

func aggregateBlock(columns []column) string {
	var parts []string
	for _, c := range columns {
		parts = append(parts, fmt.Sprintf("%s: %q", c.name, c.expression))
	}
	return "    aggregate: {" + strings.Join(parts, ", ") + "}\n"
}

// canonical brings the text of a field, as a file has it, to the form that oracles write.
func canonical(kind byte, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	switch kind {
	case 't':
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			return text, nil
		}
		t, err := time.Parse("2006-01-02 15:04:05.999999", text)
		return fmt.Sprint(t.UnixMilli()), err
	case 'd':
		x, err := strconv.ParseFloat(text, 64)
		return double(x), err
	case 'a':
		var out []int64
		for _, f := range strings.Fields(strings.Trim(text, "[]")) {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return "", err
			}
			out = append(out, n)
		}
		slices.Sort(out)
		return fmt.Sprint(out), nil
	}
	return text, nil
}
