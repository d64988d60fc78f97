package file

import (
	"encoding/binary"
	"fmt"
	"io"

	flatbuffers "github.com/google/flatbuffers/go"
)

// An Arrow IPC file is: the magic padded to 8 bytes, a schema message, record batch messages, an end mark, a footer with
// the place of each batch, the footer's length, the magic. To append to one, arrowPart drops the magic and the schema of
// every part but the first and the end of every part, so that the file stays a plain run of messages, readable also as
// a stream; arrowFooter finds the messages again and writes the end.
const (
	arrowMagic       = "ARROW1"
	arrowMagicPadded = 8
	arrowPrefix      = 8 // 0xFFFFFFFF and the length of the metadata
	arrowContinue    = 0xFFFFFFFF

	arrowSchema      = 1 // MessageHeader in Arrow's Message.fbs
	arrowRecordBatch = 3
)

// arrowMessage is what we need of a message's metadata.
type arrowMessage struct {
	kind       byte
	version    int16
	bodyLength int64
	headerAt   uint32 // where the header's table lies in the metadata
}

// parseArrowMessage reads the flatbuffer of a message. Damaged metadata is an error.
func parseArrowMessage(metadata []byte) (m arrowMessage, err error) {
	defer func() {
		if recover() != nil { // flatbuffers index without checking
			err = fmt.Errorf("damaged Arrow message")
		}
	}()
	t := flatbuffers.Table{Bytes: metadata, Pos: flatbuffers.GetUOffsetT(metadata)}
	if o := t.Offset(4); o != 0 {
		m.version = t.GetInt16(t.Pos + flatbuffers.UOffsetT(o))
	}
	if o := t.Offset(6); o != 0 {
		m.kind = t.GetByte(t.Pos + flatbuffers.UOffsetT(o))
	}
	if o := t.Offset(8); o != 0 {
		m.headerAt = uint32(t.Indirect(t.Pos + flatbuffers.UOffsetT(o)))
	}
	if o := t.Offset(10); o != 0 {
		m.bodyLength = t.GetInt64(t.Pos + flatbuffers.UOffsetT(o))
	}
	if m.bodyLength < 0 {
		return m, fmt.Errorf("damaged Arrow message")
	}
	return m, nil
}

// arrowPart passes on the messages of an Arrow file that is written through it.
type arrowPart struct {
	to     io.Writer
	first  bool
	state  int // what the next bytes are
	need   int64
	held   []byte
	keep   bool // the message's body is passed on
	failed error
}

const (
	arrowAtMagic = iota
	arrowAtPrefix
	arrowAtMetadata
	arrowAtBody
	arrowAtEnd
)

func newArrowPart(to io.Writer, first bool) io.Writer {
	return &arrowPart{to: to, first: first, need: arrowMagicPadded}
}

// Write implements io.Writer.
func (a *arrowPart) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && a.failed == nil && a.state != arrowAtEnd {
		take := min(a.need, int64(len(p)))
		if a.state == arrowAtBody {
			if a.keep {
				_, a.failed = a.to.Write(p[:take])
			}
		} else {
			a.held = append(a.held, p[:take]...)
		}
		p = p[take:]
		if a.need -= take; a.need == 0 && a.failed == nil {
			a.failed = a.next()
		}
	}
	if a.failed != nil {
		return 0, a.failed
	}
	return n, nil
}

// next acts on a complete piece.
func (a *arrowPart) next() (err error) {
	switch a.state {
	case arrowAtMagic:
		if string(a.held[:len(arrowMagic)]) != arrowMagic {
			return fmt.Errorf("not an Arrow file")
		}
		if a.first {
			_, err = a.to.Write(a.held)
		}
		a.expect(arrowAtPrefix, arrowPrefix)
	case arrowAtPrefix:
		length := binary.LittleEndian.Uint32(a.held[4:])
		if binary.LittleEndian.Uint32(a.held) != arrowContinue || length == 0 { // some writers leave the end mark out
			a.state = arrowAtEnd
			return nil
		}
		a.state, a.need = arrowAtMetadata, int64(length) // the prefix stays held
	case arrowAtMetadata:
		m, err := parseArrowMessage(a.held[arrowPrefix:])
		if err != nil {
			return err
		}
		switch {
		case m.kind == arrowSchema:
			a.keep = a.first
		case m.kind == arrowRecordBatch:
			a.keep = true
		default:
			return fmt.Errorf("messages of kind %d cannot be appended to an Arrow file", m.kind)
		}
		if a.keep {
			if _, err := a.to.Write(a.held); err != nil {
				return err
			}
		}
		if m.bodyLength == 0 {
			a.expect(arrowAtPrefix, arrowPrefix)
		} else {
			a.expect(arrowAtBody, m.bodyLength)
		}
	default: // the end of a body
		a.expect(arrowAtPrefix, arrowPrefix)
	}
	return err
}

