package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"turbo/core"
	"turbo/internal/devbroker"
)

func TestBrokerDownAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := topics("a:1")
	config.Dir = dir
	r := newRig(t, config)
	r.produce("a", 0, "1")
	r.broker.Close()

	source, err := r.make("topic: a; connect-timeout: 3s")
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, source.Open(testContext(t), nil), "source test: none of the brokers 127.0.0.1:", "answers within 3s", "connection refused", `key "brokers"`)
	source.Close()
	source, err = r.make("topic: a")
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, source.Validate(testContext(t)), "none of the brokers", "connection refused")
	source.Close()

	// It comes up while the source waits.
	opened := make(chan struct{})
	source, err = r.make("topic: a; connect-timeout: 3m")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		err = source.Open(ctx, nil)
		close(opened)
	}()
	defer func() {
		cancel()
		<-opened
		source.Close()
	}()
	for source.Metrics().ConnectErrors.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if !source.Metrics().Down() {
		t.Error("not seen as down")
	}
	r.restart(config)
	if <-opened; err != nil {
		t.Error(err)
	}
}

func TestBrokerDownInTheMiddle(t *testing.T) {
	t.Parallel()
	config := topics("a:2")
	config.Dir = t.TempDir()
	r := newRig(t, config)
	r.produce("a", 0, numbered("", 0, 100)...)
	run := r.open("topic: a; partition-discovery: 5ms", nil)
	run.untilRows(100)
	r.broker.Close()
	for run.source.Metrics().ConnectErrors.Load() == 0 {
		run.step(0)
		time.Sleep(time.Millisecond)
	}
	if _, ok := run.source.Lag(); ok {
		t.Error("the lag is known although no broker answers")
	}
	if err := run.source.Trouble(); err == nil || !strings.Contains(err.Error(), "the broker 127.0.0.1:") || !strings.Contains(err.Error(), " cannot be reached since ") {
		t.Error("trouble:", err)
	}
	if run.failed != nil {
		t.Fatal(run.failed)
	}
	r.restart(config)
	r.produce("a", 0, numbered("", 100, 100)...)
	r.produce("a", 1, "x")
	run.untilRows(201)
	for deadline := time.Now().Add(time.Minute); run.source.Trouble() != nil; time.Sleep(time.Millisecond) { // one of its clients may have been refused last
		if time.Now().After(deadline) {
			t.Fatal("trouble with a broker that answers:", run.source.Trouble())
		}
	}
	for i, row := range run.seen["a/0"] {
		if row.offset != int64(i) || row.value != fmt.Sprint(i) {
			t.Fatalf("row %d is %v", i, row)
		}
	}
}

