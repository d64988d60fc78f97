package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"turbo/core"
	"turbo/core/expr"
	"turbo/core/ops/join"
	"turbo/core/ops/window"
	"turbo/internal/spec"
)

// Join describes a join of two streams by equal columns. At most one of Within, Window and AsOf is set; none: a regular join.
type Join struct {
	Kind   join.Kind
	Left   []string // keys, pairwise equal to Right
	Right  []string
	Within *Within
	Window *window.Config // its kind and sizes
	AsOf   bool
	TTL    [2]time.Duration // of a regular join
	Where  string           // a further condition over the columns of the result
	Origin Origin           // of Where, for the errors of rows
}

// Within bounds the times of partners: left + Lower <= right <= left + Upper.
type Within struct{ Lower, Upper time.Duration }

// TimeColumn is the column that an interval join adds: the event time of the result.
const TimeColumn = "join_time"

// joinSpec is a Join with the names of its result.
type joinSpec struct {
	Join
	names   [2]string
	columns []joinColumn // of the result; after pruning, those that somebody reads
	known   []joinColumn // all columns of both inputs, as a condition sees them
	reads   set          // by the condition, by those names
	extra   [2][]string  // columns of the inputs that are kept and are not in the result
}

// joinColumn is a column of an input under a name.
type joinColumn struct {
	side   int
	column string
	name   string
}

// NewJoin joins two streams. The result has the columns of both: a name that both have gets the stream's name and an underscore before it, but keys of one name stand once.
func NewJoin(at Place, left, right Node, j Join) (Node, error) {
	s := &joinSpec{Join: j, names: [2]string{left.Common().Name, right.Common().Name}}
	inputs := [2]*core.Schema{left.Common().Schema, right.Common().Schema}
	if len(j.Left) == 0 || len(j.Left) != len(j.Right) {
		return nil, at.errorf("a join needs columns that are equal: on")
	}
	same := map[string]bool{}
	for i := range j.Left {
		if j.Left[i] == j.Right[i] {
			same[j.Left[i]] = true
		}
	}
	for side, in := range inputs {
		if side == 1 && (j.Kind == join.Semi || j.Kind == join.Anti) {
			break
		}
		for _, f := range in.Fields {
			name := f.Name
			if both := inputs[1-side].Index(name) >= 0 && j.Kind != join.Semi && j.Kind != join.Anti; both {
				if same[name] && j.Kind != join.Full && (side == 1) == (j.Kind == join.Right) {
					s.columns = append(s.columns, joinColumn{side, f.Name, name})
					continue
				}
				if same[name] && j.Kind != join.Full {
					continue
				}
				name = s.names[side] + "_" + name
			}
			s.columns = append(s.columns, joinColumn{side, f.Name, name})
		}
	}
	o := &Operator{
		Kind: s.kind(), Spec: s, Stateful: true, Unbalanced: fmt.Sprintf("%s joins: rows out are not rows in", at.Name),
		Ports: []Port{{Exchange: Hash, Keys: j.Left, Retractions: s.regular()}, {Exchange: Hash, Keys: j.Right, Retractions: s.regular() || j.AsOf}},
	}
	if left == right {
		return nil, at.errorf("%s is joined with itself: give one side a stream of its own (from: %s)", left.Common().Name, left.Common().Name)
	}
	s.name(inputs)
	if err := s.check(inputs); err != nil {
		return nil, at.wrap(err)
	}
	return NewOperator(at, "join", o, left, right)
}

// JoinPart is what a JoinMistake is about.
type JoinPart uint8

// The parts of a Join.
const (
	JoinLeft  JoinPart = iota // the stream on the left
	JoinRight                 // the stream on the right
	JoinOn                    // a pair of columns that are equal
	JoinKind
	JoinWhere
)

// JoinMistake is an error of NewJoin that is about one part of the join.
type JoinMistake struct {
	Part  JoinPart
	Index int   // of JoinOn
	Err   error // what is wrong; of JoinWhere Offset may know where
}

// Error says what is wrong and what to do.
func (m *JoinMistake) Error() string { return m.Err.Error() }

// Unwrap returns what is wrong.
func (m *JoinMistake) Unwrap() error { return m.Err }

