package process

import (
	"errors"
	"math"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"turbo/core"
	"turbo/state"
)

// cell is where a field stands in a table's row.
type cell struct {
	offset  int
	valid   int
	mask    uint64
	shift   uint8 // of integers narrower than 64 bits
	kind    core.Kind
	notNull bool
}

func cellsOf(t *state.Table, first, n int) []cell {
	fields := t.Fields()
	out := make([]cell, n)
	for i := range out {
		f := first + i
		v := t.Validity(f)
		typ := fields[f].Type
		out[i] = cell{offset: t.Words(f, 0).Offset, valid: v.Offset, mask: v.Mask, kind: typ.Kind, notNull: typ.NotNull}
		if w := typ.Kind.Width(); w > 0 && w < 8 {
			out[i].shift = uint8(64 - 8*w)
		}
	}
	return out
}

// fixed reports whether values of the field stand in the row itself.
func (c *cell) fixed() bool { return c.kind.Width() > 0 }

// cursor is a place in a table: the row that accessors read and write.
type cursor struct {
	table   *state.Table
	row     []uint64 // empty: no row, every access fails
	one     [1]uint32
	serial  uint64 // changes with every place
	touched uint64 // the serial for which the slot has been announced
}

func (c *cursor) slot() uint32 { return c.one[0] }

func (c *cursor) touch() {
	if c.touched != c.serial {
		must(c.table.Touch(c.one[:]))
		c.touched = c.serial
	}
}

// Cells is access to the fields of one state at the current key (and, of a list or map, at the current entry). Reading what is absent
// gives zero values and nulls; writing a field makes the state present, with its other fields null (or zero when NOT NULL). Fields count
// from zero as in the descriptor; the accessor must fit the field's kind.
//
// Methods panic where the engine refuses (the memory limit): the operator turns that into the job's failure. A user function lets such panics pass.
type Cells struct {
	k     *keyed
	cur   *cursor
	cells []cell
	first int // field of the table
	// present and bit say whether the state is there; of entries the bit is always set.
	present int
	bit     uint64
	ttl     core.Time // microseconds, 0: none
	until   int       // word
	onRead  bool
	clock   clockKind
	expiry  *expiry
	open    uint64 // the serial for which begin is done
	value   bool   // of the key's row, else of an entry
	shared  *Broadcast
}

// see reports whether the state is there and has not expired.
func (c *Cells) see(row []uint64) bool {
	if uint(c.present) >= uint(len(row)) {
		panic(ErrNoKey)
	}
	if row[c.present]&c.bit == 0 {
		return false
	}
	return c.ttl == 0 || c.fresh(row)
}

func (c *Cells) fresh(row []uint64) bool {
	if core.Time(row[c.until]) <= c.k.now[c.clock] {
		return false
	}
	if c.onRead {
		c.begin()
	}
	return true
}

var errNoEntry = errors.New("no entry of the list or map is current: find, put or iterate first")

// begin prepares the current row for writing and returns it.
func (c *Cells) begin() []uint64 {
	if c.open == c.cur.serial {
		return c.cur.row
	}
	return c.beginNow()
}

func (c *Cells) beginNow() []uint64 {
	cur := c.cur
	row := cur.row
	if len(row) == 0 {
		panic(ErrNoKey)
	}
	there := row[c.present]&c.bit != 0
	if c.shared != nil {
		c.shared.written()
	}
	cur.touch()
	if there && c.ttl > 0 && core.Time(row[c.until]) <= c.k.now[c.clock] {
		c.reset()
		row[c.until] = oldest
	}
	if !there {
		if !c.value {
			panic(errNoEntry)
		}
		row[c.present] |= c.bit
	}
	c.open = cur.serial
	if c.ttl > 0 {
		until := addTime(c.k.now[c.clock], c.ttl)
		if there {
			until = max(until, core.Time(row[c.until])) // rows out of order do not shorten a life
		}
		row[c.until] = uint64(until)
		must(c.expiry.note(cur.slot(), until))
	}
	return row
}

// oldest is core.MinTime as a word.
const oldest = 1 << 63

// addTime adds a duration in microseconds, saturating.
func addTime(t, d core.Time) core.Time {
	if t > core.MaxTime-d {
		return core.MaxTime
	}
	return t + d
}

