package shuffle

import (
	"encoding/binary"
	"errors"
	"fmt"

	"turbo/core"
)

// The format of a gate's snapshot: version, the merged watermark, the number of channels, and for each its watermark and a byte of flags; integers
// are little-endian. Whether a channel has ended is not kept: its sender says so again after a restore.
const (
	snapshotVersion = 1
	snapshotHeader  = 1 + 8 + 4
	snapshotChannel = 8 + 1

	flagIdle = 1
)

var errSnapshot = errors.New("shuffle: a gate's snapshot is damaged")

// Snapshot returns the gate's watermarks and idleness. It is taken when a barrier has been given, before the next Poll.
func (g *Gate) Snapshot() []byte {
	v := &g.valve
	b := make([]byte, 0, snapshotHeader+snapshotChannel*len(v.channels))
	b = append(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(v.last))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(v.channels)))
	for i := range v.channels {
		c := &v.channels[i]
		var flags byte
		if c.idle {
			flags |= flagIdle
		}
		b = binary.LittleEndian.AppendUint64(b, uint64(c.watermark))
		b = append(b, flags)
	}
	return b
}

// Restore brings a new gate to what snapshots say, before its first Poll, which then gives the restored watermark (and Idle) first,
// so that the operators behind know it too.
//
// One snapshot with as many channels as the gate has is the same instance again, and restores each channel. Anything else is
// a job that restarts at another parallelism, and snapshots are those of all former instances: the gate then starts at the
// smallest of their watermarks, so that no row is late that was not late before, and every channel is active until its sender says
// otherwise. It returns an error, and leaves the gate as it was, when a snapshot is damaged.
func (g *Gate) Restore(snapshots ...[]byte) error {
	if len(snapshots) == 0 {
		return nil
	}
	fresh := newValve(len(g.inputs))
	fresh.last = core.MaxTime
	for _, s := range snapshots {
		last, channels, err := parseSnapshot(s)
		if err != nil {
			return err
		}
		fresh.last = min(fresh.last, last)
		if len(snapshots) == 1 && len(channels) == len(g.inputs) {
			fresh.channels = channels
		}
	}
	idle := 0
	for i := range fresh.channels {
		c := &fresh.channels[i]
		if c.aligned {
			c.watermark = max(c.watermark, fresh.last)
		}
		c.aligned = !c.idle && c.watermark >= fresh.last
		if c.idle {
			idle++
		}
	}
	fresh.idle = idle > 0 && idle == len(fresh.channels)
	g.valve = fresh
	if fresh.last > core.MinTime {
		g.giveWatermark()
	}
	if fresh.idle {
		g.enqueue(0, core.Message{Kind: core.IdleMessage})
	}
	return nil
}

func parseSnapshot(b []byte) (last core.Time, channels []valveChannel, err error) {
	if len(b) < snapshotHeader {
		return 0, nil, errSnapshot
	}
	if b[0] != snapshotVersion {
		return 0, nil, fmt.Errorf("shuffle: a gate's snapshot has version %d, this turbo reads %d", b[0], snapshotVersion)
	}
	last = core.Time(binary.LittleEndian.Uint64(b[1:]))
	n := binary.LittleEndian.Uint32(b[9:])
	b = b[snapshotHeader:]
	if uint64(len(b)) != uint64(n)*snapshotChannel {
		return 0, nil, errSnapshot
	}
	channels = make([]valveChannel, n)
	for i := range channels {
		channels[i] = valveChannel{watermark: core.Time(binary.LittleEndian.Uint64(b)), idle: b[8]&flagIdle != 0}
		if b[8]&^flagIdle != 0 {
			return 0, nil, errSnapshot
		}
		b = b[snapshotChannel:]
	}
	return last, channels, nil
}
