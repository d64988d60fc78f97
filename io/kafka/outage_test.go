package kafka

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A broker that is away says so until it answers; others do not speak for it.
func TestOutages(t *testing.T) {
	one, two := kgo.BrokerMetadata{NodeID: 1, Host: "one", Port: 9092}, kgo.BrokerMetadata{NodeID: 2, Host: "two", Port: 9093}
	m := &Metrics{}
	want := func(what string) {
		t.Helper()
		err := m.away.longest()
		if (err != nil) != (what != "") || err != nil && !strings.Contains(err.Error(), what) || m.Down() != (err != nil) {
			t.Fatalf("got %v, want %q", err, what)
		}
	}
	want("")
	m.OnBrokerConnect(two, 0, nil, errors.New("refused"))
	m.OnBrokerConnect(one, 0, nil, errors.New("refused as well"))
	m.OnBrokerConnect(two, 0, nil, errors.New("refused again"))
	want("the broker two:9093 cannot be reached since ")
	want(": refused again")
	m.OnBrokerRead(one, 0, 10, 0, 0, errors.New("broken"))
	m.OnBrokerConnect(two, 0, nil, nil)
	want("the broker one:9092")
	m.OnBrokerRead(two, 0, 10, 0, 0, nil)
	want("the broker one:9092")
	m.away.by["one:9092"].last = time.Now().Add(-forgottenAfter) // nobody needs it any more
	want("")
	m.OnBrokerConnect(one, 0, nil, errors.New("refused"))
	want("the broker one:9092")
	m.OnBrokerRead(one, 0, 10, 0, 0, nil)
	want("")
}
