package file

import (
	"slices"

	"turbo/core"
	"turbo/internal/vfs"
	"turbo/io/connector"
)

// unitSplit reads row groups or record batches of a container file.
type unitSplit struct {
	s      *Source
	sp     *split
	file   vfs.File
	reader connector.FileReader
	meta   []metaColumn
	to     int   // unit at which the split ends
	before int64 // rows of the file before the current unit, if counts
	counts bool  // somebody wants to know the number of a row: counting can mean reading
}

func (s *Source) openUnits(sp *split, file vfs.File, meta []metaColumn) (splitReader, error) {
	r, err := s.format.Spec.OpenFile(s.fileContext(), file, sp.pos.Size)
	if err != nil {
		return nil, err
	}
	u := &unitSplit{s: s, sp: sp, file: file, reader: r, meta: meta, to: r.Units()}
	if !sp.whole() {
		u.to = int(sp.pos.To)
	}
	u.counts = slices.ContainsFunc(meta, func(m metaColumn) bool { return m.Key == "offset" })
	for unit := range sp.pos.Unit {
		u.before += u.rows(unit)
	}
	return u, nil
}

func (u *unitSplit) rows(unit int) int64 {
	if !u.counts {
		return 0
	}
	return u.reader.Rows(unit)
}

// fetch implements splitReader.
func (u *unitSplit) fetch() (connector.FetchEvent, error) {
	pos := &u.sp.pos
	for pos.Unit < u.to {
		b, err := u.reader.Read(pos.Unit, pos.Row, max(u.s.c.BatchRows, 1))
		if err != nil {
			return connector.FetchEvent{}, err
		}
		if b == nil || b.Len == 0 {
			if b != nil {
				b.Release()
			}
			u.before += u.rows(pos.Unit)
			pos.Unit++
			pos.Row = 0
			continue
		}
		u.addMetadata(b)
		pos.Row += int64(b.Len)
		return connector.FetchEvent{Event: core.Event{Kind: core.DataEvent, Batch: b, Read: int64(b.Rows())}}, nil
	}
	pos.End = true
	return connector.FetchEvent{Event: core.Event{Kind: core.SplitEnd}}, nil
}

// addMetadata fills in columns that are not in the file. The offset of a row is its number in the file, from 0.
func (u *unitSplit) addMetadata(b *core.Batch) {
	for _, m := range u.meta {
		v := core.NewVector(u.s.c.Account, u.s.c.Schema.Fields[m.Column].Type, b.Len)
		switch m.Key {
		case "path":
			for range b.Len {
				v.AppendString(u.sp.path)
			}
		case "offset":
			for i := range b.Len {
				v.AppendInt64(u.before + u.sp.pos.Row + int64(i))
			}
		default:
			v.AppendNulls(b.Len)
		}
		b.Columns[m.Column] = v
	}
}

func (u *unitSplit) close() {
	_ = u.reader.Close()
	u.file.Close()
}
