package spec

import (
	"strconv"
	"strings"
)

// Set applies one override of the command line, such as engine.buffer-timeout=1ms, to the tree before it is checked.
// The value is read as YAML, so [a, b] and {type: csv} work. Blocks on the way are made when they are missing. The
// positions of what it sets say "--set engine.buffer-timeout=1ms".
func Set(root *Node, override string, vars Variables, report *Report) {
	at := Pos{File: "--set " + override}
	path, text, ok := strings.Cut(override, "=")
	if !ok || strings.TrimSpace(path) == "" {
		report.Errorf(at, "an override is KEY=VALUE, such as engine.buffer-timeout=1ms")
		return
	}
	var inner Report
	value := Parse(at.File, []byte(text), vars, &inner)
	for _, e := range inner.errors {
		report.Errorf(at, "%s", e.Message)
	}
	if value == nil || inner.Failed() {
		return
	}
	if strings.TrimSpace(text) == "" {
		value = &Node{Kind: Null}
	}
	moveTo(value, at)
	keys := strings.Split(strings.TrimSpace(path), ".")
	n := root
	for i, key := range keys {
		last := i == len(keys)-1
		switch n.Kind {
		case List:
			index, err := strconv.Atoi(key)
			if err != nil || index < 0 || index >= len(n.Items) {
				report.Errorf(at, "%s is a list with %d entries: %q is not the number of one (from 0)", strings.Join(keys[:i], "."), len(n.Items), key)
				return
			}
			if last {
				n.Items[index] = value
			}
			n = n.Items[index]
		case Null:
			n.Kind = Map
			fallthrough
		case Map:
			next := n.Get(key)
			if next == nil || last {
				if !last {
					value := &Node{Kind: Map, Pos: at}
					n.put(key, at, value)
					n = value
					continue
				}
				n.put(key, at, value)
				continue
			}
			n = next
		default:
			report.Errorf(at, "%s is %s in the file, so it has no key %q", strings.Join(keys[:i], "."), n.Kind, key)
			return
		}
	}
}

func (n *Node) put(key string, at Pos, value *Node) {
	for i := range n.Entries {
		if n.Entries[i].Key == key {
			n.Entries[i] = Entry{key, at, value}
			return
		}
	}
	n.Entries = append(n.Entries, Entry{key, at, value})
}

func moveTo(n *Node, at Pos) {
	n.Pos = at
	for _, c := range n.Items {
		moveTo(c, at)
	}
	for i := range n.Entries {
		n.Entries[i].KeyPos = at
		moveTo(n.Entries[i].Value, at)
	}
}

// NewScalar makes a value that no file has, such as a default.
func NewScalar(value string, pos Pos) *Node {
	return &Node{Kind: Scalar, Pos: pos, Value: value, raw: value}
}

// NewMap makes an empty block at pos.
func NewMap(pos Pos) *Node { return &Node{Kind: Map, Pos: pos} }