// reset brings the fields of the current row, which has been announced, to those of a new one.
func (c *Cells) reset() {
	row := c.cur.row
	for i := range c.cells {
		f := &c.cells[i]
		switch {
		case !f.fixed():
			if row[f.valid]&f.mask != 0 {
				c.cur.table.SetNull(c.cur.slot(), c.first+i)
			}
		case f.notNull:
			row[f.offset] = 0
			row[f.valid] |= f.mask
			if f.kind == core.Decimal {
				row[f.offset+1] = 0
			}
		default:
			row[f.valid] &^= f.mask
		}
	}
}

// get returns the word of a field, 0 for null.
func (c *Cells) get(f int) uint64 {
	row := c.cur.row
	if p := c.present; uint(p) >= uint(len(row)) || row[p]&c.bit == 0 || c.ttl != 0 { // else it is there: no call
		if !c.see(row) {
			return 0
		}
	}
	cell := &c.cells[f]
	if row[cell.valid]&cell.mask == 0 {
		return 0
	}
	return row[cell.offset]
}

func (c *Cells) set(f int, x uint64) {
	row := c.begin()
	cell := &c.cells[f]
	row[cell.offset] = x
	row[cell.valid] |= cell.mask
}

// Null reports whether a field is null, or the state absent.
func (c *Cells) Null(f int) bool {
	row := c.cur.row
	cell := &c.cells[f]
	return !c.see(row) || row[cell.valid]&cell.mask == 0
}

// Int64 returns a field of an integer kind or one of date and time.
func (c *Cells) Int64(f int) int64 { return int64(c.get(f)) }

// Bool returns a BOOLEAN field.
func (c *Cells) Bool(f int) bool { return c.get(f) != 0 }

// Float64 returns a FLOAT or DOUBLE field.
func (c *Cells) Float64(f int) float64 { return math.Float64frombits(c.get(f)) }

// Decimal returns the unscaled value of a DECIMAL field.
func (c *Cells) Decimal(f int) decimal128.Num {
	if c.Null(f) {
		return decimal128.Num{}
	}
	at := c.cells[f].offset
	return decimal128.New(int64(c.cur.row[at+1]), c.cur.row[at])
}

// Bytes returns a STRING or BYTES field, nil for null. It is valid until the next write to the state.
func (c *Cells) Bytes(f int) []byte {
	if c.Null(f) {
		return nil
	}
	return c.cur.table.BytesAt(c.cur.slot(), c.first+f)
}

// String returns a copy of a STRING field, "" for null.
func (c *Cells) String(f int) string { return string(c.Bytes(f)) }

// AppendTo appends a field of any type to v, which has its type.
func (c *Cells) AppendTo(v *core.Vector, f int) {
	if c.Null(f) {
		v.AppendNull()
		return
	}
	must(c.cur.table.AppendValues(v, c.first+f, c.cur.one[:]))
}

// SetInt64 sets a field of an integer kind or one of date and time; x is cut to its width.
func (c *Cells) SetInt64(f int, x int64) {
	s := c.cells[f].shift & 63
	c.set(f, uint64(x<<s>>s))
}

// SetBool sets a BOOLEAN field.
func (c *Cells) SetBool(f int, x bool) {
	var w uint64
	if x {
		w = 1
	}
	c.set(f, w)
}

// SetFloat64 sets a FLOAT or DOUBLE field; x is rounded to its width.
func (c *Cells) SetFloat64(f int, x float64) {
	if c.cells[f].kind == core.Float32 {
		x = float64(float32(x))
	}
	c.set(f, math.Float64bits(x))
}

// SetDecimal sets a DECIMAL field to an unscaled value.
func (c *Cells) SetDecimal(f int, x decimal128.Num) {
	c.set(f, x.LowBits())
	c.cur.row[c.cells[f].offset+1] = uint64(x.HighBits())
}

// SetBytes sets a STRING or BYTES field to a copy of x.
func (c *Cells) SetBytes(f int, x []byte) {
	c.begin()
	must(c.cur.table.SetBytes(c.cur.slot(), c.first+f, x))
}

// SetString sets a STRING field.
func (c *Cells) SetString(f int, x string) { c.SetBytes(f, stringBytes(x)) }

// SetNull makes a field null.
func (c *Cells) SetNull(f int) {
	c.begin()
	c.cur.table.SetNull(c.cur.slot(), c.first+f)
}

// Copy sets a field of any type to row i of v, which has its type.
func (c *Cells) Copy(f int, v *core.Vector, i int) {
	c.begin()
	must(c.cur.table.SetValue(c.cur.slot(), c.first+f, v, i))
}

// SetRow sets all fields to the columns of r, which has the state's fields.
func (c *Cells) SetRow(r Row) {
	for f := range c.cells {
		c.Copy(f, r.batch.Columns[f], r.row)
	}
}

func stringBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
