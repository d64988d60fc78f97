package compress

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec names a compression. The zero value is None.
type Codec uint8

// The codecs. Snappy is the framing format, which is also what most tools call "snappy" for files.
const (
	None Codec = iota
	Gzip
	Zstd
	Snappy
	LZ4
)

type codecInfo struct {
	name       string
	extensions []string // the first one is the one written
	maxLevel   int
	memory     int64 // bytes of one encoder, measured by TestEncoderMemory
}

var codecs = [...]codecInfo{
	None:   {name: "none"},
	Gzip:   {name: "gzip", extensions: []string{".gz", ".gzip"}, maxLevel: gzip.BestCompression, memory: 1 << 20},
	Zstd:   {name: "zstd", extensions: []string{".zst", ".zstd"}, maxLevel: 22, memory: 2 << 20},
	Snappy: {name: "snappy", extensions: []string{".sz", ".snappy"}, memory: 1 << 20},
	LZ4:    {name: "lz4", extensions: []string{".lz4"}, maxLevel: 9, memory: 1 << 20},
}

// Names lists the codecs as a job spec writes them.
func Names() []string {
	names := make([]string, len(codecs))
	for i, c := range codecs {
		names[i] = c.name
	}
	return names
}

// Parse finds a codec by its name; "" is None.
func Parse(name string) (Codec, error) {
	if name == "" {
		return None, nil
	}
	for i, c := range codecs {
		if c.name == name {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("unknown compression %q; one of %s", name, strings.Join(Names(), ", "))
}

// ByExtension tells the codec from the end of a file's name; names without a known end are None.
func ByExtension(path string) Codec {
	ext := strings.ToLower(filepath.Ext(path))
	for i, c := range codecs {
		if slices.Contains(c.extensions, ext) {
			return Codec(i)
		}
	}
	return None
}

// TrimExtension takes the codec's extension off a name, if it has one: "a.csv.gz" gives "a.csv".
func TrimExtension(path string) string {
	if ByExtension(path) == None {
		return path
	}
	return strings.TrimSuffix(path, filepath.Ext(path))
}

// String is the name in a job spec.
func (c Codec) String() string { return codecs[c].name }

// Extension is what the names of files written with the codec end in, with the dot; "" for None.
func (c Codec) Extension() string {
	if len(codecs[c].extensions) == 0 {
		return ""
	}
	return codecs[c].extensions[0]
}

// EncoderMemory is about how many bytes an encoder at its default level holds while a frame is open.
func (c Codec) EncoderMemory() int64 { return codecs[c].memory }

// CheckLevel refuses a level that the codec does not have. 0 is its default and always allowed.
func (c Codec) CheckLevel(level int) error {
	if highest := codecs[c].maxLevel; level < 0 || level > highest {
		if highest == 0 {
			return fmt.Errorf("compression %s has no levels", c)
		}
		return fmt.Errorf("compression %s has the levels 1 to %d, not %d", c, highest, level)
	}
	return nil
}

func zstdLevel(level int) zstd.EncoderLevel {
	if level == 0 {
		return zstd.SpeedFastest
	}
	return zstd.EncoderLevelFromZstd(level)
}

func lz4Level(level int) lz4.CompressionLevel {
	if level == 0 {
		return lz4.Fast
	}
	return lz4.CompressionLevel(1 << (8 + level))
}
