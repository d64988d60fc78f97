package format

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"turbo/core"
	"turbo/io/connector"
)

func base64Text(dst, b []byte) []byte { return base64.StdEncoding.AppendEncode(dst, b) }

// csvSplitter cuts at line feeds that are not within quotes. Quotes count at the beginning of a field only.
type csvSplitter struct {
	options csvOptions
	state   csvState // behind data[:start] of the next call
}

type csvState uint8

const (
	csvFieldStart csvState = iota
	csvPlain               // in a field without quotes, or behind the closing quote
	csvQuoted
	csvEscaped  // behind the escape character
	csvQuoteEnd // behind a quote within quotes: the end, or the first of two
)

// Split implements connector.Splitter.
func (s *csvSplitter) Split(data []byte, start int, atEOF bool) (int, []byte, error) {
	o := &s.options
	if start == 0 {
		s.state = csvFieldStart
		if i := bytes.IndexByte(data, '\n'); i >= 0 && (o.quote == 0 || bytes.IndexByte(data[:i], o.quote) < 0) {
			return i + 1, withoutCR(data[:i]), nil
		}
	}
	state := s.state
	for i := start; i < len(data); i++ {
		switch c := data[i]; state {
		case csvQuoted:
			switch {
			case c == o.escape && o.escape != 0:
				state = csvEscaped
			case c == o.quote:
				state = csvQuoteEnd
			default:
				// Everything up to the next quote or escape belongs to the field.
				if o.escape == 0 {
					if next := bytes.IndexByte(data[i:], o.quote); next > 0 {
						i += next - 1
					} else {
						i = len(data) - 1
					}
				}
			}
		case csvEscaped:
			state = csvQuoted
		default:
			switch {
			case c == '\n':
				s.state = csvFieldStart
				return i + 1, withoutCR(data[:i]), nil
			case c == o.delimiter:
				state = csvFieldStart
			case c == o.quote && o.quote != 0 && (state == csvFieldStart || state == csvQuoteEnd):
				state = csvQuoted
			default:
				state = csvPlain
			}
		}
	}
	if s.state = state; atEOF {
		s.state = csvFieldStart
		if state == csvQuoted || state == csvEscaped {
			return 0, nil, errors.New("the file ends within quotes")
		}
		return len(data), withoutCR(data), nil
	}
	return 0, nil, nil
}

// csvDecoder reads one record a row.
type csvDecoder struct {
	csvOptions
	targets []target
	width   int    // number of fields of a record
	field   []int  // for each field, the index of its target or -1
	last    int    // the last field that is a target
	scratch []byte // a field with its escapes taken away
	decoded []byte // of base64
	bounds  []int  // start of each target's column, to take a row back
}

func newCSVDecoder(c connector.DecoderContext) (connector.Decoder, error) {
	o, err := csvOptionsOf(c.Config)
	if err != nil {
		return nil, err
	}
	for _, f := range c.Record.Fields {
		if err := supportsCSV(f.Type); err != nil {
			return nil, fmt.Errorf("column %s: %w", core.QuoteName(f.Name), err)
		}
	}
	d := &csvDecoder{csvOptions: o, targets: targets(c), width: len(c.Record.Fields)}
	d.field = make([]int, d.width)
	for i := range d.field {
		d.field[i] = -1
	}
	for i, t := range d.targets {
		d.field[t.record] = i
	}
	d.setLast()
	return d, nil
}

func (d *csvDecoder) setLast() {
	d.last = -1
	for i, t := range d.field {
		if t >= 0 {
			d.last = i
		}
	}
}

// HasHeader implements connector.HeaderDecoder.
func (d *csvDecoder) HasHeader() bool { return d.header }

// DecodeHeader implements connector.HeaderDecoder: columns are found by name from now on.
func (d *csvDecoder) DecodeHeader(record []byte) error {
	record = bytes.TrimPrefix(record, []byte("\ufeff"))
	var names []string
	for at := 0; at <= len(record); {
		text, _, next, err := d.next(record, at)
		if err != nil {
			return err
		}
		names = append(names, string(text))
		at = next
	}
	field := make([]int, len(names))
	for i := range field {
		field[i] = -1
	}
	for i, t := range d.targets {
		found := false
		for n, name := range names {
			if name == t.name && found {
				return fmt.Errorf("the header has column %s twice", t.name)
			} else if name == t.name {
				field[n], found = i, true
			}
		}
		if !found && (t.typ.NotNull || !d.lenient) {
			near := core.Nearest(t.name, names)
			if near != "" {
				near = fmt.Sprintf(", but a column %s", near)
			}
			return core.Permanent(fmt.Errorf("the header has no column %s%s", t.name, near)) // no other record would be better
		}
	}
	d.field, d.width = field, len(names)
	d.setLast()
	return nil
}

