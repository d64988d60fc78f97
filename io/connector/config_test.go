package connector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"turbo/internal/spec"
)

var testFields = []Field{
	{Name: "topic", Type: String, Doc: "d", Required: true, Example: "rides"},
	{Name: "brokers", Type: StringList, Doc: "d", Default: "localhost:9092"},
	{Name: "start", Type: Object, Doc: "d", Shorthand: "at", Fields: []Field{
		{Name: "at", Type: Enum, Doc: "d", Enum: []string{"earliest", "latest", "timestamp"}, Default: "earliest"},
		{Name: "timestamp", Type: String, Doc: "d"},
	}},
	{Name: "linger", Type: Duration, Doc: "d", Default: "10ms", MinusOne: true, Max: "1h"},
	{Name: "size", Type: ByteSize, Doc: "d", Default: "128MiB", Min: "1KiB"},
	{Name: "retries", Type: Int, Doc: "d", Default: "3", Min: "0", Max: "100"},
	{Name: "ratio", Type: Float, Doc: "d", Default: "0.5"},
	{Name: "fsync", Type: Bool, Doc: "d", Default: "true"},
	{Name: "password", Type: Secret, Doc: "d"},
	{Name: "properties", Type: StringMap, Doc: "d"},
	{Name: "users", Type: ObjectMap, Doc: "d", Fields: []Field{{Name: "age", Type: Int, Doc: "d"}}},
	{Name: "checkpoint", Type: Object, Doc: "d", Off: true, Fields: []Field{{Name: "dir", Type: String, Doc: "d", Required: true}}},
	{Name: "format", Type: Format, Doc: "d", Default: "testcsv"},
}

func init() {
	RegisterFormat(FormatSpec{Name: "testcsv", Summary: "s", Fields: []Field{{Name: "delimiter", Type: String, Doc: "d", Default: ","}}})
	RegisterFormat(FormatSpec{Name: "testjson", Summary: "s"})
}

func parse(t *testing.T, text string) (*Config, error) {
	t.Helper()
	var report spec.Report
	env := map[string]string{"PW": "hunter2", "N": "7"}
	n := spec.Parse("job.yaml", []byte(text), spec.Variables{Lookup: func(s string) (string, bool) { v, ok := env[s]; return v, ok }}, &report)
	if report.Failed() {
		return nil, report.Err()
	}
	c := Parse(n, n.Pos, "sources.rides", testFields, &report)
	return c, report.Err()
}