// check reports what cannot be of the inputs, the columns and the condition, by the names that the author knows.
func (s *joinSpec) check(inputs [2]*core.Schema) error {
	mistake := func(part JoinPart, index int, format string, args ...any) error {
		return &JoinMistake{part, index, fmt.Errorf(format, args...)}
	}
	for i := range s.Left {
		var pair [2]core.Field
		for side, name := range [2]string{s.Left[i], s.Right[i]} {
			at := inputs[side].Index(name)
			if at < 0 {
				return mistake(JoinOn, i, "%s has no column %s%s", s.names[side], core.QuoteName(name), suggest(name, inputs[side].Names()))
			}
			pair[side] = inputs[side].Fields[at]
		}
		if !pair[0].Type.Same(pair[1].Type) {
			return mistake(JoinOn, i, "%s of %s is %v and %s of %s is %v: what is compared must have the same type, so CAST one of them in the select of its stream",
				core.QuoteName(pair[0].Name), s.names[0], pair[0].Type.Optional(), core.QuoteName(pair[1].Name), s.names[1], pair[1].Type.Optional())
		}
	}
	if s.AsOf && s.Join.Kind != join.Inner && s.Join.Kind != join.Left {
		return mistake(JoinKind, 0, "a temporal join is inner or left: each row of %s is joined with the version that is valid at its time, and versions are no rows of their own", s.names[0])
	}
	for side, in := range inputs {
		part := JoinPart(side)
		if !s.regular() && in.TimeColumn < 0 {
			return mistake(part, 0, "%s has no event time, by which %s goes: give its source a watermark, and keep the column (regular joins and running aggregates have none)", s.names[side], article(s.kind()))
		}
		if in.Changelog && !s.regular() && (!s.AsOf || side == 0) {
			return mistake(part, 0, "%s is a changelog (its rows replace earlier ones), and %s cannot take back what it has joined: use a regular join (with ttl)", s.names[side], article(s.kind()))
		}
	}
	if s.Where == "" {
		return nil
	}
	e, err := NewExpr(s.Where, s.joined(inputs[:]))
	if err != nil {
		return &JoinMistake{JoinWhere, 0, err}
	}
	if e.Type.Kind != core.Boolean {
		return mistake(JoinWhere, 0, "a condition is BOOLEAN, this is %s", e.Type.Optional())
	}
	s.reads = set{}
	s.reads.add(e.Refs(s.joined(inputs[:]))...)
	return nil
}

func article(kind string) string {
	if kind[0] == 'i' {
		return "an " + kind
	}
	return "a " + kind
}

func (s *joinSpec) regular() bool { return s.Within == nil && s.Window == nil && !s.AsOf }

func (s *joinSpec) kind() string {
	switch {
	case s.Within != nil:
		return "interval join"
	case s.Window != nil:
		return "window join"
	case s.AsOf:
		return "temporal join"
	}
	return "join"
}

// prune implements pruner: of the result stay the columns in wanted, and one for rows to be counted by.
func (s *joinSpec) prune(wanted set) {
	kept := slices.DeleteFunc(slices.Clone(s.columns), func(c joinColumn) bool { return !wanted[c.name] })
	if len(kept) == 0 {
		kept = s.columns[:1]
	}
	s.columns = kept
}

// Needs implements OperatorSpec: keys and times, what the condition reads, and the columns of the result.
func (s *joinSpec) Needs(side int, input *core.Schema) []string {
	names := slices.Clone([2][]string{s.Left, s.Right}[side])
	if !s.regular() {
		names = append(names, input.Fields[input.TimeColumn].Name)
	}
	for _, c := range s.columns {
		if c.side == side {
			names = append(names, c.column)
		}
	}
	for _, c := range s.known {
		if c.side == side && s.reads[c.name] {
			names = append(names, c.column)
		}
	}
	return names
}

