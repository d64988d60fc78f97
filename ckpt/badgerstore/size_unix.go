//go:build unix

package badgerstore

import (
	"io/fs"
	"syscall"
)

// allocated is what a file occupies on disk: Badger's files are sparse.
func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(stat.Blocks) * 512 //nolint:unconvert // the type differs between systems
	}
	return info.Size()
}
