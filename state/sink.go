package state

import "unsafe"

// PageKind says what an encoded page holds. The numbers are those of package ckpt's kinds.
type PageKind uint8

const (
	// WholePage is every row of the page.
	WholePage PageKind = iota + 1
	// DeltaPage is the rows that changed since the version before, and which are left.
	DeltaPage
	// Tombstone says that the page is gone; it has no data.
	Tombstone
)

// Page is one version of a page of a table: (operator, table, key group, number) is its name.
type Page struct {
	Operator, Table string
	KeyGroup        uint16
	Number          uint32
	Kind            PageKind
	Data            []byte // valid during WritePages
}

// PageSink takes the pages of a checkpoint. One goroutine calls it.
type PageSink interface {
	WritePages(pages []Page) error
}

// PageVersion is one version of a page's chain.
type PageVersion struct {
	Kind PageKind // WholePage or DeltaPage
	Data []byte   // valid during the visit
}

// PageSource gives back the pages of the checkpoint that a job starts from.
type PageSource interface {
	// Pages visits every page of a table in the key groups [from, to): its versions from the last whole one on, oldest first.
	Pages(operator, table string, from, to int, visit func(keyGroup uint16, number uint32, chain []PageVersion) error) error
}

// pageWriter collects encoded pages and hands them over about a mebibyte at a time.
type pageWriter struct {
	sink            PageSink
	operator, table string
	buffer          []byte
	batch           []Page
	ends            []int
	bytes           int64
}

const batchBytes = 1 << 20

func (w *pageWriter) begin(group uint16, number uint32, kind PageKind) {
	w.batch = append(w.batch, Page{Operator: w.operator, Table: w.table, KeyGroup: group, Number: number, Kind: kind})
}

func (w *pageWriter) end() error {
	w.ends = append(w.ends, len(w.buffer))
	if len(w.buffer) < batchBytes {
		return nil
	}
	return w.flush()
}

func (w *pageWriter) flush() error {
	if len(w.batch) == 0 {
		return nil
	}
	start := 0
	for i, end := range w.ends {
		if end > start {
			w.batch[i].Data = w.buffer[start:end:end]
		}
		start = end
	}
	w.bytes += int64(len(w.buffer))
	err := w.sink.WritePages(w.batch)
	w.buffer, w.batch, w.ends = w.buffer[:0], w.batch[:0], w.ends[:0]
	return err
}

func viewWords(b []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
}

func viewBytes(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}
