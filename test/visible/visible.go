package visible

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// Hidden reports whether readers skip a file or directory of that base name.
func Hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

// Files lists the visible files below dir, sorted, with their sizes. A directory that does not exist has none.
func Files(dir string) (names []string, sizes []int64, err error) {
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && name == dir && errors.Is(err, fs.ErrNotExist):
			return filepath.SkipDir
		case err != nil && errors.Is(err, fs.ErrNotExist):
			return nil // it went while we walked: a hidden one
		case err != nil:
			return err
		case name != dir && Hidden(e.Name()):
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		names, sizes = append(names, name), append(sizes, info.Size())
		return nil
	})
	return names, sizes, err
}

// Visit takes the fields of one row; they are valid during the call.
type Visit func(fields []string) error

// ReadFile reads a file of a format: raw, csv, json or parquet. A name that ends in .gz is unpacked first. columns names the
// fields to give: all fields of CSV in their order, any of JSON and Parquet; raw has one, the line.
func ReadFile(name, format string, columns []string, visit Visit) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return Read(name, content, format, columns, visit)
}

// Read is ReadFile with the content at hand.
func Read(name string, content []byte, format string, columns []string, visit Visit) error {
	if err := read(name, content, format, columns, visit); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func read(name string, content []byte, format string, columns []string, visit Visit) error {
	if format == "parquet" {
		return readParquet(content, columns, visit)
	}
	if strings.HasSuffix(name, ".gz") {
		in, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return err
		}
		if content, err = io.ReadAll(in); err != nil {
			return err
		}
	}
	if len(content) == 0 {
		return errors.New("a visible file without a row")
	}
	if content[len(content)-1] != '\n' {
		return fmt.Errorf("the last line is not complete: %q", content[max(0, len(content)-60):])
	}
	switch format {
	case "raw":
		return readRaw(content, visit)
	case "csv":
		return readCSV(content, len(columns), visit)
	case "json":
		return readJSON(content, columns, visit)
	}
	return fmt.Errorf("format %q is not known", format)
}

func readRaw(content []byte, visit Visit) error {
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		if err := visit([]string{lines.Text()}); err != nil {
			return err
		}
	}
	return lines.Err()
}

func readCSV(content []byte, columns int, visit Visit) error {
	in := csv.NewReader(bytes.NewReader(content))
	in.FieldsPerRecord = columns
	in.ReuseRecord = true
	for {
		fields, err := in.Read()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = visit(fields)
		}
		if err != nil {
			return err
		}
	}
}

func readJSON(content []byte, columns []string, visit Visit) error {
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<24)
	fields := make([]string, len(columns))
	for lines.Scan() {
		row := map[string]any{}
		in := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		in.UseNumber()
		if err := in.Decode(&row); err != nil {
			return fmt.Errorf("%w: %q", err, lines.Text())
		}
		for i, c := range columns {
			v, is := row[c]
			if !is {
				return fmt.Errorf("no field %q in %q", c, lines.Text())
			}
			if fields[i] = ""; v != nil {
				fields[i] = fmt.Sprint(v)
			}
		}
		if err := visit(fields); err != nil {
			return err
		}
	}
	return lines.Err()
}

func readParquet(content []byte, columns []string, visit Visit) error {
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	place := map[int]int{} // column of the file -> field
	for i, c := range columns {
		leaf, is := f.Schema().Lookup(c)
		if !is {
			return fmt.Errorf("no column %q in %v", c, f.Schema().Columns())
		}
		place[leaf.ColumnIndex] = i
	}
	fields := make([]string, len(columns))
	buf := make([]parquet.Row, 256)
	total := int64(0)
	for _, group := range f.RowGroups() {
		rows := group.Rows()
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				for _, v := range row {
					if i, wanted := place[v.Column()]; wanted {
						if fields[i] = ""; !v.IsNull() {
							fields[i] = v.String()
						}
					}
				}
				if err := visit(fields); err != nil {
					_ = rows.Close()
					return err
				}
			}
			total += int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				_ = rows.Close()
				return err
			}
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	if total != f.NumRows() {
		return fmt.Errorf("%d rows could be read of %d", total, f.NumRows())
	}
	return nil
}