func (a *arrowPart) expect(state int, need int64) {
	a.state, a.need, a.held = state, need, a.held[:0]
}

// arrowFooter walks over the messages of the file and makes its end.
func arrowFooter(r io.ReaderAt, ends []int64) ([]byte, error) {
	end := ends[len(ends)-1]
	var schema []byte
	var schemaAt uint32
	var version int16
	var blocks []byte
	count := uint32(0)
	for at := int64(arrowMagicPadded); at < end; {
		var prefix [arrowPrefix]byte
		if _, err := r.ReadAt(prefix[:], at); err != nil {
			return nil, err
		}
		length := int64(binary.LittleEndian.Uint32(prefix[4:]))
		if binary.LittleEndian.Uint32(prefix[:]) != arrowContinue || length == 0 || at+arrowPrefix+length > end {
			return nil, fmt.Errorf("no Arrow message at byte %d", at)
		}
		metadata := make([]byte, length)
		if _, err := r.ReadAt(metadata, at+arrowPrefix); err != nil {
			return nil, err
		}
		m, err := parseArrowMessage(metadata)
		if err != nil {
			return nil, fmt.Errorf("byte %d: %w", at, err)
		}
		switch {
		case m.kind == arrowSchema && schema == nil:
			schema, schemaAt, version = metadata, m.headerAt, m.version
		case m.kind == arrowRecordBatch && schema != nil:
			blocks = binary.LittleEndian.AppendUint64(blocks, uint64(at))
			blocks = binary.LittleEndian.AppendUint64(blocks, uint64(arrowPrefix+length)) // int32 and padding
			blocks = binary.LittleEndian.AppendUint64(blocks, uint64(m.bodyLength))
			count++
		default:
			return nil, fmt.Errorf("an Arrow message of kind %d at byte %d", m.kind, at)
		}
		at += arrowPrefix + length + m.bodyLength
	}
	if schema == nil {
		return nil, fmt.Errorf("no Arrow schema at its start")
	}
	out := binary.LittleEndian.AppendUint64(nil, arrowContinue) // the end mark: continuation and length 0
	footer := encodeArrowFooter(version, schema, schemaAt, count, blocks)
	out = append(out, footer...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer)))
	return append(out, arrowMagic...), nil
}

// encodeArrowFooter lays a flatbuffer of the table Footer (version, schema, dictionaries, recordBatches) around the
// metadata of the schema message: flatbuffers point forward by relative offsets, so the schema's table can stay inside
// of the bytes that it came in.
func encodeArrowFooter(version int16, schema []byte, schemaAt, count uint32, blocks []byte) []byte {
	const (
		vtable       = 4
		table        = 16
		schemaField  = table + 8
		dictField    = table + 12
		batchField   = table + 16
		dictVector   = 36
		batchVector  = 44 // its elements are at 48, aligned to 8
		firstElement = 48
	)
	le := binary.LittleEndian
	embedded := uint32(firstElement + len(blocks))
	b := make([]byte, firstElement, int(embedded)+len(schema))
	le.PutUint32(b[0:], table)
	for i, x := range []uint16{12, 20, 4, 8, 12, 16} { // sizes of vtable and table, then where each field lies in it
		le.PutUint16(b[vtable+2*i:], x)
	}
	le.PutUint32(b[table:], table-vtable)
	le.PutUint16(b[table+4:], uint16(version))
	le.PutUint32(b[schemaField:], embedded+schemaAt-schemaField)
	le.PutUint32(b[dictField:], dictVector-dictField)
	le.PutUint32(b[batchField:], batchVector-batchField)
	le.PutUint32(b[batchVector:], count)
	b = append(b, blocks...)
	return append(b, schema...)
}
