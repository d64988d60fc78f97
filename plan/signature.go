package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"turbo/core"
	"turbo/io/connector"
)

// Signature says which state a plan has and needs. It is stored with each checkpoint, as JSON, and compared when a job
// starts from one.
type Signature struct {
	Job       string          `json:"job"`
	KeyGroups int             `json:"key_groups"`
	Parts     []SignaturePart `json:"parts"`
	// Expressions are those of the program as it was written. State does not depend on them to fit, but on them what it means.
	Expressions []Expression `json:"expressions,omitempty"`
}

// Expression is an expression of a program.
type Expression struct {
	Name string `json:"name"` // as Origin has it
	Text string `json:"text"`
	// Feeds are the nodes behind it that keep state of rows: aggregates, windows, joins.
	Feeds []string `json:"feeds,omitempty"`
}

// SignaturePart describes one node.
type SignaturePart struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// State says that the node has state, so that it must not disappear.
	State bool `json:"state,omitempty"`
	// Fixed are what state depends on; Free may change between runs.
	Fixed []Attribute `json:"fixed,omitempty"`
	Free  []Attribute `json:"free,omitempty"`
}

// Attribute is a named text.
type Attribute struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Signature describes a finished plan.
func (p *Plan) Signature() Signature {
	out := Signature{Job: p.Settings.Name, KeyGroups: p.Settings.KeyGroups, Expressions: p.expressions}
	for _, n := range p.Nodes() {
		c := n.Common()
		part := SignaturePart{ID: c.ID}
		fixed := func(name, value string) { part.Fixed = append(part.Fixed, Attribute{name, value}) }
		free := func(name, value string) { part.Free = append(part.Free, Attribute{name, value}) }
		switch n := n.(type) {
		case *Source:
			part.Kind, part.State = "source", true
			fixed("connector", n.Spec.Name)
			part.Fixed = append(part.Fixed, identity(n.Config)...)
			free("columns", n.Schema.String())
		case *Aggregate:
			part.Kind, part.State = "aggregate", true
			fixed("key", typed(n.Keys, n.Schema))
			for _, call := range n.Calls {
				argument := "*"
				if call.ArgumentIndex >= 0 {
					argument = n.Inputs[0].Common().Schema.Fields[call.ArgumentIndex].Type.String()
				}
				fixed("column "+call.Output.Name, call.state(argument))
			}
			if n.Inputs[0].Common().Schema.Changelog {
				fixed("input", "changelog")
			}
			free("emit", map[bool]string{false: "per-batch", true: "every-row"}[n.EveryRow])
		case *Deduplicate:
			part.Kind, part.State = "deduplicate", true
			fixed("key", typed(n.Keys, n.Schema))
			fixed("clock", map[bool]string{false: "event", true: "processing"}[n.ProcessingTime])
			free("ttl", n.TTL.String())
		case *Operator:
			part.Kind, part.State = n.Kind, n.Stateful
			for i, p := range n.Ports {
				if len(p.Keys) > 0 {
					name := "key"
					if !n.alone() {
						name = fmt.Sprintf("key of input %d", i+1)
					}
					fixed(name, typed(p.Keys, n.Inputs[i].Common().Schema))
				}
			}
			n.Spec.Signature(fixed, free)
		case *Sink:
			part.Kind, part.State = "sink", true
			fixed("connector", n.Spec.Name)
			part.Fixed = append(part.Fixed, identity(n.Config)...)
			fixed("columns", n.Schema.String())
		default:
			continue // a Calc has no state, an exchange none between checkpoints
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

// identity are the fields of a connector that say which input or output it is.
func identity(c *connector.Config) []Attribute {
	var out []Attribute
	for _, f := range c.Fields() {
		if !f.Identity || !c.Has(f.Name) {
			continue
		}
		value := ""
		switch f.Type {
		case connector.Format:
			if format := c.Format(f.Name); format != nil {
				value = format.Spec.Name
			}
		case connector.StringList:
			value = strings.Join(c.Strings(f.Name), ", ")
		case connector.StringMap:
			for _, e := range c.Entries(f.Name) {
				value += e.Key + ": " + e.Value + "; "
			}
		case connector.Secret, connector.Object, connector.ObjectMap, connector.Any:
			continue
		default:
			value = c.String(f.Name)
		}
		out = append(out, Attribute{f.Name, value})
	}
	return out
}

func typed(names []string, schema *core.Schema) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = name + " " + schema.Fields[schema.Index(name)].Type.Optional().String()
	}
	return strings.Join(parts, ", ")
}

// Fingerprint is a short hash of everything that state depends on: equal fingerprints need no Diff.
func (s Signature) Fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", s.KeyGroups)
	for _, p := range s.Parts {
		if p.State {
			fmt.Fprintf(h, "%q %q %q\n", p.ID, p.Kind, p.Fixed)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Difference is one difference between two signatures.
type Difference struct {
	ID string
	// Refused says that the old state does not fit the new plan.
	Refused bool
	Text    string
}

// String gives the line that a user reads.
func (d Difference) String() string {
	mark := "  "
	if d.Refused {
		mark = "! "
	}
	return mark + d.ID + ": " + d.Text
}

// Diff compares the signature of a checkpoint with that of the plan to be started from it, in the order of the old one
// and then the new one. Nothing that keeps state may disappear or change what its state depends on; what is new starts
// empty.
func Diff(old, now Signature) []Difference {
	var out []Difference
	add := func(id string, refused bool, format string, args ...any) {
		out = append(out, Difference{id, refused, fmt.Sprintf(format, args...)})
	}
	if old.KeyGroups != now.KeyGroups {
		add("job", true, "the number of key groups was %d and is %d", old.KeyGroups, now.KeyGroups)
	}
	byID := map[string]SignaturePart{}
	for _, p := range now.Parts {
		byID[p.ID] = p
	}
	known := map[string]bool{}
	for _, was := range old.Parts {
		known[was.ID] = true
		is, ok := byID[was.ID]
		if !ok {
			if was.State {
				add(was.ID, true, "the %s is gone, and the checkpoint has its state", was.Kind)
			}
			continue
		}
		if was.Kind != is.Kind {
			add(was.ID, true, "was %s and is %s", was.Kind, is.Kind)
			continue
		}
		fixed := len(out)
		compare(was.Fixed, is.Fixed, func(text string) { add(was.ID, was.State, "%s", text) })
		if len(out) == fixed && !slices.Equal(was.Fixed, is.Fixed) {
			add(was.ID, was.State, "the order was %s and is %s", attributeNames(was.Fixed), attributeNames(is.Fixed))
		}
		compare(was.Free, is.Free, func(text string) { add(was.ID, false, "%s", text) })
	}
	for _, is := range now.Parts {
		switch {
		case known[is.ID] || !is.State:
		case is.Kind == "sink":
			add(is.ID, false, "the sink is new: it gets the rows that follow the checkpoint")
		default:
			add(is.ID, false, "the %s is new and starts without state", is.Kind)
		}
	}
	diffExpressions(old.Expressions, now.Expressions, known, func(name, text string) { add(name, false, "%s", text) })
	return out
}

// diffExpressions compares the programs' texts. known are the nodes of the old one.
func diffExpressions(old, now []Expression, known map[string]bool, add func(name, text string)) {
	is, was := map[string]Expression{}, map[string]Expression{}
	for _, e := range old {
		was[e.Name] = e
	}
	for _, e := range now {
		is[e.Name] = e
	}
	kept := func(e Expression) string {
		in := slices.DeleteFunc(slices.Clone(e.Feeds), func(id string) bool { return !known[id] })
		if len(in) == 0 {
			return ""
		}
		return "; what rows before the change have made stays in " + strings.Join(in, ", ")
	}
	for _, e := range old {
		switch x, there := is[e.Name]; {
		case !there:
			add(e.Name, fmt.Sprintf("was %s and is gone%s", oneLine(e.Text), kept(e)))
		case x.Text != e.Text:
			add(e.Name, fmt.Sprintf("was %s and is %s%s", oneLine(e.Text), oneLine(x.Text), kept(x)))
		}
	}
	for _, e := range now {
		if _, there := was[e.Name]; !there {
			add(e.Name, fmt.Sprintf("is new: %s%s", oneLine(e.Text), kept(e)))
		}
	}
}

// oneLine puts a text that may have several lines on one.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func attributeNames(list []Attribute) string {
	var names []string
	for _, a := range list {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

func compare(old, now []Attribute, add func(string)) {
	values := map[string]string{}
	for _, a := range now {
		values[a.Name] += a.Value + "\n"
	}
	was := map[string]string{}
	for _, a := range old {
		was[a.Name] += a.Value + "\n"
	}
	clean := func(s string) string { return strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", " AND ") }
	done := map[string]bool{}
	for _, a := range old {
		if done[a.Name] {
			continue
		}
		done[a.Name] = true
		switch is, ok := values[a.Name]; {
		case !ok:
			add(fmt.Sprintf("%s was %s and is gone", a.Name, clean(was[a.Name])))
		case is != was[a.Name]:
			add(fmt.Sprintf("%s was %s and is %s", a.Name, clean(was[a.Name]), clean(is)))
		}
	}
	for _, a := range now {
		if _, ok := was[a.Name]; !ok && !done[a.Name] {
			done[a.Name] = true
			add(fmt.Sprintf("%s is new: %s", a.Name, clean(values[a.Name])))
		}
	}
}
