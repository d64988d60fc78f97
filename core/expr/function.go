package expr

import (
	"fmt"
	"sort"
	"strings"
	"sync"

	"turbo/core"
)

// Example is a worked example of a function: Result is what Expr gives, as FormatValue writes it.
type Example struct{ Expr, Result string }

// FunctionDoc describes a function or operator for the reference.
type FunctionDoc struct {
	Name       string
	Category   string
	Signatures []string
	Doc        string
	Examples   []Example
}

// function is an entry of the table of functions.
type function struct {
	name string
	// sig are the signatures as documented, separated by " | "; the first word is the function's name.
	sig string
	doc string
	// examples are "expression => result", one a line.
	examples string
	// args has a letter for each argument: s STRING, x STRING or BYTES, i integer (as BIGINT), f number (as DOUBLE), b BOOLEAN, t DATE, TIMESTAMP or TIMESTAMP_LTZ, a anything.
	// Those behind ? may be left out; + means that the last one may be repeated.
	args string
	// ret is the result type of row; it is NOT NULL when no argument can be null, unless mayNull.
	ret     core.Type
	mayNull bool
	row     func(c *call, r int) error
	// make compiles the call when row is nil. args are the arguments that are no Symbol.
	make func(b *binder, n *Call, args []op) (op, error)
	// aliases are other names.
	aliases string
	// varying: two rows or batches with equal arguments may differ, so that a call is never folded.
	varying bool

	category string
}

var functions = make(map[string]*function)

// tableOfFunctions are the functions by category, in the order of the reference.
var tableOfFunctions []*function

func register(category string, list []function) {
	for i := range list {
		f := &list[i]
		f.category = category
		tableOfFunctions = append(tableOfFunctions, f)
		for _, name := range append([]string{f.name}, strings.Fields(f.aliases)...) {
			if functions[name] != nil {
				panic("expr: function " + name + " is registered twice")
			}
			functions[name] = f
		}
	}
}

func init() {
	register("String functions", stringFunctions)
	register("String functions", textFunctions)
	register("Mathematical functions", mathFunctions)
	register("Date and time functions", timeFunctions)
	register("Conditional functions", conditionalFunctions)
	register("JSON functions", jsonFunctions)
	register("Collection functions", collectionFunctions)
}

