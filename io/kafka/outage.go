package kafka

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// outages are the brokers to which connections cannot be made. A broker is away from a failed attempt on until a connection is made or one answers; or until
// nobody has tried for a while, as with a broker that has left the cluster: clients that need a broker try again every few seconds.
type outages struct {
	some atomic.Bool // by is not empty
	mu   sync.Mutex
	by   map[string]*outage
}

type outage struct {
	since, last time.Time // of failed attempts
	err         error     // of the last one
}

// forgottenAfter is how long after the last failed attempt a broker counts as away. Dialing one that does not answer takes ten seconds.
const forgottenAfter = time.Minute

func address(b kgo.BrokerMetadata) string { return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))) }

// failed notes an attempt.
func (o *outages) failed(b kgo.BrokerMetadata, err error) {
	now, at := time.Now(), address(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	if x := o.by[at]; x != nil && now.Sub(x.last) < forgottenAfter {
		x.last, x.err = now, err
		return
	}
	if o.by == nil {
		o.by = map[string]*outage{}
	}
	o.by[at] = &outage{now, now, err}
	o.some.Store(true)
}

// answered notes that a broker is there.
func (o *outages) answered(b kgo.BrokerMetadata) {
	if !o.some.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.by, address(b))
	o.some.Store(len(o.by) > 0)
}

// longest describes the broker that has been away for the longest time; nil when none is.
func (o *outages) longest() error {
	if !o.some.Load() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var first *outage
	at := ""
	for a, x := range o.by {
		if time.Since(x.last) < forgottenAfter && (first == nil || x.since.Before(first.since)) {
			first, at = x, a
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("the broker %s cannot be reached since %s: %w", at, first.since.UTC().Format(time.DateTime), first.err)
}
