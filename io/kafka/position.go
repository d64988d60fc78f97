package kafka

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is how far a partition was read. Offset is that of the next record to read; Stop is the offset of the first record
// that is not to be read, or NoStop.
type Position struct {
	Offset int64
	Stop   int64
}

// NoStop is the Stop of a split that does not end.
const NoStop = int64(-1)

// Ended reports whether nothing is left to read.
func (p Position) Ended() bool { return p.Stop != NoStop && p.Offset >= p.Stop }

// Encode returns the form that checkpoints and ledgers carry: "OFFSET" or "OFFSET/STOP" in decimal.
func (p Position) Encode() []byte {
	b := strconv.AppendInt(make([]byte, 0, 24), p.Offset, 10)
	if p.Stop != NoStop {
		b = strconv.AppendInt(append(b, '/'), p.Stop, 10)
	}
	return b
}

// ParsePosition reads what Encode wrote.
func ParsePosition(b []byte) (Position, error) {
	offset, stop, bounded := strings.Cut(string(b), "/")
	p := Position{Stop: NoStop}
	var err error
	if p.Offset, err = strconv.ParseInt(offset, 10, 64); err == nil && bounded {
		p.Stop, err = strconv.ParseInt(stop, 10, 64)
	}
	if err != nil || p.Offset < 0 || bounded && p.Stop < 0 {
		return Position{}, fmt.Errorf("%q is no position in a Kafka partition", b)
	}
	return p, nil
}

// SplitID names a partition in checkpoints and ledgers: "topic/partition".
func SplitID(topic string, partition int32) string {
	return topic + "/" + strconv.FormatInt(int64(partition), 10)
}

// ParseSplitID reads what SplitID wrote.
func ParseSplitID(id string) (topic string, partition int32, err error) {
	i := strings.LastIndexByte(id, '/') // a topic name has no slash
	if i > 0 {
		n, err := strconv.ParseInt(id[i+1:], 10, 32)
		if err == nil && n >= 0 {
			return id[:i], int32(n), nil
		}
	}
	return "", 0, fmt.Errorf("%q is no partition of the form topic/number", id)
}
