package memory

import "testing"

func TestRssAnon(t *testing.T) {
	if n, ok := RssAnon(); !ok || n <= 0 {
		t.Errorf("RssAnon() = %d, %v", n, ok)
	}
	for _, c := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"VmRSS:\t 9 kB\nRssAnon:\t     1234 kB\nRssFile: 1 kB\n", 1234 << 10, true},
		{"RssAnon:\t7 MB\n", 0, false},
		{"RssAnon:\n", 0, false},
		{"", 0, false},
	} {
		if got, ok := parseRssAnon([]byte(c.in)); got != c.want || ok != c.ok {
			t.Errorf("%q: %d, %v", c.in, got, ok)
		}
	}
}
