package kill

import (
	"fmt"
	"hash/maphash"
	"path/filepath"
	"strconv"
	"strings"

	"turbo/internal/vfs"
	"turbo/io/file"
	"turbo/test/visible"
)

// output compares the visible files of one job with the broker. Files that have been read once are not read again until fresh: they must
// stay as they are.
type output struct {
	topic  *topic
	dir    string
	format string

	files  map[string]int64 // visible ones that were read, with their size
	seen   [partitions][]bool
	rows   int64
	counts [partitions * countKeys][]bool // of the running count: by key, the numbers that were seen
}

const countKeys = 50 // a partition

func newOutput(topic *topic, dir, format string) *output {
	return &output{topic: topic, dir: dir, format: format, files: map[string]int64{}}
}

// check reads what is visible. Whatever is there must be the broker's, and be there once. At the end (complete) everything must be there.
func (o *output) check(complete bool) error {
	if err := o.topic.readBack(); err != nil {
		return err
	}
	for _, sink := range []struct {
		dir, format string
		columns     []string
		visit       visible.Visit
	}{
		{"files", o.format, []string{"topic", "part", "off", "value"}, o.row},
		{"counts", "json", []string{"k", "n"}, o.count},
	} {
		names, sizes, err := visible.Files(filepath.Join(o.dir, sink.dir))
		if err != nil {
			return err
		}
		there := map[string]bool{}
		for i, name := range names {
			there[name] = true
			if size, read := o.files[name]; read {
				if size != sizes[i] {
					return fmt.Errorf("%s had %d bytes when it became visible, now it has %d", name, size, sizes[i])
				}
				continue
			}
			o.files[name] = sizes[i]
			if err := visible.ReadFile(name, sink.format, sink.columns, sink.visit); err != nil {
				return err
			}
		}
		for name := range o.files {
			if !there[name] && strings.HasPrefix(name, filepath.Join(o.dir, sink.dir)+string(filepath.Separator)) {
				return fmt.Errorf("%s was visible and is gone", name)
			}
		}
	}
	if complete {
		return o.complete()
	}
	return nil
}

// row takes one visible row of the sink "files".
func (o *output) row(fields []string) error {
	value := fields[len(fields)-1]
	parts := strings.SplitN(value, "|", 4)
	if len(parts) != 4 || parts[0] != o.topic.name {
		return fmt.Errorf("a row that nobody produced: %q", value)
	}
	if len(fields) == 4 && (fields[0] != parts[0] || fields[1] != parts[1] || fields[2] != parts[2]) {
		return fmt.Errorf("the row %q says that it is at %s/%s/%s", value, fields[0], fields[1], fields[2])
	}
	p, perr := strconv.Atoi(parts[1])
	off, oerr := strconv.Atoi(parts[2])
	if perr != nil || oerr != nil || p < 0 || p >= partitions || off < 0 || off >= len(o.topic.stored[p]) {
		return fmt.Errorf("a row that the broker does not have: %q", value)
	}
	if maphash.String(seed, value) != o.topic.stored[p][off] {
		return fmt.Errorf("partition %d, offset %d: the broker has another payload than %q", p, off, value)
	}
	if grow := len(o.topic.stored[p]) - len(o.seen[p]); grow > 0 {
		o.seen[p] = append(o.seen[p], make([]bool, grow)...)
	}
	if o.seen[p][off] {
		return fmt.Errorf("partition %d, offset %d is visible twice", p, off)
	}
	o.seen[p][off] = true
	o.rows++
	return nil
}

// count takes one visible row of the sink "counts": the n-th row of key k was counted.
func (o *output) count(fields []string) error {
	k, kerr := strconv.Atoi(fields[0])
	n, nerr := strconv.Atoi(fields[1])
	if kerr != nil || nerr != nil || k < 0 || k >= len(o.counts) || n < 1 {
		return fmt.Errorf("a count that cannot be: %q", fields)
	}
	for len(o.counts[k]) < n {
		o.counts[k] = append(o.counts[k], false)
	}
	if o.counts[k][n-1] {
		return fmt.Errorf("key %d was counted to %d twice: state and output do not agree", k, n)
	}
	o.counts[k][n-1] = true
	return nil
}

// complete finds what is missing.
func (o *output) complete() error {
	for p := range o.seen {
		for off := range o.topic.stored[p] {
			if off >= len(o.seen[p]) || !o.seen[p][off] {
				return fmt.Errorf("partition %d, offset %d is missing (of %d)", p, off, len(o.topic.stored[p]))
			}
		}
		for k := range countKeys {
			want := (len(o.topic.stored[p]) + countKeys - 1 - k) / countKeys // offsets whose remainder is k
			got := o.counts[p*countKeys+k]
			if len(got) != want {
				return fmt.Errorf("key %d was counted to %d, want %d", p*countKeys+k, len(got), want)
			}
			for i, is := range got {
				if !is {
					return fmt.Errorf("count %d of key %d is missing", i+1, p*countKeys+k)
				}
			}
		}
	}
	for _, sink := range []string{"files", "counts"} {
		report, err := file.Verify(vfs.OS(), filepath.Join(o.dir, sink))
		if err != nil {
			return err
		}
		if !report.OK() {
			return fmt.Errorf("the ledger of %s does not hold: %v", sink, report.Problems)
		}
	}
	return nil
}
