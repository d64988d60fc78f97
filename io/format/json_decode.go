package format

import (
	"turbo/core"
	"turbo/io/connector"
)

// jsonDecoder turns objects into rows. The members of an object are predicted: each name remembers which name came behind
// it the last time, and the text from there to its value, so that in a stream of similar objects a member costs one comparison.
type jsonDecoder struct {
	jsonScanner
	root    jsonObject
	vectors []*core.Vector // of the root's members
	millis  bool           // numbers are timestamps
	scratch []byte         // text with its escapes taken away
	decoded []byte         // of base64
}

// jsonObject is what is known about the members of one kind of object: the record, or a ROW.
type jsonObject struct {
	members []jsonMember
	index   map[string]int32 // by name: entry in names
	names   []jsonName       // those of the members first, then others that were seen
	first   int32            // prediction for the first member
	seen    []uint64         // for each member, the number of the row that had it last
	rows    uint64
}

type jsonMember struct {
	name   string
	typ    core.Type
	column int // of the record: index in the builder's schema
	row    *jsonObject
	key    *jsonMember // of a MAP
	item   *jsonMember // of an ARRAY: the element; of a MAP: the value
}

// jsonName is a name that has been seen or is expected.
type jsonName struct {
	member int32  // -1: skipped
	next   int32  // the name that came behind it the last time
	lead   []byte // what stood before its value the last time, behind the comma or the brace: space, "name", colon, space
}

// maxLead bounds what is remembered of the text before a value.
const maxLead = 256

// maxUnknownNames bounds how many skipped names are remembered for prediction.
const maxUnknownNames = 64

func newJSONDecoder(c connector.DecoderContext) (connector.Decoder, error) {
	d := &jsonDecoder{millis: c.Config.String("timestamps") == "epoch-millis"}
	d.maxDepth = int(c.Config.Int("max-depth"))
	var members []jsonMember
	for _, t := range targets(c) {
		m := newJSONMember(t.name, t.typ)
		m.column = t.column
		members = append(members, m)
	}
	d.root.init(members)
	d.vectors = make([]*core.Vector, len(members))
	return d, nil
}

func newJSONMember(name string, t core.Type) jsonMember {
	m := jsonMember{name: name, typ: t}
	switch t.Kind {
	case core.Row:
		var members []jsonMember
		for _, f := range t.Elements {
			members = append(members, newJSONMember(name+"."+f.Name, f.Type))
		}
		m.row = new(jsonObject)
		m.row.init(members)
		for i, f := range t.Elements { // found by the bare name
			m.row.rename(i, f.Name)
		}
	case core.Array, core.Map:
		e := t.Elements[len(t.Elements)-1]
		item := newJSONMember(name, e.Type)
		m.item = &item
		if t.Kind == core.Map {
			m.key = &jsonMember{name: name, typ: t.Elements[0].Type}
		}
	}
	return m
}

func (o *jsonObject) init(members []jsonMember) {
	o.members = members
	o.seen = make([]uint64, len(members))
	o.names = make([]jsonName, len(members))
	o.index = make(map[string]int32, len(members))
	for i, m := range members {
		o.rename(i, m.name)
	}
}

func (o *jsonObject) rename(i int, name string) {
	delete(o.index, o.members[i].name)
	o.index[name] = int32(i)
	next := int32(i + 1)
	if i+1 == len(o.members) {
		next = 0
	}
	o.names[i] = jsonName{member: int32(i), next: next, lead: append(core.AppendJSONString(nil, []byte(name)), ':')}
}

// Decode implements connector.Decoder.
func (d *jsonDecoder) Decode(record []byte, b *core.Builder) error {
	before := 0
	for i := range d.root.members {
		v := b.Column(d.root.members[i].column)
		if d.vectors[i] != v { // a pointer's write costs more than the comparison while garbage is being collected
			d.vectors[i] = v
		}
		before = v.Len() // decoded columns have the same length between two calls
	}
	d.reset(record)
	d.space()
	if !d.decodeObject(&d.root, d.vectors, nil, 0) {
		return d.undo(before)
	}
	if d.space(); d.at < len(d.b) {
		d.failAt(d.at, "text behind the object")
		return d.undo(before)
	}
	return nil
}

func (d *jsonDecoder) undo(n int) error {
	for _, v := range d.vectors {
		trim(v, n)
	}
	return &RecordError{d.column, d.errorAt, d.reason}
}

