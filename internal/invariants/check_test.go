package invariants

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		call func()
		want string // "" = passes
	}{
		{"true", func() { Check(true, "never") }, ""},
		{"false", func() { Check(false, "slots: ", 3) }, "slots: 3"},
		{"format true", func() { Checkf(true, "never %d", 1) }, ""},
		{"format false", func() { Checkf(false, "slots %d of %d", 3, 4) }, "slots 3 of 4"},
	} {
		t.Run(c.name, func() func(*testing.T) {
			return func(t *testing.T) {
				defer func() {
					got, _ := recover().(string)
					switch {
					case !Enabled || c.want == "":
						if got != "" {
							t.Fatalf("panicked: %s", got)
						}
					case !strings.HasSuffix(got, c.want):
						t.Fatalf("got %q, want suffix %q", got, c.want)
					}
				}()
				c.call()
			}
		}())
	}
}