// A topic that is deleted and made again has other records at the same offsets: the client waits for the old one for ever, the job must not.
func TestTopicMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, topics("a:2"))
	r.produce("a", 0, numbered("", 0, 100)...)
	run := r.open("topic: a; partition-discovery: 5ms", nil)
	run.untilRows(100)
	admin := kadm.NewClient(r.newClient())
	if _, err := admin.DeleteTopic(testContext(t), "a"); err != nil {
		t.Fatal(err)
	}
	if err := r.broker.EnsureTopic(devbroker.Topic{Name: "a", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	again := r.newClient()
	for i := range 200 { // the rig's own client has the old topic
		if err := again.ProduceSync(testContext(t), &kgo.Record{Topic: "a", Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := 0; run.failed == nil && deadline < 60_000; deadline++ {
		run.step(0)
		time.Sleep(time.Millisecond)
	}
	if run.failed == nil || !core.IsPermanent(run.failed) || !strings.Contains(run.failed.Error(), `topic "a" was deleted and made again`) || run.rows != 100 {
		t.Errorf("%d rows, %v", run.rows, run.failed)
	}
}

// Validation takes the time that a distant broker needs: its bound is that of all it asks.
func TestValidateASlowBroker(t *testing.T) {
	t.Parallel()
	r := newRig(t, topics("a:1"))
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	go func() { // what it is asked comes to the broker late
		for {
			client, err := front.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				time.Sleep(1500 * time.Millisecond)
				broker, err := net.Dial("tcp", r.broker.Address())
				if err != nil {
					return
				}
				defer broker.Close()
				go func() { _, _ = io.Copy(broker, client) }() // ends with the connections
				_, _ = io.Copy(client, broker)
			}()
		}
	}()
	r.address = front.Addr().String()
	source, err := r.make("topic: a")
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Validate(testContext(t)); err != nil {
		t.Error(err)
	}
	sink, err := r.makeSink("topic: a")
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Validate(testContext(t)); err != nil {
		t.Error(err)
	}
}

func TestTopicMissing(t *testing.T) {
	r := newRig(t, topics("rides:1", "fares:1"))
	for _, c := range []struct{ topic, want string }{
		{"ride", `topic "ride" does not exist on this cluster; did you mean "rides"?`},
		{"weather", `topic "weather" does not exist on this cluster; it has fares, rides`},
	} {
		_, err := r.tryOpen("topic: "+c.topic, nil)
		wantError(t, err, c.want)
		source, err := r.make("topic: " + c.topic)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, source.Validate(testContext(t)), c.want)
	}
	source, err := r.make("topic-pattern: nothing-.*")
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, source.Validate(testContext(t)), "no topic of this cluster matches the pattern of nothing-.*")
}

func TestRestoredOffsetIsGone(t *testing.T) {
	r := newRig(t, topics("a:2"))
	r.produce("a", 1, numbered("", 0, 50)...)
	if err := r.broker.Cluster().DeleteRecords("a", 1, 30); err != nil {
		t.Fatal(err)
	}
	state := func(offset string) []core.SplitState { return []core.SplitState{{ID: "a/1", Position: []byte(offset)}} }
	_, err := r.tryOpen("topic: a", state("12"))
	wantError(t, err, "topic a, partition 1: the restored offset, 12, is before the log's first, 30: retention has deleted 18 offsets", "--fresh")
	_, err = r.tryOpen("topic: a", state("51"))
	wantError(t, err, "topic a, partition 1: the restored offset, 51, is beyond the log's end, 50", "--fresh")
	_, err = r.tryOpen("topic: a", []core.SplitState{{ID: "a/5", Position: []byte("1")}})
	wantError(t, err, "partition a/5, read up to offset 1, does not exist any more", "--fresh")
	_, err = r.tryOpen("topic: a", []core.SplitState{{ID: "b/0", Position: []byte("1")}})
	wantError(t, err, "the checkpoint has a position of partition b/0, and the source now reads topic a")
	_, err = r.tryOpen("topic: a", state("x"))
	wantError(t, err, `a/1: "x" is no position`)
	run := r.open("topic: a", state("30"))
	run.untilRows(20)
}

// Records that vanish under a running reader are an error, never a silent jump.
func TestOffsetOutOfRangeWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, topics("a:1"))
	r.produce("a", 0, "1", "2")
	run := r.open("topic: a", nil)
	run.untilRows(2)
	r.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "a", Err: kerr.OffsetOutOfRange, Count: -1})
	r.produce("a", 0, "3")
	wantError(t, run.untilError(), "source test", "topic a, partition 0: offset 2 is not in the log any more", "--fresh")
}

func users() []devbroker.User {
	return []devbroker.User{
		{Mechanism: "SCRAM-SHA-256", Name: "admin", Password: "s3cret-a", Super: true},
		{Mechanism: "PLAIN", Name: "admin", Password: "s3cret-a", Super: true},
		{Mechanism: "SCRAM-SHA-512", Name: "nobody", Password: "s3cret-n"},
		{Mechanism: "SCRAM-SHA-512", Name: "looker", Password: "s3cret-l", Allow: []kfake.ACL{
			{Resource: kmsg.ACLResourceTypeTopic, Name: "a", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}}},
		{Mechanism: "SCRAM-SHA-512", Name: "reader", Password: "s3cret-r", Allow: []kfake.ACL{
			{Resource: kmsg.ACLResourceTypeTopic, Name: "a", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationRead, Allow: true}}},
	}
}

func TestAuthorisation(t *testing.T) {
	t.Parallel()
	config := topics("a:1")
	config.Users = users()
	r := newRig(t, config)
	login := func(mechanism, user, password string) string {
		return fmt.Sprintf("topic: a; sasl: {mechanism: %s, username: %s, password: %s}", mechanism, user, password)
	}
	validate := func(spec string) error {
		source, err := r.make(spec)
		if err != nil {
			return err
		}
		return source.Validate(testContext(t))
	}
	for _, c := range []struct {
		spec string
		want []string
	}{
		{login("SCRAM-SHA-256", "admin", "s3cret-a"), nil},
		{login("PLAIN", "admin", "s3cret-a"), nil},
		{login("SCRAM-SHA-512", "reader", "s3cret-r"), nil},
		{login("SCRAM-SHA-256", "admin", "wrong-one"), []string{`the login of user "admin" by SCRAM-SHA-256`, "check"}},
		{login("PLAIN", "admin", "wrong-one"), []string{`the login of user "admin" by PLAIN`, "check"}},
		{login("SCRAM-SHA-512", "nobody", "s3cret-n"), []string{`topic "a": access is refused to user "nobody"`, "ACL"}},
		{login("SCRAM-SHA-512", "looker", "s3cret-l"), []string{`topic "a": access is refused to user "looker"`, "Read"}},
		{login("SCRAM-SHA-512", "reader", "s3cret-r") + "; group: g", []string{`consumer group is refused to user "reader"`}},
		{"topic: a", []string{"probably wants"}},
	} {
		err := validate(c.spec)
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("%s: %v", c.spec, err)
			}
			continue
		}
		wantError(t, err, c.want...)
		for _, secret := range []string{"s3cret", "wrong-one"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the message shows the password: %v", err)
			}
		}
		if !strings.Contains(c.spec, "looker") && !strings.Contains(c.spec, "group") { // these two fail later
			_, err = r.tryOpen(c.spec, nil)
			wantError(t, err, c.want...)
		}
	}
	run := r.open(login("SCRAM-SHA-512", "looker", "s3cret-l"), nil)
	wantError(t, run.untilError(), "topic a, partition 0, offset 0: access is refused")
}

