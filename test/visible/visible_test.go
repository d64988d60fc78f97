package visible

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

func gz(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.Bytes()
}

func parquetFile(t *testing.T) []byte {
	type row struct {
		N    int64  `parquet:"n"`
		Text string `parquet:"text,optional"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	if _, err := w.Write([]row{{1, "a"}, {2, ""}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, format string
		content      []byte
		want         string // rows, or the start of an error
	}{
		{"a.txt", "raw", []byte("x\ny z\n"), "x; y z"},
		{"a.txt", "raw", []byte("x\ny"), "error: the last line"},
		{"a.txt", "raw", nil, "error: a visible file without"},
		{"a.csv", "csv", []byte("1,\"a,\"\"b\"\"\"\n2,\n"), "1|a,\"b\"; 2|"},
		{"a.csv", "csv", []byte("1,a\n2\n"), "error: record on line 2: wrong number of fields"},
		{"a.csv.gz", "csv", append(gz("1,a\n"), gz("2,b\n")...), "1|a; 2|b"},
		{"a.csv.gz", "csv", gz("1,a\n")[:20], "error: unexpected EOF"},
		{"a.json", "json", []byte("{\"n\":12345678901234567,\"text\":null}\n"), "12345678901234567|"},
		{"a.json", "json", []byte("{\"n\":1}\n"), "error: no field \"text\""},
		{"a.json", "json", []byte("{\"n\":1,\n"), "error: unexpected EOF"},
		{"a.parquet", "parquet", parquetFile(t), "1|a; 2|"},
		{"a.parquet", "parquet", parquetFile(t)[:40], "error: "},
		{"a.orc", "orc", []byte("x\n"), "error: format \"orc\""},
	} {
		var rows []string
		err := Read(c.name, c.content, c.format, []string{"n", "text"}, func(fields []string) error {
			rows = append(rows, strings.Join(fields, "|"))
			return nil
		})
		if cut, is := strings.CutPrefix(c.want, "error: "); is {
			if err == nil || !strings.Contains(err.Error(), cut) {
				t.Errorf("%s %q: %v, want %s", c.format, c.content, err, cut)
			}
		} else if got := strings.Join(rows, "; "); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", ".b", "_c/d", "e/f", "e/.g/h"} {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("12"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	names, sizes, err := Files(dir)
	if want := []string{filepath.Join(dir, "a"), filepath.Join(dir, "e/f")}; err != nil || !slices.Equal(names, want) || !slices.Equal(sizes, []int64{2, 2}) {
		t.Errorf("%v %v %v", names, sizes, err)
	}
	if names, _, err := Files(filepath.Join(dir, "none")); err != nil || len(names) > 0 {
		t.Errorf("%v %v", names, err)
	}
}

// TestIndependence holds the package to its word.
func TestIndependence(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(out)) {
		if strings.HasPrefix(p, "turbo/") && p != "turbo/test/visible" {
			t.Errorf("it depends on %s", p)
		}
	}
}
