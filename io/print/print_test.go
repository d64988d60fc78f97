package print

import "testing"

// TestOneLine: a text with line ends stays within its row's line.
func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{"plain": "n=plain", "a\nb\r\n": `n=a\nb\r\n`, "": "n=", `back\slash`: `n=back\slash`} {
		if got := string(oneLine(append([]byte("n="), text...), 2)); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
