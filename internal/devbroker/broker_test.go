package devbroker

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func start(t *testing.T, config Config) *Broker {
	t.Helper()
	b, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func client(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Address())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func produce(t *testing.T, b *Broker, topic string, values ...string) {
	t.Helper()
	c := client(t, b)
	for _, v := range values {
		if err := c.ProduceSync(context.Background(), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func consume(t *testing.T, b *Broker, topic string, n int) []string {
	t.Helper()
	c := client(t, b, kgo.ConsumeTopics(topic))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out []string
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { out = append(out, string(r.Value)) })
	}
	return out
}

func TestMemory(t *testing.T) {
	b := start(t, Config{Topics: []Topic{{Name: "a", Partitions: 1}, {Name: "b"}}})
	produce(t, b, "a", "1", "2")
	if got := fmt.Sprint(consume(t, b, "a", 2)); got != "[1 2]" {
		t.Errorf("consumed %s", got)
	}
	if n := len(b.Cluster().PartitionInfos("b")); n != 4 {
		t.Errorf("default partitions: %d", n)
	}
	b.Close() // a second Close by Cleanup does nothing
}

func TestPersistent(t *testing.T) {
	config := Config{Dir: t.TempDir(), Topics: []Topic{{Name: "a", Partitions: 1}}}
	b := start(t, config)
	address := b.Address()
	produce(t, b, "a", "1", "2")
	if _, err := Start(config); err == nil || !strings.Contains(err.Error(), "in use by another broker") {
		t.Errorf("second broker on the directory: %v", err)
	}
	b.Close()

	config.Topics = []Topic{{Name: "a", Partitions: 3}, {Name: "new", Partitions: 2}}
	b = start(t, config)
	if b.Address() != address {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skipf("NOT RUN: somebody else has taken the port meanwhile: %v", err)
		}
		l.Close()
		t.Errorf("address %s became %s", address, b.Address())
	}
	if n := len(b.Cluster().PartitionInfos("a")); n != 3 {
		t.Errorf("a has %d partitions", n)
	}
	if n := len(b.Cluster().PartitionInfos("new")); n != 2 {
		t.Errorf("new has %d partitions", n)
	}
	if got := fmt.Sprint(consume(t, b, "a", 2)); got != "[1 2]" {
		t.Errorf("consumed after the restart: %s", got)
	}
	if err := b.EnsureTopic(Topic{Name: "a", Partitions: 1}); err == nil || !strings.Contains(err.Error(), "cannot be taken away") {
		t.Errorf("fewer partitions: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	b := start(t, Config{})
	port := b.Address()[strings.LastIndexByte(b.Address(), ':')+1:]
	var n int
	fmt.Sscan(port, &n)
	if _, err := Start(Config{Port: n}); err == nil || !strings.Contains(err.Error(), "choose another port") {
		t.Errorf("taken port: %v", err)
	}
}

func TestUsers(t *testing.T) {
	b := start(t, Config{
		Topics: []Topic{{Name: "a", Partitions: 1}},
		Users: []User{
			{Mechanism: "SCRAM-SHA-256", Name: "admin", Password: "s", Super: true},
			{Mechanism: "PLAIN", Name: "reader", Password: "s"},
		},
	})
	if err := b.EnsureTopic(Topic{Name: "a", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Cluster().PartitionInfos("a")); n != 2 {
		t.Errorf("a has %d partitions", n)
	}
}

// A killed process leaves what the operating system has: a copy of the files taken without closing the broker.
func TestKilled(t *testing.T) {
	dir, image := t.TempDir(), t.TempDir()
	b := start(t, Config{Dir: dir, Topics: []Topic{{Name: "a", Partitions: 1}}})
	produce(t, b, "a", "1", "2", "3")
	if err := os.CopyFS(filepath.Join(image, "log"), os.DirFS(filepath.Join(dir, "log"))); err != nil {
		t.Fatal(err)
	}
	copied := start(t, Config{Dir: image})
	produce(t, copied, "a", "4")
	if got := fmt.Sprint(consume(t, copied, "a", 4)); got != "[1 2 3 4]" {
		t.Errorf("consumed %s", got)
	}
}
