package job_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	_ "turbo/io/blackhole"
	_ "turbo/io/file"
	_ "turbo/io/format"
	_ "turbo/io/generator"
	_ "turbo/io/kafka"
	_ "turbo/io/print"
	"turbo/job"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata")

func environment(name string) (string, bool) {
	v, ok := map[string]string{"HOME": "/home/turbo", "KAFKA_PASSWORD": "hunter2"}[name]
	return v, ok
}

// golden compares got with the file, or rewrites it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update)", err)
	}
	if string(want) != got {
		t.Errorf("%s\ngot\n%s\nwant\n%s", file, got, want)
	}
}

// parse reads a file of testdata. A comment "# -D A=B" or "# --set a=b" in it is an argument of the command line.
func parse(t testing.TB, file string) (*job.Job, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := job.Options{File: filepath.Base(file), Lookup: environment, Defines: map[string]string{}}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if s, ok := strings.CutPrefix(line, "# -D "); ok {
			name, value, _ := strings.Cut(s, "=")
			o.Defines[name] = value
		}
		if s, ok := strings.CutPrefix(line, "# --set "); ok {
			o.Set = append(o.Set, s)
		}
	}
	return job.Parse(data, o)
}

func cases(t *testing.T, pattern string, f func(t *testing.T, file string)) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no cases in", pattern)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) { f(t, file) })
	}
}

func TestErrors(t *testing.T) {
	cases(t, "testdata/errors/*.yaml", func(t *testing.T, file string) {
		_, err := parse(t, file)
		if err == nil {
			t.Fatal("no error")
		}
		golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
	})
}

func TestPlans(t *testing.T) {
	cases(t, "testdata/plans/*.yaml", func(t *testing.T, file string) {
		j, err := parse(t, file)
		if err != nil {
			t.Fatal(err)
		}
		text := j.Plan.Explain()
		if len(j.Warnings) > 0 {
			text += "\nwarnings\n" + j.Warnings.Error() + "\n"
		}
		golden(t, strings.TrimSuffix(file, ".yaml")+".txt", text)
		again, err := parse(t, file)
		if err != nil || again.Plan.Signature().Fingerprint() != j.Plan.Signature().Fingerprint() || again.Plan.Explain() != j.Plan.Explain() {
			t.Error("the plan is not deterministic", err)
		}
	})
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := job.Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("job.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("job.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON reads YAML as an editor does.
func asJSON(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Skip("not YAML: ", err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSchemaAcceptsEveryPlan(t *testing.T) {
	s := compileSchema(t)
	cases(t, "testdata/plans/*.yaml", func(t *testing.T, file string) {
		data, _ := os.ReadFile(file)
		if err := s.Validate(asJSON(t, data)); err != nil {
			t.Errorf("%v", err)
		}
	})
}

func TestSchemaRefusesMistakes(t *testing.T) {
	s := compileSchema(t)
	data, err := os.ReadFile("testdata/plans/arrivals.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"name: arrivals", "nam: arrivals"},
		{"buffer-timeout: 10ms", "buffer-timeout: 10 parsecs"},
		{"buffer-timeout: 10ms", "bufer-timeout: 10ms"},
		{"parallelism: 2", "parallelism: two"},
		{"strategy: exponential", "strategy: hope"},
		{"connector: kafka", "connector: kafak"},
		{"    topic: rides", "    topics: rides"},
		{"format: csv ", "format: cvs "},
		{"on-error: dead-letter", "on-error: ignore"},
		{"ride_id: BIGINT NOT NULL", "ride_id: [BIGINT]"},
		{"max-out-of-orderness: 5s", "max-out-of-order: 5s"},
		{"key-by: [cell]", "keyby: [cell]"},
		{"compression: zstd", "compresion: zstd"},
		{"size: 128MiB", "size: large"},
		{"    from: arrivals\n    connector: file", "    connector: file"},
	} {
		wrong := strings.Replace(string(data), c[0], c[1], 1)
		if wrong == string(data) {
			t.Fatal("nothing was replaced:", c)
		}
		if s.Validate(asJSON(t, []byte(wrong))) == nil {
			t.Errorf("%s is accepted", c[1])
		}
		if _, err := job.Parse([]byte(wrong), job.Options{File: "x", Lookup: environment}); err == nil {
			t.Errorf("the parser accepts %s", c[1])
		}
	}
}

func TestExampleLoads(t *testing.T) {
	j, err := job.Load("testdata/plans/arrivals.yaml", job.Options{Lookup: environment, Parallelism: 4, Set: []string{"engine.buffer-timeout=0.1ms"}, Defines: map[string]string{"BROKERS": "b1:1,b2:2"}})
	if err != nil {
		t.Fatal(err)
	}
	s := j.Plan.Settings
	got := fmt.Sprintln(s.Name, s.Parallelism, s.Memory, s.BufferTimeout, s.Checkpoint.Interval, s.Checkpoint.Dir, s.Restart.Attempts, j.Plan.Sources()[0].Config.Strings("brokers"))
	if want := "arrivals 4 536870912 100µs 1s ./state/arrivals 10 [b1:1 b2:2]\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}
