package job

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"

	"turbo/internal/spec"
	"turbo/io/connector"
	"turbo/plan"
)

// Options say what to read and what the command line adds to it.
type Options struct {
	File    string                      // name for messages; Load reads it
	Defines map[string]string           // -D NAME=VALUE
	Lookup  func(string) (string, bool) // the environment; nil: os.LookupEnv
	Set     []string                    // --set KEY=VALUE, later ones win
	// Parallelism is -p; 0: as the file says.
	Parallelism int
}

// Job is a checked job.
type Job struct {
	Plan     *plan.Plan  // finished
	Warnings spec.Errors // what works and is probably not meant
}

// Load reads and checks a file. A file that cannot be read is an error of package os; mistakes in it are spec.Errors.
func Load(path string, o Options) (*Job, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if o.File == "" {
		o.File = path
	}
	return Parse(data, o)
}

// Parse checks a specification and builds its plan. The error is a spec.Errors with all mistakes.
func Parse(data []byte, o Options) (*Job, error) {
	var report spec.Report
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	vars := spec.Variables{Defines: o.Defines, Lookup: o.Lookup}
	root := spec.Parse(o.File, data, vars, &report)
	if root == nil {
		return nil, report.Err()
	}
	if root.Kind == spec.Map {
		for _, s := range o.Set {
			spec.Set(root, s, vars, &report)
		}
		if o.Parallelism > 0 {
			spec.Set(root, "engine.parallelism="+strconv.Itoa(o.Parallelism), vars, &report)
		}
	}
	b := &builder{report: &report, names: map[string]*named{}}
	b.build(root)
	if err := report.Err(); err != nil {
		return nil, err
	}
	b.plan.Finish()
	return &Job{Plan: b.plan, Warnings: report.Warnings()}, nil
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// builder turns the tree into a plan.
type builder struct {
	report  *spec.Report
	top     *connector.Config
	plan    *plan.Plan
	names   map[string]*named // sources and streams
	order   []*named
	reached map[*named]bool
}

// named is a source or stream.
type named struct {
	name  string
	pos   spec.Pos
	kind  string // "source" or "stream"
	entry *spec.Node

	config *connector.Config
	state  int // 0 not built, 1 being built, 2 built
	node   plan.Node
	reads  []*named

	late   *named    // the stream whose late rows this one is; nil: it has an entry of its own
	lateOf plan.Node // late rows of this stream, once it is built
	side   string    // of late: which further output of its function this one is; "": its late rows
	sides  map[string]plan.Node
}

func (b *builder) build(root *spec.Node) {
	b.top = connector.Parse(root, root.Pos, "", TopFields, b.report)
	if root.Kind != spec.Map {
		return
	}
	b.plan = &plan.Plan{}
	b.settings()
	b.collect("sources", "source")
	b.collect("streams", "stream")
	for _, n := range b.order {
		b.resolve(n, nil)
	}
	b.sinks()
	if !b.report.Failed() {
		b.warnUnused()
	}
}

// settings reads name and engine.
func (b *builder) settings() {
	name := b.top.String("name")
	if b.top.Has("name") && !namePattern.MatchString(name) {
		b.report.Add(b.top.Position("name"), b.top.Errorf("name", "%q: a name has letters, digits, _, - and . and begins with none of - and .", name))
	}
	e := b.top.Object("engine")
	c, r := e.Object("checkpoint"), e.Object("restart")
	s := &b.plan.Settings
	*s = plan.Settings{
		Name: name, Parallelism: int(e.Int("parallelism")), Memory: e.Bytes("memory"), BufferTimeout: e.Duration("buffer-timeout"),
		FlushWhenIdle: e.Bool("flush-when-idle"), BatchRows: int(e.Int("batch-rows")), KeyGroups: int(e.Int("key-groups")), DeadLetters: e.String("dead-letters"),
		Checkpoint: plan.Checkpoint{Off: c.Off(), Interval: c.Duration("interval"), Dir: c.String("dir"), Retain: int(c.Int("retain")),
			Timeout: c.Duration("timeout"), MinPause: c.Duration("min-pause")},
		Restart: plan.Restart{Strategy: r.String("strategy"), Initial: r.Duration("initial"), Max: r.Duration("max"), Multiplier: r.Float("multiplier"),
			Jitter: r.Float("jitter"), ResetAfter: r.Duration("reset-after"), Attempts: int(r.Int("attempts")), Delay: r.Duration("delay"),
			MaxFailures: int(r.Int("max-failures")), Interval: r.Duration("interval")},
	}
	if s.Checkpoint.Dir == "" {
		s.Checkpoint.Dir = "./.turbo/" + name
	}
	if s.DeadLetters == "" {
		s.DeadLetters = "./dead-letters/" + name
	}
	if s.Parallelism > s.KeyGroups {
		b.report.Add(e.Position("parallelism"), e.Errorf("parallelism", "%d workers, but only %d key groups: raise engine.key-groups", s.Parallelism, s.KeyGroups))
	}
	if s.Restart.Max < s.Restart.Initial {
		b.report.Add(r.Position("max"), r.Errorf("max", "%s is below initial, %s", spec.FormatDuration(s.Restart.Max), spec.FormatDuration(s.Restart.Initial)))
	}
}

// block returns the entries of sources, streams or sinks.
func (b *builder) block(section string) []spec.Entry {
	n := b.top.Node(section)
	switch {
	case n == nil:
		return nil
	case n.Kind == spec.Map && len(n.Entries) == 0 && section != "streams":
		b.report.Errorf(n.Pos, "%s: the block is empty", section)
	case n.Kind != spec.Map:
		if n.Kind != spec.Null || section != "streams" {
			b.report.Errorf(n.Pos, "%s: expected a block of names, this is %s", section, n.Kind)
		}
		return nil
	}
	return n.Entries
}

// collect registers the names of sources or streams.
func (b *builder) collect(section, kind string) {
	for _, e := range b.block(section) {
		if !namePattern.MatchString(e.Key) {
			b.report.Errorf(e.KeyPos, "%s: %q: a name has letters, digits, _, - and . and begins with none of - and .", section, e.Key)
		}
		if was := b.names[e.Key]; was != nil {
			b.report.Errorf(e.KeyPos, "%s: %q is the name of a %s already (line %d)", section, e.Key, was.kind, was.pos.Line)
			continue
		}
		n := &named{name: e.Key, pos: e.KeyPos, kind: kind, entry: e.Value}
		b.names[e.Key] = n
		b.order = append(b.order, n)
	}
	for _, n := range slices.Clone(b.order) { // late rows are streams, too
		if kind == "stream" && n.kind == kind && n.entry != nil && n.entry.Kind == spec.Map {
			b.collectLate(n)
			b.collectSides(n)
		}
	}
}

// collectSides registers the streams that a function's further outputs are.
func (b *builder) collectSides(of *named) {
	sides := of.entry.Get("process").Get("sides")
	if sides == nil || sides.Kind != spec.Map {
		return
	}
	for _, e := range sides.Entries {
		if e.Value == nil || e.Value.Kind != spec.Scalar || e.Value.Broken {
			continue
		}
		if was := b.names[e.Value.Value]; was != nil {
			b.report.Errorf(e.Value.Pos, "streams.%s.process.sides.%s: %q is the name of a %s already (line %d)", of.name, e.Key, e.Value.Value, was.kind, was.pos.Line)
			continue
		}
		n := &named{name: e.Value.Value, pos: e.Value.Pos, kind: "stream", late: of, side: e.Key, reads: []*named{of}}
		b.names[n.name] = n
		b.order = append(b.order, n)
	}
}

// collectLate registers the stream of late rows that a stream makes.
func (b *builder) collectLate(of *named) {
	name := of.entry.Get("late")
	if name == nil || name.Kind != spec.Scalar || name.Broken {
		return
	}
	if was := b.names[name.Value]; was != nil {
		b.report.Errorf(name.Pos, "streams.%s.late: %q is the name of a %s already (line %d)", of.name, name.Value, was.kind, was.pos.Line)
		return
	}
	if !namePattern.MatchString(name.Value) {
		b.report.Errorf(name.Pos, "streams.%s.late: %q: a name has letters, digits, _, - and . and begins with none of - and .", of.name, name.Value)
	}
	n := &named{name: name.Value, pos: name.Pos, kind: "stream", late: of, reads: []*named{of}}
	b.names[name.Value] = n
	b.order = append(b.order, n)
}

func (b *builder) known() []string {
	out := make([]string, len(b.order))
	for i, n := range b.order {
		out[i] = n.name
	}
	return out
}

// resolve builds a source or stream after those that it reads. path are the streams being built, for the message about a
// cycle. The node is nil when there is a mistake, which has been reported.
func (b *builder) resolve(n *named, path []*named) plan.Node {
	switch n.state {
	case 2:
		return n.node
	case 1:
		text := n.name
		for i := len(path) - 1; i >= 0 && path[i] != n; i-- {
			text = path[i].name + " -> " + text
		}
		at := n.pos
		if n.config != nil {
			at = n.config.ValuePosition("from")
		}
		b.report.Errorf(at, "streams.%s.from: streams cannot read each other in a circle: %s -> %s", n.name, n.name, text)
		return nil
	}
	n.state = 1
	if n.late != nil {
		if b.resolve(n.late, append(path, n)) != nil {
			n.node = n.late.lateOf
			if n.side != "" {
				n.node = n.late.sides[n.side]
			}
		}
	} else if n.kind == "source" {
		n.node = b.source(n)
	} else {
		n.config = connector.Parse(n.entry, n.pos, "streams."+n.name, StreamFields, b.report)
		n.node = b.stream(n, append(path, n))
	}
	n.state = 2
	return n.node
}

// inputs resolves a from. It gives nil when one of them is mistaken.
func (b *builder) inputs(c *connector.Config, name string, pos spec.Pos, path []*named) (plan.Node, []*named) {
	var nodes []plan.Node
	var reads []*named
	complete := true
	for _, e := range c.Entries("from") {
		n := b.names[e.Value]
		if n == nil {
			b.report.Errorf(e.Node.Pos, "%s.from: no source or stream has the name %q%s", c.Path(), e.Value, spec.Suggest(e.Value, b.known()))
			complete = false
			continue
		}
		reads = append(reads, n)
		node := b.resolve(n, path)
		complete = complete && node != nil
		nodes = append(nodes, node)
	}
	if !complete || len(nodes) == 0 {
		return nil, reads
	}
	u, err := plan.NewUnion(plan.Place{Name: name, Pos: c.ValuePosition("from")}, nodes)
	if err != nil {
		b.add(c.Path()+".from", err)
		return nil, reads
	}
	return u, reads
}

// add reports an error of the plan with the dotted path before its message.
func (b *builder) add(path string, err error) {
	if e, ok := err.(*spec.Error); ok {
		b.report.Errorf(e.Pos, "%s: %s", path, e.Message)
		return
	}
	b.report.Errorf(b.top.Position(""), "%s: %v", path, err)
}

// warnUnused warns about sources and streams that no sink reads.
func (b *builder) warnUnused() {
	used := map[*named]bool{}
	var mark func(*named)
	mark = func(n *named) {
		if !used[n] {
			used[n] = true
			for _, r := range n.reads {
				mark(r)
			}
		}
	}
	for n := range b.reached {
		mark(n)
	}
	for _, n := range b.order {
		if !used[n] {
			b.report.Warnf(n.pos, "%s", fmt.Sprintf("%ss.%s: no sink reads this %s, directly or through others: it does not run", n.kind, n.name, n.kind))
		}
	}
}
