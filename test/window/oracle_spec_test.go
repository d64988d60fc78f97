package window

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// definition is a window as the oracle understands its specification; durations are microseconds.
type definition struct {
	keyed                             bool
	kind                              string // tumbling, sliding, cumulating, session, count, global
	size, step, offset, gap, lateness int64
	gapColumn                         bool
	every                             int64 // count windows that slide
	zone                              *time.Location
	byClock                           bool
	trigger                           string // "", event-time, processing-time, early, count, delta, continuous, continuous-processing
	ofSum, multiples, purging         bool
	number                            int64 // of the trigger: rows, sum, threshold, microseconds
	evictor                           string
	keep                              int64
	afterwards                        bool
	lateOutput                        bool
	calls                             []call
}

// call is an aggregate over a column.
type call struct{ function, column string }

var callText = regexp.MustCompile(`^([A-Z_]+)\((\*|v|k)\)$`)

// define reads the YAML on its own.
func define(text string) (d *definition, err error) {
	var spec struct {
		KeyBy     []string `yaml:"key-by"`
		Window    any
		Trigger   any
		Evictor   map[string]any
		Lateness  string `yaml:"allowed-lateness"`
		Late      string
		Emit      string
		Aggregate yaml.Node
	}
	if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
		return nil, err
	}
	d = &definition{keyed: len(spec.KeyBy) > 0, lateOutput: spec.Late != ""}
	duration := func(x any) int64 {
		us, failed := parseTime(fmt.Sprint(x))
		if failed != nil && err == nil {
			err = failed
		}
		return us
	}
	number := func(x any) int64 {
		n, failed := strconv.ParseInt(fmt.Sprint(x), 10, 64)
		if failed != nil && err == nil {
			err = failed
		}
		return n
	}
	if spec.Lateness != "" {
		d.lateness = duration(spec.Lateness)
	}
	switch w := spec.Window.(type) {
	case string:
		d.kind = w
	case map[string]any:
		for key, x := range w {
			switch key {
			case "tumbling", "sliding", "cumulating":
				d.kind, d.size = key, duration(x)
			case "session":
				d.kind = key
				if d.gapColumn = fmt.Sprint(x) == "gap"; !d.gapColumn {
					d.gap = duration(x)
				}
			case "count":
				d.kind, d.size = key, number(x)
			case "every":
				if _, counts := w["count"]; counts {
					d.every = number(x)
				} else {
					d.step = duration(x)
				}
			case "step":
				d.step = duration(x)
			case "offset":
				d.offset = duration(x)
			case "zone":
				if d.zone, err = time.LoadLocation(fmt.Sprint(x)); err != nil {
					return nil, err
				}
			case "clock":
				d.byClock = x == "processing"
			default:
				return nil, fmt.Errorf("the oracle does not know window.%s", key)
			}
		}
	}
	if d.kind == "tumbling" {
		d.step = d.size
	}
	switch t := spec.Trigger.(type) {
	case string:
		d.trigger = t
	case map[string]any:
		for key, x := range t {
			switch key {
			case "purging":
				d.purging = x == true
				continue
			case "type":
				d.trigger = fmt.Sprint(x)
				continue
			}
			d.trigger = key
			switch key {
			case "early":
				for part, y := range x.(map[string]any) {
					switch part {
					case "sum":
						d.ofSum = true
					case "every", "multiples-of":
						d.number, d.multiples = number(y), part == "multiples-of"
					}
				}
			case "count":
				d.number = number(x)
			case "delta":
				d.number = number(x.(map[string]any)["threshold"])
			case "continuous", "continuous-processing":
				d.number = duration(x)
			default:
				return nil, fmt.Errorf("the oracle does not know trigger.%s", key)
			}
		}
	}
	for key, x := range spec.Evictor {
		switch key {
		case "after":
			d.afterwards = x == true
		case "count":
			d.evictor, d.keep = key, number(x)
		case "time":
			d.evictor, d.keep = key, duration(x)
		case "delta":
			d.evictor, d.keep = key, number(x.(map[string]any)["threshold"])
		}
	}
	for i := 1; i < len(spec.Aggregate.Content); i += 2 {
		m := callText.FindStringSubmatch(spec.Aggregate.Content[i].Value)
		if m == nil {
			return nil, fmt.Errorf("the oracle does not know the aggregate %s", spec.Aggregate.Content[i].Value)
		}
		d.calls = append(d.calls, call{m[1], m[2]})
	}
	return d, err
}

// value is the aggregate over rows, in the order in which they came.
func (c call) value(rows []record) string {
	var values []int64
	for _, r := range rows {
		if r.hasV {
			values = append(values, r.v)
		}
	}
	switch {
	case c.function == "COUNT" && c.column == "*":
		return strconv.Itoa(len(rows))
	case c.function == "COUNT":
		return strconv.Itoa(len(values))
	case len(values) == 0:
		return "-"
	}
	out := values[0]
	switch c.function {
	case "ARRAY_AGG":
		var parts []string
		for _, v := range values {
			parts = append(parts, strconv.FormatInt(v, 10))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case "FIRST_VALUE":
	case "LAST_VALUE":
		out = values[len(values)-1]
	case "AVG":
		sum := 0.0
		for _, v := range values {
			sum += float64(v)
		}
		return strconv.FormatFloat(sum/float64(len(values)), 'g', -1, 64)
	default:
		for _, v := range values[1:] {
			switch c.function {
			case "SUM":
				out += v
			case "MIN":
				out = min(out, v)
			case "MAX":
				out = max(out, v)
			}
		}
	}
	return strconv.FormatInt(out, 10)
}