// next reads the field that begins at byte at. next is the start of the field behind it, or len(record)+1 at the end.
func (d *csvDecoder) next(record []byte, at int) (text []byte, quoted bool, next int, err error) {
	if at < len(record) && record[at] == d.quote && d.quote != 0 {
		return d.nextQuoted(record, at)
	}
	if i := bytes.IndexByte(record[at:], d.delimiter); i >= 0 {
		return record[at : at+i], false, at + i + 1, nil
	}
	return record[at:], false, len(record) + 1, nil
}

func (d *csvDecoder) nextQuoted(record []byte, at int) (text []byte, quoted bool, next int, err error) {
	start := at + 1
	plain := true // the text is a part of the record as it is
	for i := start; i < len(record); i++ {
		c := record[i]
		escaped := c == d.escape && d.escape != 0
		if !escaped && c != d.quote {
			if !plain {
				d.scratch = append(d.scratch, c)
			}
			continue
		}
		if i+1 < len(record) && (escaped || record[i+1] == d.quote) {
			if plain {
				d.scratch = append(d.scratch[:0], record[start:i]...)
				plain = false
			}
			i++
			d.scratch = append(d.scratch, record[i])
			continue
		}
		if escaped {
			break
		}
		if text = d.scratch; plain {
			text = record[start:i]
		}
		switch {
		case i+1 == len(record):
			return text, true, len(record) + 1, nil
		case record[i+1] == d.delimiter:
			return text, true, i + 2, nil
		}
		return nil, true, 0, &RecordError{"", i + 1, "text behind the closing quote"}
	}
	return nil, true, 0, &RecordError{"", at, "the quote is not closed"}
}

// Decode implements connector.Decoder.
func (d *csvDecoder) Decode(record []byte, b *core.Builder) error {
	if n := len(record); n > 0 && record[n-1] == '\n' {
		record = withoutCR(record[:n-1])
	}
	d.bounds = d.bounds[:0]
	for _, t := range d.targets {
		d.bounds = append(d.bounds, b.Column(t.column).Len())
	}
	err := d.decode(record, b)
	if err != nil {
		for i, t := range d.targets {
			b.Column(t.column).Truncate(d.bounds[i])
		}
	}
	return err
}

func (d *csvDecoder) decode(record []byte, b *core.Builder) error {
	at, fields := 0, 0
	for ; fields <= d.last && at <= len(record); fields++ {
		start := at
		text, quoted, next, err := d.next(record, at)
		if err != nil {
			return err
		}
		if at = next; d.field[fields] < 0 {
			continue
		}
		t := &d.targets[d.field[fields]]
		if err := d.appendField(t, b.Column(t.column), text, quoted, start); err != nil {
			return err
		}
	}
	if !d.lenient {
		for ; at <= len(record); fields++ { // the rest is only counted
			_, _, next, err := d.next(record, at)
			if err != nil {
				return err
			}
			at = next
		}
		if fields != d.width {
			return &RecordError{"", -1, fmt.Sprintf("the record has %d fields, expected %d", fields, d.width)}
		}
	}
	for i, t := range d.targets {
		if v := b.Column(t.column); v.Len() == d.bounds[i] {
			if t.typ.NotNull {
				return &RecordError{t.name, -1, reasonMissing}
			}
			v.AppendNull()
		}
	}
	return nil
}

func (d *csvDecoder) appendField(t *target, v *core.Vector, text []byte, quoted bool, at int) error {
	if !quoted && string(text) == d.null {
		if t.typ.NotNull {
			return &RecordError{t.name, at, reasonNotNull}
		}
		v.AppendNull()
		return nil
	}
	switch t.typ.Kind {
	case core.String:
		if !appendChecked(v, text) {
			return &RecordError{t.name, at, reasonUTF8}
		}
		return nil
	case core.Bytes:
		if !appendBase64(v, text, &d.decoded) {
			return &RecordError{t.name, at, "it is not base64"}
		}
		return nil
	}
	if err := v.AppendParsed(text); err != nil {
		return &RecordError{t.name, at, err.Error()}
	}
	return nil
}

// appendBase64 appends the bytes that text encodes, or reports false. scratch is kept for the next call; text is no part of it.
func appendBase64(v *core.Vector, text []byte, scratch *[]byte) bool {
	if n := base64.StdEncoding.DecodedLen(len(text)); cap(*scratch) < n {
		*scratch = make([]byte, 2*n)
	}
	n, err := base64.StdEncoding.Decode((*scratch)[:cap(*scratch)], text)
	if err != nil {
		return false
	}
	v.AppendBytes((*scratch)[:n])
	return true
}