// certificates writes a self-signed authority's certificate and returns a server configuration with it.
func certificates(t *testing.T, clients bool) (server *tls.Config, ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key = write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
	parsed, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
	if clients {
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}
	return server, cert, cert, key
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for _, clients := range []bool{false, true} {
		server, ca, cert, key := certificates(t, clients)
		config := topics("a:1")
		config.TLS = server
		r := newRig(t, config)
		validate := func(spec string) error {
			source, err := r.make("topic: a; " + spec)
			if err != nil {
				return err
			}
			return source.Validate(testContext(t))
		}
		withCert := fmt.Sprintf("tls: {ca: %s, cert: %s, key: %s}", ca, cert, key)
		if err := validate(withCert); err != nil {
			t.Errorf("client certificate asked for: %v: %v", clients, err)
		}
		err := validate("tls: {ca: " + ca + "}")
		if clients {
			wantError(t, err, "client certificate")
		} else if err != nil {
			t.Error(err)
		}
		if !clients {
			if err := validate("tls: {insecure: true}"); err != nil {
				t.Error(err)
			}
			wantError(t, validate("tls: true"), "signed by an unknown authority", `"ca" in "tls"`)
			wantError(t, validate("tls: {ca: "+ca+", server-name: elsewhere}"), "certificate is for another host", "server-name")
			wantError(t, validate(""), "probably wants TLS")
		}
	}
	r := newRig(t, topics("a:1"))
	source, err := r.make("topic: a; tls: {insecure: true}")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(testContext(t), time.Second) // a broker does not answer to what it does not understand
	defer cancel()
	if err := source.Validate(ctx); err == nil {
		t.Error("TLS to a plain port")
	}
	_, err = r.tryOpen("topic: a; tls: {ca: ./no-such.pem}", nil)
	wantError(t, err, "sources.test.tls.ca", "no such file")
	_, err = r.make("topic: a; tls: {cert: ./x.pem}")
	wantError(t, err, "needs both")
}

func TestConfigurationMistakes(t *testing.T) {
	r := newRig(t, topics("a:1"))
	for _, c := range []struct{ spec, want string }{
		{"group: g", `sources.test: which topic? Give "topic" or "topic-pattern"`},
		{"topic: a; topic-pattern: b", "only one of both"},
		{"topic-pattern: '('", "sources.test.topic-pattern: error parsing regexp"},
		{"topic: a; start: yesterday", `"yesterday" is neither one of earliest, latest, committed, offsets nor a time`},
		{"topic: a; stop: latest", `"latest" is neither one of never, end, offsets nor a time`},
		{"topic: a; start: committed", `needs "group"`},
		{"topic: a; start: offsets", "belong together"},
		{"topic: a; start: {at: offsets, offsets: {a: 3}}", `"a" is no partition of the form topic/number`},
		{"topic: a; start: {at: offsets, offsets: {a/0: -3}}", `a/0: "-3" is no offset`},
		{"topic: a; stop: {at: offsets, offsets: {b/0: 3}}", `topic "b" is not read by this source`},
		{"topic: a; isolation: dirty", `"dirty" is not known`},
	} {
		_, err := r.make(c.spec)
		wantError(t, err, c.want)
	}
}

// A source that is stopped while it waits for a broker ends at once.
func TestOpenIsCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t, topics("a:1"))
	r.broker.Close()
	source, err := r.make("topic: a; connect-timeout: 10m")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	opened := make(chan error, 1)
	go func() { opened <- source.Open(ctx, nil) }()
	for source.Metrics().ConnectErrors.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-opened; err == nil {
		t.Error("opened without a broker")
	}
	source.Close()
}

func TestPositions(t *testing.T) {
	for _, p := range []Position{{0, NoStop}, {12, NoStop}, {5, 5}, {1 << 40, 1 << 41}} {
		got, err := ParsePosition(p.Encode())
		if err != nil || got != p {
			t.Errorf("%v: %v %v", p, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1/", "1/-2", "x", "1/2/3"} {
		if _, err := ParsePosition([]byte(text)); err == nil {
			t.Errorf("%q is taken for a position", text)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add([]byte("12"))
	f.Add([]byte("12/13"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePosition(text)
		if err != nil {
			return
		}
		again, err := ParsePosition(p.Encode())
		if err != nil || again != p {
			t.Errorf("%q: %v, then %v %v", text, p, again, err)
		}
	})
}