// beside returns the columns of an input that rows are kept with beside those of the result, sorted.
func (s *joinSpec) beside(side int, input *core.Schema) []string {
	names := slices.DeleteFunc(s.Needs(side, input), func(name string) bool {
		return slices.ContainsFunc(s.columns, func(c joinColumn) bool { return c.side == side && c.column == name })
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// Bind implements OperatorSpec.
func (s *joinSpec) Bind(inputs []*core.Schema) (Bound, error) {
	c := join.Config{Kind: s.Kind, Keys: [2][]int{indexes(s.Left, inputs[0]), indexes(s.Right, inputs[1])}}
	for side, in := range inputs {
		s.extra[side] = s.beside(side, in)
	}
	names := core.NewSchema()
	for _, col := range s.columns {
		c.Output = append(c.Output, join.Column{Side: col.side, Index: inputs[col.side].Index(col.column), Name: col.name})
		names.Fields = append(names.Fields, core.Field{Name: col.name, Type: inputs[col.side].Fields[inputs[col.side].Index(col.column)].Type})
	}
	if s.Where != "" {
		program, err := s.residual(inputs)
		if err != nil {
			return Bound{}, err
		}
		c.Residual = program
	}
	left, right := inputs[0], inputs[1]
	bound := Bound{}
	var err error
	switch {
	case s.Within != nil:
		config := join.IntervalConfig{Config: c, Lower: int64(s.Within.Lower / time.Microsecond), Upper: int64(s.Within.Upper / time.Microsecond), Time: TimeColumn}
		bound.Output, err = config.Schema(left, right)
		bound.New = func() core.Operator { return join.NewInterval(config) }
	case s.Window != nil:
		config := join.WindowConfig{Config: c, Windows: join.Windows{Kind: joinWindows[s.Window.Kind], Size: s.Window.Size, Slide: s.Window.Slide, Offset: s.Window.Offset, Gap: s.Window.Gap}}
		bound.Output, err = config.Schema(left, right)
		bound.New = func() core.Operator { return join.NewWindow(config) }
	case s.AsOf:
		config := join.TemporalConfig{Config: c}
		bound.Output, err = config.Schema(left, right)
		bound.New = func() core.Operator { return join.NewTemporal(config) }
	default:
		config := join.RegularConfig{Config: c, TTL: s.TTL}
		bound.Output, err = config.Schema(left, right)
		bound.New = func() core.Operator { return join.NewRegular(config) }
	}
	return bound, err
}

// joinWindows are the windows that joins have.
var joinWindows = map[window.Kind]join.WindowKind{window.Tumbling: join.Tumbling, window.Sliding: join.Sliding, window.Cumulating: join.Cumulating, window.Session: join.Session}

// residual compiles the further condition over the columns of both inputs, under the names of the result.
func (s *joinSpec) residual(inputs []*core.Schema) (*expr.Program, error) {
	named := s.joined(inputs)
	e, err := NewExpr(s.Where, named)
	if err != nil {
		return nil, err
	}
	return e.Written(s.Origin).Compile(named)
}

// name decides what the columns of both inputs are called in a condition: as in the result; those that are not in it (the right side's of semi and anti joins, the
// other side's keys of one name) by their name, or with the stream's name and an underscore before it when that is taken.
func (s *joinSpec) name(inputs [2]*core.Schema) {
	taken := set{}
	for _, col := range s.columns {
		taken.add(col.name)
	}
	for side, in := range inputs {
		for _, f := range in.Fields {
			i := slices.IndexFunc(s.columns, func(c joinColumn) bool { return c.side == side && c.column == f.Name })
			if i >= 0 {
				s.known = append(s.known, s.columns[i])
				continue
			}
			name := f.Name
			if taken[name] {
				name = s.names[side] + "_" + name
			}
			taken.add(name)
			s.known = append(s.known, joinColumn{side, f.Name, name})
		}
	}
}

// joined is the columns of both inputs as a condition sees them.
func (s *joinSpec) joined(inputs []*core.Schema) *core.Schema {
	joined := join.Joined(inputs[0], inputs[1])
	named := core.NewSchema(append([]core.Field(nil), joined.Fields...)...)
	at := 0
	for side, in := range inputs {
		for _, f := range in.Fields {
			i := slices.IndexFunc(s.known, func(c joinColumn) bool { return c.side == side && c.column == f.Name })
			named.Fields[at].Name = s.known[i].name
			at++
		}
	}
	return named
}

// Explain implements OperatorSpec.
func (s *joinSpec) Explain(line func(key, format string, args ...any)) {
	var on []string
	for i := range s.Left {
		on = append(on, fmt.Sprintf("%s.%s = %s.%s", s.names[0], s.Left[i], s.names[1], s.Right[i]))
	}
	line("kind", "%s, on %s", s.Join.Kind, strings.Join(on, " AND "))
	switch {
	case s.Within != nil:
		line("within", "%s between %s%s and %s%s", s.names[1], s.names[0], plus(s.Within.Lower), s.names[0], plus(s.Within.Upper))
		line("kept", "rows of %s until the watermark reaches their time%s, of %s until it reaches their time%s", s.names[0], plus(s.Within.Upper), s.names[1], plus(-s.Within.Lower))
	case s.Window != nil:
		line("window", "%s", (&windowSpec{Window: Window{Config: *s.Window}}).text())
		line("kept", "rows of both until the watermark passes the end of their last window")
	case s.AsOf:
		line("as of", "the version of %s at the time of the row of %s", s.names[1], s.names[0])
		line("kept", "rows of %s until the watermark reaches their time; of each key of %s the version that is valid at the watermark, and later ones", s.names[0], s.names[1])
	default:
		line("ttl", "%s of %s, %s of %s", lifetime(s.TTL[0]), s.names[0], lifetime(s.TTL[1]), s.names[1])
		if s.TTL == [2]time.Duration{} {
			line("kept", "all rows of both: state grows with the input")
		} else {
			line("kept", "rows for their ttl, by the clock, from when they come; results stay")
		}
	}
	if s.Where != "" {
		line("where", "%s", s.Where)
	}
}

// plus renders a bound of time behind what it is added to.
func plus(d time.Duration) string {
	switch {
	case d < 0:
		return " - " + spec.FormatDuration(-d)
	case d > 0:
		return " + " + spec.FormatDuration(d)
	}
	return ""
}

func lifetime(d time.Duration) string {
	if d == 0 {
		return "for ever"
	}
	return spec.FormatDuration(d)
}

// Signature implements OperatorSpec.
func (s *joinSpec) Signature(fixed, free func(name, value string)) {
	fixed("kind", s.Join.Kind.String())
	for i, c := range s.columns {
		fixed(fmt.Sprintf("column %d", i), c.name)
	}
	for side, names := range s.extra {
		if len(names) > 0 {
			fixed("columns of "+s.names[side]+" for the join alone", strings.Join(names, ", "))
		}
	}
	if s.Within != nil {
		fixed("within", fmt.Sprint(s.Within.Lower, " ", s.Within.Upper))
	}
	if s.Window != nil {
		fixed("window", (&windowSpec{Window: Window{Config: *s.Window}}).text())
	}
	free("where", s.Where)
	free("ttl", fmt.Sprint(s.TTL))
}