// Functions gives the names of all functions, aliases included, sorted.
func Functions() []string {
	names := make([]string, 0, len(functions))
	for name := range functions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// FunctionDocs gives the reference of operators and functions: by category, operators first, in each by name.
func FunctionDocs() []FunctionDoc {
	docs := append([]FunctionDoc(nil), operatorDocs()...)
	from := len(docs)
	for _, f := range tableOfFunctions {
		d := FunctionDoc{Name: f.name, Category: f.category, Doc: f.doc, Signatures: strings.Split(f.sig, " | "), Examples: parseExamples(f.examples)}
		if f.aliases != "" {
			d.Doc += " Also " + strings.Join(strings.Fields(f.aliases), ", ") + "."
		}
		docs = append(docs, d)
	}
	rank := make(map[string]int)
	for i, d := range docs {
		if _, ok := rank[d.Category]; !ok {
			rank[d.Category] = i
		}
	}
	sort.SliceStable(docs[from:], func(i, j int) bool {
		a, b := docs[from+i], docs[from+j]
		if a.Category != b.Category {
			return rank[a.Category] < rank[b.Category]
		}
		return a.Name < b.Name
	})
	return docs
}

func parseExamples(text string) []Example {
	var out []Example
	for _, line := range strings.Split(text, "\n") {
		if expression, result, ok := strings.Cut(strings.TrimSpace(line), " => "); ok {
			out = append(out, Example{expression, result})
		}
	}
	return out
}

// aggregates are known only to be refused with a helpful message.
var aggregates struct {
	sync.RWMutex
	names map[string]bool
}

// ReserveAggregates says that names, in upper case, are aggregate functions: Compile refuses those, the planner takes them out before.
func ReserveAggregates(names ...string) {
	aggregates.Lock()
	defer aggregates.Unlock()
	if aggregates.names == nil {
		aggregates.names = wordSet("ROW_NUMBER RANK DENSE_RANK LAG LEAD")
	}
	for _, n := range names {
		aggregates.names[n] = true
	}
}

func isAggregate(name string) bool {
	aggregates.RLock()
	defer aggregates.RUnlock()
	return aggregates.names[name]
}

func (b *binder) call(n *Call) (op, error) {
	f := functions[n.Name]
	if f == nil {
		if isAggregate(n.Name) {
			return nil, b.errorf(n, "%s is an aggregate function, which cannot stand in a scalar expression", n.Name)
		}
		if near := core.Nearest(n.Name, Functions()); near != "" {
			return nil, b.errorf(n, "unknown function %s, did you mean %s?", n.Name, near)
		}
		return nil, b.errorf(n, "unknown function %s", n.Name)
	}
	if n.Star || n.Distinct {
		return nil, b.errorf(n, "%s takes neither * nor DISTINCT", n.Name)
	}
	if f.varying {
		b.varying++
	}
	var nodes []Node
	for _, a := range n.Args {
		if _, ok := a.(*Symbol); !ok {
			nodes = append(nodes, a)
		}
	}
	args, err := b.binds(nodes...)
	if err != nil {
		return nil, err
	}
	if args, err = b.arguments(f, n, nodes, args); err != nil {
		return nil, err
	}
	if f.make != nil {
		return f.make(b, n, args)
	}
	t := f.ret
	t.NotNull = !f.mayNull && !nullable(args...)
	return &rowOp{t: t, args: args, fn: f.row, node: n}, nil
}

// arguments checks the arguments against the letters of the table and converts them.
func (b *binder) arguments(f *function, n *Call, nodes []Node, args []op) ([]op, error) {
	required, optional, _ := strings.Cut(f.args, "?")
	repeated := strings.HasSuffix(f.args, "+")
	required, optional = strings.TrimSuffix(required, "+"), strings.TrimSuffix(optional, "+")
	letters := required + optional
	if len(args) < len(required) || len(args) > len(letters) && !repeated {
		count := fmt.Sprint(len(required))
		switch {
		case repeated:
			count = "at least " + count
		case optional != "":
			count = fmt.Sprintf("%d to %d", len(required), len(letters))
		}
		return nil, b.errorf(n, "%s takes %s arguments, not %d: %s", n.Name, count, len(args), strings.ReplaceAll(f.sig, " | ", " or "))
	}
	out := make([]op, len(args))
	for i, a := range args {
		letter := letters[min(i, len(letters)-1)]
		x, ok, err := b.argument(nodes[i], a, letter)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, b.errorf(nodes[i], "argument %d of %s must be %s, but is %s: %s", i+1, n.Name, letterNames[letter], describe(a), strings.ReplaceAll(f.sig, " | ", " or "))
		}
		out[i] = x
	}
	return out, nil
}

var letterNames = map[byte]string{'s': "STRING", 'x': "STRING or BYTES", 'i': "an integer", 'f': "a number", 'n': "a number", 'b': "BOOLEAN", 't': "DATE, TIMESTAMP or TIMESTAMP_LTZ"}

func (b *binder) argument(n Node, a op, letter byte) (op, bool, error) {
	k := a.typ().Kind
	if k == core.Invalid {
		switch letter {
		case 's', 'x':
			return nullOp(core.Of(core.String)), true, nil
		case 'i':
			return nullOp(core.Of(core.Int64)), true, nil
		case 'f', 'n':
			return nullOp(core.Of(core.Float64)), true, nil
		case 'b':
			return nullOp(core.Of(core.Boolean)), true, nil
		case 't':
			return nullOp(core.Of(core.Timestamp)), true, nil
		}
		return a, true, nil
	}
	switch letter {
	case 's':
		return a, k == core.String, nil
	case 'x':
		return a, k == core.String || k == core.Bytes, nil
	case 'b':
		return a, k == core.Boolean, nil
	case 'n':
		return a, k.IsNumeric(), nil
	case 't':
		return a, isDateTime(k), nil
	case 'i':
		if !k.IsInteger() {
			return a, false, nil
		}
		x, err := b.convert(n, a, core.Of(core.Int64))
		return x, true, err
	case 'f':
		if !k.IsNumeric() {
			return a, false, nil
		}
		x, err := b.convert(n, a, core.Of(core.Float64))
		return x, true, err
	}
	return a, true, nil
}

// rowCall compiles a call as a row function over args with a result of type t.
func rowCall(n Node, t core.Type, args []op, fn func(c *call, r int) error) op {
	return &rowOp{t: withNull(t, args...), args: args, fn: fn, node: n}
}
