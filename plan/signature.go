package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	out := Signature{Job: p.Settings.Name, KeyGroups: p.Settings.KeyGroups}
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
		case *Calc:
			part.Kind = "calc"
			for _, e := range n.Conditions {
				free("filter", e.Text)
			}
			for _, column := range n.Columns {
				if column.Input < 0 || column.Name != n.Inputs[0].Common().Schema.Fields[column.Input].Name {
					free("column "+column.Name, column.Expr.Text)
				}
			}
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
			continue // an exchange has no state between checkpoints
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
		compare(was.Fixed, is.Fixed, func(text string) { add(was.ID, was.State, "%s", text) })
		compare(was.Free, is.Free, func(text string) { add(was.ID, false, "%s", text) })
	}
	for _, is := range now.Parts {
		if !known[is.ID] && is.State {
			add(is.ID, false, "the %s is new and starts without state", is.Kind)
		}
	}
	return out
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
