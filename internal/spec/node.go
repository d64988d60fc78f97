package spec

import (
	"strings"
	"unicode/utf8"
)

// Kind says what a Node is.
type Kind uint8

// The kinds of nodes. Null is a key without a value ("ride_id:"), an explicit null, or ~.
const (
	Null Kind = iota
	Scalar
	List
	Map
)

// String names the kind as messages do.
func (k Kind) String() string {
	return [...]string{"nothing", "a single value", "a list", "a block of keys"}[k&3]
}

// Style says how a scalar is written.
type Style uint8

// The styles of scalars.
const (
	Plain Style = iota
	SingleQuoted
	DoubleQuoted
	Block // literal | or folded >
)

// Node is one value of a specification. It is read-only after parsing.
type Node struct {
	Kind    Kind
	Pos     Pos
	Value   string  // of a Scalar, variables filled in
	Style   Style   // of a Scalar
	Items   []*Node // of a List
	Entries []Entry // of a Map, in the order of the file, keys unique
	// Broken says that the value is mistaken and reported already (a variable is missing): readers stay silent about it.
	Broken bool

	raw   string // the scalar before variables were filled in
	spans []span // where the value came from variables
	lines []string
}

// Entry is a key of a Map with its value.
type Entry struct {
	Key    string
	KeyPos Pos
	Value  *Node
}

// span says that Value[start:end] came from raw[rawStart:rawEnd].
type span struct{ start, end, rawStart, rawEnd int }

// Get returns the value of a key, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Entries {
		if n.Entries[i].Key == key {
			return n.Entries[i].Value
		}
	}
	return nil
}

// KeyPos returns the position of a key, or of the block when it is not there.
func (n *Node) KeyPos(key string) Pos {
	for i := range n.Entries {
		if n.Entries[i].Key == key {
			return n.Entries[i].KeyPos
		}
	}
	return n.Pos
}

// Keys returns the keys in the order of the file.
func (n *Node) Keys() []string {
	out := make([]string, len(n.Entries))
	for i := range n.Entries {
		out[i] = n.Entries[i].Key
	}
	return out
}

// Substituted reports whether a variable was filled in (an error message then says so instead of showing a value that
// may be a secret).
func (n *Node) Substituted() bool { return len(n.spans) > 0 }

// Show returns the value as the file has it, for messages: variables are not filled in.
func (n *Node) Show() string {
	if n.Kind != Scalar {
		return n.Kind.String()
	}
	return n.raw
}

// At returns the position of the byte at offset of the scalar's value, for errors of an expression in it. Offsets
// within a variable's value give the position of the variable.
func (n *Node) At(offset int) Pos {
	if n.Kind != Scalar || n.Pos.Line == 0 {
		return n.Pos
	}
	raw := min(max(offset, 0), len(n.Value))
	shift := 0
	for _, s := range n.spans {
		if raw >= s.end {
			shift = s.rawEnd - s.end
			continue
		}
		if raw >= s.start {
			raw, shift = s.rawStart, 0
		}
		break
	}
	return n.locate(min(raw+shift, len(n.raw)))
}

// locate aligns the raw text with the file: runs of white space match each other, a doubled or escaped quote matches
// what it stands for.
func (n *Node) locate(offset int) Pos {
	pos := n.Pos
	line, column := pos.Line-1, pos.Column-1
	if line >= len(n.lines) {
		return pos
	}
	source := []rune(n.lines[line])
	switch n.Style {
	case SingleQuoted, DoubleQuoted:
		column++
	case Block:
		column = len(source) // the text begins in the next line
	}
	skipSpace := func() bool {
		for {
			for column < len(source) && (source[column] == ' ' || source[column] == '\t') {
				column++
			}
			if column < len(source) {
				return true
			}
			if line+1 >= len(n.lines) {
				return false
			}
			line, column = line+1, 0
			source = []rune(n.lines[line])
		}
	}
	if n.Style == Block && !skipSpace() {
		return pos
	}
	space := false
	for at := 0; at < len(n.raw); {
		r, size := utf8.DecodeRuneInString(n.raw[at:])
		if n.Style == DoubleQuoted {
			if space {
				skipSpace()
			}
			for column+1 == len(source) && source[column] == '\\' && line+1 < len(n.lines) { // the line goes on in the next
				line, column = line+1, 0
				source = []rune(n.lines[line])
				skipSpace()
			}
			if column < len(source) && source[column] == '\\' && at < offset {
				column += escapeWidth(source, column)
				at += size
				space = false
				continue
			}
		}
		if at >= offset && !space {
			break
		}
		if strings.ContainsRune(" \t\r\n", r) {
			if at >= offset {
				break
			}
			space = true
			at += size
			continue
		}
		if space || column >= len(source) {
			if !skipSpace() {
				return pos
			}
			space = false
		}
		if at >= offset {
			break
		}
		switch {
		case n.Style == SingleQuoted && r == '\'':
			column += 2
		default:
			column++
		}
		at += size
	}
	return Pos{File: pos.File, Line: line + 1, Column: column + 1}
}

// escapeWidth returns the number of characters of the escape sequence at i.
func escapeWidth(source []rune, i int) int {
	if i+1 < len(source) {
		switch source[i+1] {
		case 'x':
			return 4
		case 'u':
			return 6
		case 'U':
			return 10
		}
	}
	return 2
}
