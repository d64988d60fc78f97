package layering

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// floors lists the packages floor by floor, from the ground up. A package may import what stands on a floor below it, and, where
// sideways says so, a neighbour. "/..." stands for a package and everything in it; the longest match counts.
var floors = [][]string{
	{"internal/invariants", "internal/clock", "internal/killpoint"},
	{"memory", "internal/vfs"},
	{"internal/dirlock"},
	{"core"},
	{"core/hash", "internal/spec"},
	{"core/expr", "timers", "state", "shuffle", "ckpt/...", "io/connector", "io/compress", "io/ledger"},
	{"core/ops", "io/format", "io/file", "io/kafka", "io/generator", "io/print", "io/replay", "io/blackhole", "internal/devbroker", "internal/testkit/..."},
	{"core/ops/..."},
	{"core/task"},
	{"core/supervisor"},
	{"plan"},
	{"plan/physical"},
	{"job", "sql"},
	{"server/...", "run/..."},
	{"stream/..."},
	{"bench/...", "internal/statusline"},
	{"cli"},
	{"examples/taxi/rides"},
	{"cmd/turbo/...", "examples/...", "internal/docgen", "internal/layering", "test/..."},
}

// sideways are the imports within a floor that are wanted, and why.
var sideways = map[[2]string]string{
	{"timers", "state"}:                  "timers are kept in a keyed table",
	{"io/connector", "core/expr"}:        "connector options may be expressions",
	{"io/ledger", "io/connector"}:        "verification reads files by the registry's formats",
	{"io/ledger", "io/compress"}:         "verification reads compressed files",
	{"io/replay", "io/file"}:             "the files are read by the connector file",
	{"io/file", "io/format"}:             "merging the parts of containers",
	{"core/ops/join", "core/ops/window"}: "window joins assign windows",
	{"run", "server"}:                    "a run serves its status",
	{"io/kafka", "internal/devbroker"}:   "tests only",
	{"core/ops", "internal/testkit"}:     "tests only",
}

type listed struct {
	ImportPath string
	Imports    []string
}

func floorOf(path string) int {
	best, length := -1, -1
	for floor, names := range floors {
		for _, name := range names {
			prefix, deep := strings.CutSuffix(name, "/...")
			if (path == prefix || deep && strings.HasPrefix(path, prefix+"/")) && len(prefix) > length {
				best, length = floor, len(prefix)
			}
		}
	}
	return best
}

func TestImportsPointDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "turbo/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, "turbo/")
		floor := floorOf(from)
		if floor < 0 {
			t.Errorf("package %s stands on no floor: say in this test (and in docs/design.md) where it belongs", from)
			continue
		}
		if from == "io" {
			t.Errorf("no package may stand at io/: it would shadow the standard library's")
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, "turbo/")
			if !ours {
				continue
			}
			switch below := floorOf(to); {
			case below > floor:
				t.Errorf("%s imports %s, which stands %d floors above it", from, to, below-floor)
			case below == floor && sideways[[2]string{from, to}] == "" && !inside(from, to):
				t.Errorf("%s imports its neighbour %s", from, to)
			}
			if strings.HasPrefix(to, "internal/testkit") && !strings.HasPrefix(from, "internal/testkit") {
				t.Errorf("%s imports %s, which is for tests only", from, to)
			}
		}
	}
}

// inside reports whether one package is in the folder of the other: a family on one floor.
func inside(a, b string) bool {
	return strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/") || a == b
}