// decodeObject reads an object into one row of vectors, or of row's children. It reports false after a failure.
func (d *jsonDecoder) decodeObject(o *jsonObject, vectors []*core.Vector, row *core.Vector, depth int) bool {
	if d.at >= len(d.b) || d.b[d.at] != '{' {
		return d.failAt(d.at, d.expected("an object"))
	}
	if depth >= d.maxDepth {
		return d.tooDeep()
	}
	d.at++
	o.rows++
	found, last, empty := 0, int32(-1), true
	guess := o.first
	for {
		name := int32(-1)
		if int(guess) < len(o.names) {
			if lead := o.names[guess].lead; len(d.b)-d.at > len(lead) && len(lead) > 0 && string(d.b[d.at:d.at+len(lead)]) == string(lead) {
				name = guess
				d.at += len(lead)
				if last < 0 {
					o.first = name
				}
			}
		}
		if name < 0 {
			start := d.at
			if d.space(); d.at < len(d.b) && d.b[d.at] == '}' && empty {
				d.at++
				break
			}
			var ok bool
			if name, ok = d.lookup(o); !ok {
				return false
			}
			if d.space(); !d.symbol(':') {
				return false
			}
			d.space()
			if name >= 0 {
				if n := d.at - start; n <= maxLead {
					o.names[name].lead = append(o.names[name].lead[:0], d.b[start:d.at]...)
				}
				if last >= 0 {
					o.names[last].next = name
				} else {
					o.first = name
				}
			}
		} else if d.b[d.at] <= ' ' {
			d.space()
		}
		empty = false
		member := int32(-1)
		if name >= 0 {
			member = o.names[name].member
			last = name
			guess = o.names[name].next
		}
		if member < 0 {
			if !d.skipValue(depth + 1) {
				return false
			}
		} else if !d.decodeMember(o, int(member), vectors, row, depth, &found) {
			return false
		}
		if d.at < len(d.b) && d.b[d.at] == ',' {
			d.at++
			continue
		}
		d.space()
		if d.at < len(d.b) && d.b[d.at] == '}' {
			d.at++
			break
		}
		if !d.symbol(',') {
			return false
		}
	}
	if found == len(o.members) {
		return true
	}
	for i := range o.members {
		if o.seen[i] == o.rows {
			continue
		}
		if o.members[i].typ.NotNull {
			d.column = o.members[i].name
			return d.failAt(-1, reasonMissing)
		}
		vectorOf(vectors, row, i).AppendNull()
	}
	return true
}

func vectorOf(vectors []*core.Vector, row *core.Vector, i int) *core.Vector {
	if row != nil {
		return row.Child(i)
	}
	return vectors[i]
}

// decodeMember reads the value of a known member. One that the object has had already is taken back first: the last counts.
func (d *jsonDecoder) decodeMember(o *jsonObject, i int, vectors []*core.Vector, row *core.Vector, depth int, found *int) bool {
	m := &o.members[i]
	v := vectorOf(vectors, row, i)
	if o.seen[i] == o.rows {
		v.Truncate(v.Len() - 1)
	} else {
		o.seen[i] = o.rows
		*found++
	}
	ok := d.value(m, v, depth+1)
	if !ok && d.column == "" {
		d.column = m.name
	}
	return ok
}

// lookup reads a name that was not predicted and returns its entry in o.names, or -1 when there is none.
func (d *jsonDecoder) lookup(o *jsonObject) (int32, bool) {
	if d.at >= len(d.b) || d.b[d.at] != '"' {
		return 0, d.failAt(d.at, d.expected("a name in quotes"))
	}
	text, ok := d.text()
	if !ok {
		return 0, false
	}
	if i, known := o.index[string(text)]; known {
		return i, true
	}
	if len(o.names) >= len(o.members)+maxUnknownNames {
		return -1, true
	}
	i := int32(len(o.names))
	o.index[string(text)] = i
	o.names = append(o.names, jsonName{member: -1})
	return i, true
}

// text reads a string and returns its value, in the record or in scratch.
func (d *jsonDecoder) text() ([]byte, bool) {
	start := d.at
	plain, ok := d.skipString()
	if !ok {
		return nil, false
	}
	inside := d.b[start+1 : d.at-1]
	if plain {
		return inside, true
	}
	d.scratch, ok = d.unescape(d.scratch[:0], start+1, d.at-1)
	return d.scratch, ok
}

// value reads a value of the member's type and appends it to v.
func (d *jsonDecoder) value(m *jsonMember, v *core.Vector, depth int) bool {
	if d.at >= len(d.b) {
		return d.failAt(d.at, d.expected("a value"))
	}
	c := d.b[d.at]
	if c == 'n' {
		if !d.word("null") {
			return false
		}
		if m.typ.NotNull {
			return d.failAt(d.at-4, reasonNotNull)
		}
		v.AppendNull()
		return true
	}
	switch k := m.typ.Kind; {
	case k == core.String:
		return d.stringValue(v, c, depth)
	case k.IsNested():
		return d.nestedValue(m, v, depth)
	case c == '"':
		return d.quotedValue(v)
	case c == '-' || c-'0' <= 9:
		return d.plainNumber(v) || d.numberValue(v)
	case k == core.Boolean && c == 't':
		v.AppendBool(true)
		return d.word("true")
	case k == core.Boolean && c == 'f':
		v.AppendBool(false)
		return d.word("false")
	}
	return d.failAt(d.at, d.expected(m.typ.Optional().String()))
}

