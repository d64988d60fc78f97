package file

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"turbo/core"
)

// position is how far a split was read, as a snapshot keeps it. Offsets are bytes of the uncompressed file; containers
// count in units and rows instead. Size and Cut describe the file as it was divided: a file that is no longer of that
// size cannot be continued, and a restart must cut it in the same places.
type position struct {
	Offset int64 `json:"offset,omitempty"` // behind the last record
	Line   int64 `json:"line,omitempty"`   // records read, header included
	Unit   int   `json:"unit,omitempty"`
	Row    int64 `json:"row,omitempty"` // rows read of the unit
	End    bool  `json:"end,omitempty"`
	Size   int64 `json:"size"`
	Cut    int64 `json:"cut,omitempty"`  // the split size; 0: not cut
	From   int64 `json:"from,omitempty"` // of a part of a file: bytes, or units
	To     int64 `json:"to,omitempty"`   // 0: the whole file
}

func (p *position) append(dst []byte) []byte {
	field := func(name string, x int64) {
		if x != 0 {
			dst = append(dst, '"')
			dst = append(dst, name...)
			dst = append(dst, `":`...)
			dst = strconv.AppendInt(dst, x, 10)
			dst = append(dst, ',')
		}
	}
	dst = append(dst, '{')
	field("offset", p.Offset)
	field("line", p.Line)
	field("unit", int64(p.Unit))
	field("row", p.Row)
	if p.End {
		dst = append(dst, `"end":true,`...)
	}
	field("cut", p.Cut)
	field("from", p.From)
	field("to", p.To)
	dst = append(dst, `"size":`...)
	dst = strconv.AppendInt(dst, p.Size, 10)
	return append(dst, '}')
}

func parsePosition(text []byte) (p position, err error) {
	if len(text) == 0 {
		return p, fmt.Errorf("empty position")
	}
	err = json.Unmarshal(text, &p)
	return p, err
}

// split is a file, or a part of one, that is read in one go.
type split struct {
	path string
	pos  position
}

// whole reports whether it is all of its file.
func (s *split) whole() bool { return s.pos.To == 0 }

// id names the split; it is stable as long as the file is cut in the same places.
func (s *split) id() string {
	if s.whole() {
		return s.path
	}
	return s.path + s.pos.suffix()
}

// before reports whether s is handed out before other.
func (s *split) before(other *split) bool {
	return cmp.Or(cmp.Compare(s.path, other.path), cmp.Compare(s.pos.From, other.pos.From)) < 0
}

func (p *position) suffix() string { return fmt.Sprintf("#%d-%d", p.From, p.To) }

// parseSplit reads a restored split.
func parseSplit(state core.SplitState) (*split, error) {
	pos, err := parsePosition(state.Position)
	if err != nil {
		return nil, fmt.Errorf("split %s: its position cannot be read: %w", state.ID, err)
	}
	s := &split{path: state.ID, pos: pos}
	if pos.To != 0 {
		path, ok := strings.CutSuffix(state.ID, pos.suffix())
		if !ok {
			return nil, fmt.Errorf("split %s: its position is of the part %s", state.ID, pos.suffix())
		}
		s.path = path
	}
	return s, nil
}
