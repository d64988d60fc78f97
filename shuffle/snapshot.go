package shuffle

import (
	"encoding/binary"
	"errors"
	"fmt"

	"turbo/core"
)

// The format of a gate's snapshot: version, and the merged watermark, little-endian.
//
// What single channels have said is not kept. It speaks of what their senders had in hand, such as the splits of a source's reader, and after a restore
// other senders may have it: a channel that stayed at the watermark of its former splits, at the last one when these had ended, would let the merged
// watermark pass the rows that come on it now. Whether a channel is idle or has ended is said again by its sender.
const (
	snapshotVersion = 2
	snapshotSize    = 1 + 8
)

var errSnapshot = errors.New("shuffle: a gate's snapshot is damaged")

// Snapshot returns the gate's watermark. It is taken when a barrier has been given, before the next Poll.
func (g *Gate) Snapshot() []byte {
	return binary.LittleEndian.AppendUint64([]byte{snapshotVersion}, uint64(g.valve.last))
}

// Restore brings a new gate to what snapshots say, before its first Poll, which then gives the restored watermark first, so that the operators behind
// know it too.
//
// Snapshots are those of all former instances: the gate starts at the smallest of their watermarks, so that no row is late that was not late before,
// whichever of them had the sender's rows. Every channel is at this watermark, and active until its sender says otherwise. Restore returns an error, and
// leaves the gate as it was, when a snapshot is damaged.
func (g *Gate) Restore(snapshots ...[]byte) error {
	if len(snapshots) == 0 {
		return nil
	}
	fresh := newValve(len(g.inputs))
	fresh.last = core.MaxTime
	for _, s := range snapshots {
		last, err := parseSnapshot(s)
		if err != nil {
			return err
		}
		fresh.last = min(fresh.last, last)
	}
	for i := range fresh.channels {
		fresh.channels[i].watermark = fresh.last
	}
	g.valve = fresh
	if fresh.last > core.MinTime {
		g.giveWatermark()
	}
	return nil
}

func parseSnapshot(b []byte) (core.Time, error) {
	if len(b) > 0 && b[0] != snapshotVersion {
		return 0, fmt.Errorf("shuffle: a gate's snapshot has version %d, this turbo reads %d", b[0], snapshotVersion)
	}
	if len(b) != snapshotSize {
		return 0, errSnapshot
	}
	return core.Time(binary.LittleEndian.Uint64(b[1:])), nil
}