// stringValue appends any value to a STRING: a string's text, or another value's JSON.
func (d *jsonDecoder) stringValue(v *core.Vector, c byte, depth int) bool {
	if c == '"' {
		text, ok := d.text()
		if ok {
			v.AppendBytes(text)
		}
		return ok
	}
	start := d.at
	if !d.skipValue(depth) {
		return false
	}
	v.AppendBytes(d.b[start:d.at])
	return true
}

// quotedValue reads a scalar that stands in a string.
func (d *jsonDecoder) quotedValue(v *core.Vector) bool {
	start := d.at
	text, ok := d.text()
	if !ok {
		return false
	}
	if v.Type.Kind == core.Bytes {
		if !appendBase64(v, text, &d.decoded) {
			return d.failAt(start, "it is not base64")
		}
		return true
	}
	if d.millis && v.Type.Kind.IsTime() { // as a MAP's key
		if ms, err := core.ParseInt(text, 64); err == nil {
			return d.appendMillis(v, ms, start)
		}
	}
	if err := v.AppendParsed(text); err != nil {
		return d.failAt(start, err.Error())
	}
	return true
}

func (d *jsonDecoder) nestedValue(m *jsonMember, v *core.Vector, depth int) bool {
	switch m.typ.Kind {
	case core.Row:
		if !d.decodeObject(m.row, nil, v, depth) {
			return false
		}
		v.EndElement()
		return true
	case core.Array:
		return d.arrayValue(m, v, depth)
	}
	return d.mapValue(m, v, depth)
}

func (d *jsonDecoder) arrayValue(m *jsonMember, v *core.Vector, depth int) bool {
	if d.b[d.at] != '[' {
		return d.failAt(d.at, d.expected("an array"))
	}
	if depth >= d.maxDepth {
		return d.tooDeep()
	}
	d.at++
	if d.space(); d.at < len(d.b) && d.b[d.at] == ']' {
		d.at++
		v.EndElement()
		return true
	}
	for {
		d.space()
		if !d.value(m.item, v.Child(0), depth+1) {
			return false
		}
		if d.space(); d.at < len(d.b) && d.b[d.at] == ']' {
			d.at++
			v.EndElement()
			return true
		}
		if !d.symbol(',') {
			return false
		}
	}
}

func (d *jsonDecoder) mapValue(m *jsonMember, v *core.Vector, depth int) bool {
	if d.b[d.at] != '{' {
		return d.failAt(d.at, d.expected("an object"))
	}
	if depth >= d.maxDepth {
		return d.tooDeep()
	}
	open := d.at
	d.at++
	keys, start := v.Child(0), v.Child(0).Len()
	if d.space(); d.at < len(d.b) && d.b[d.at] == '}' {
		d.at++
		v.EndElement()
		return true
	}
	for {
		if d.space(); d.at >= len(d.b) || d.b[d.at] != '"' {
			return d.failAt(d.at, d.expected("a name in quotes"))
		}
		if !d.value(m.key, keys, depth+1) {
			return false
		}
		if d.space(); !d.symbol(':') {
			return false
		}
		d.space()
		if !d.value(m.item, v.Child(1), depth+1) {
			return false
		}
		if d.space(); d.at < len(d.b) && d.b[d.at] == '}' {
			d.at++
			if i := repeatedKey(keys, start); i >= 0 {
				return d.failAt(open, "the MAP has the key "+string(keys.AppendText(nil, i))+" twice")
			}
			v.EndElement()
			return true
		}
		if !d.symbol(',') {
			return false
		}
	}
}

// repeatedKey returns the position of a key of an open MAP, whose entries begin at row start of its children, that an earlier entry
// has too, or -1.
func repeatedKey(keys *core.Vector, start int) int {
	n := keys.Len()
	if n-start <= 32 {
		for i := start + 1; i < n; i++ {
			key := keyBytes(keys, i)
			for j := start; j < i; j++ {
				if string(keyBytes(keys, j)) == string(key) {
					return i
				}
			}
		}
		return -1
	}
	seen := make(map[string]struct{}, n-start)
	for i := start; i < n; i++ {
		key := keyBytes(keys, i)
		if _, there := seen[string(key)]; there {
			return i
		}
		seen[string(key)] = struct{}{}
	}
	return -1
}

func keyBytes(v *core.Vector, i int) []byte {
	if w := v.Type.Kind.Width(); w > 0 {
		return v.Data()[i*w : i*w+w]
	}
	return v.BytesAt(i)
}