func TestDefaults(t *testing.T) {
	c, err := parse(t, "topic: rides\n")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.String("topic"), c.Strings("brokers"), c.Object("start").String("at"), c.Duration("linger"), c.Bytes("size"),
		c.Int("retries"), c.Float("ratio"), c.Bool("fsync"), c.Secret("password").IsSet(), c.Map("properties"), c.Object("checkpoint").Off(),
		c.Format("format").Spec.Name, c.Format("format").Config.String("delimiter"), c.Has("size"), c.Has("topic"))
	want := "rides [localhost:9092] earliest 10ms 134217728 3 0.5 true false map[] false testcsv , false true"
	if got = strings.TrimSpace(got); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestValues(t *testing.T) {
	c, err := parse(t, `
topic: "a # b"
brokers: [x:1, "y:2"]
start: latest
linger: -1
size: 4k
retries: ${N}
password: ${env:PW}
properties: {a.b: 1, c: }
users: {bob: {age: 3}, eve: }
checkpoint: off
format: {type: testcsv, delimiter: ";"}
`)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := c.Secret("password").Reveal()
	got := fmt.Sprintln(c.String("topic"), c.Strings("brokers"), c.Object("start").String("at"), c.Duration("linger") == spec.Unlimited, c.Bytes("size"),
		c.Int("retries"), password, c.Map("properties"), c.Objects("users")[0].Config.Int("age"), c.Objects("users")[1].Name, c.Object("checkpoint").Off(),
		c.Format("format").Config.String("delimiter"))
	want := "a # b [x:1 y:2] latest true 4096 7 hunter2 map[a.b:1 c:] 3 eve true ;"
	if got = strings.TrimSpace(got); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := c.Errorf("start", "no %s", "way"); err.Error() != "job.yaml:4:8: sources.rides.start: no way" {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	_, err := parse(t, `
topci: rides
brokers: {a: b}
start: {at: ealiest, foo: 1}
linger: -5ms
size: 12 parsecs
retries: 101
ratio: x
fsync: maybe
password: {path: x}
properties: {a: [1]}
users: {bob: {agee: 3}}
checkpoint: on
format: testcvs
`)
	want := `job.yaml:2:1: sources.rides: unknown key "topci", did you mean "topic"?
job.yaml:3:10: sources.rides.brokers: expected a list, this is a block of keys
job.yaml:4:13: sources.rides.start.at: "ealiest" is not known, did you mean "earliest"?
job.yaml:4:22: sources.rides.start: unknown key "foo"; known: at, timestamp
job.yaml:5:9: sources.rides.linger: "-5ms": must not be negative, except -1
job.yaml:6:7: sources.rides.size: "12 parsecs": not a size; a size is a number with B, KiB, MiB, GiB (1024) or KB, MB, GB (1000), such as 128MiB
job.yaml:7:10: sources.rides.retries: "101": must be at most 100
job.yaml:8:8: sources.rides.ratio: "x": not a number
job.yaml:9:8: sources.rides.fsync: "maybe": not true or false
job.yaml:10:11: sources.rides.password: expected a secret: ${env:NAME} or {file: PATH}
job.yaml:11:17: sources.rides.properties.a: expected a single value, this is a list
job.yaml:12:15: sources.rides.users.bob: unknown key "agee", did you mean "age"?
job.yaml:13:13: sources.rides.checkpoint: expected a block of keys, this is a single value
job.yaml:14:9: sources.rides.format: unknown format "testcvs", did you mean "testcsv"?`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	_, err = parse(t, "brokers: a\n")
	if err == nil || err.Error() != `job.yaml:1:1: sources.rides: the key "topic" is missing, such as topic: rides` {
		t.Error(err)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parse(t, "topic: x\npassword: {file: "+file+"}\n")
	if err != nil {
		t.Fatal(err)
	}
	fromFile := c.Secret("password")
	if s, err := fromFile.Reveal(); s != "hunter2" || err != nil {
		t.Error(s, err)
	}
	for _, s := range []SecretText{NewSecret("hunter2"), fromFile} {
		var out bytes.Buffer
		block := struct{ Password SecretText }{s}
		fmt.Fprintf(&out, "%v %+v %#v %s %q %d %x", s, block, block, s, s, s, &block)
		_ = json.NewEncoder(&out).Encode(block)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s, "block", block)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "block", block)
		if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), "68756e") || !strings.Contains(out.String(), "***") {
			t.Error(out.String())
		}
	}
}

func TestCheck(t *testing.T) {
	if err := Check(testFields); err != nil {
		t.Error(err)
	}
	for want, f := range map[string]Field{
		"lower case":        {Name: "a_b", Doc: "d"},
		"has no Doc":        {Name: "a"},
		"Enum values":       {Name: "a", Doc: "d", Type: Enum},
		"is required and":   {Name: "a", Doc: "d", Required: true, Default: "x"},
		"no unit":           {Name: "a", Doc: "d", Type: Duration, Default: "10"},
		"Fields belong":     {Name: "a", Doc: "d", Type: Object},
		"for the shorthand": {Name: "a", Doc: "d", Type: Object, Shorthand: "x", Fields: []Field{{Name: "y", Doc: "d"}}},
	} {
		if err := Check([]Field{f}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := Check([]Field{{Name: "a", Doc: "d"}, {Name: "a", Doc: "d"}}); err == nil {
		t.Error("a duplicate is accepted")
	}
}
