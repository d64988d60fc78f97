package kafka

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A broker that stays away does not fill the log: its warning comes twice a minute, and says how often it was made.
func TestClientLogRepeatsSeldom(t *testing.T) {
	l := &clientLog{}
	at := time.Unix(1e9, 0)
	var got []int
	for i := range 40 { // every two seconds
		for _, broker := range []string{"a:1", "b:1"} {
			if level, times := l.level("unable to open connection", []any{"addr", broker, "err", i}, at.Add(time.Duration(i)*2*time.Second)); level == slog.LevelWarn && broker == "a:1" {
				got = append(got, i, times)
			}
		}
	}
	if want := []int{0, 1, 15, 15, 30, 15}; len(got) != len(want) || got[2] != want[2] || got[3] != want[3] || got[5] != want[5] {
		t.Errorf("passed on at, after so many: %v, want %v", got, want)
	}
	var out bytes.Buffer
	l = &clientLog{log: slog.New(slog.NewTextHandler(&out, nil))}
	for range 3 {
		l.Log(kgo.LogLevelWarn, "unable", "addr", "a:1")
	}
	l.Log(kgo.LogLevelWarn, "other", "addr", "a:1")
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}
