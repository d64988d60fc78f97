package killpoint

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Variable is the environment variable that Arm is usually given.
const Variable = "TURBO_KILL_PHASE"

var hook atomic.Pointer[func(name string)]

// Reach says that the calling goroutine is about to do the step that the point is named after. Any goroutine may call it.
func Reach(name string) {
	if f := hook.Load(); f != nil {
		(*f)(name)
	}
}

// Set makes f the hook that every Reach calls, and returns a function that puts the former one back. f must be safe for
// use by several goroutines.
func Set(f func(name string)) (restore func()) {
	var next *func(string)
	if f != nil {
		next = &f
	}
	former := hook.Swap(next)
	return func() { hook.Store(former) }
}

// Arm makes the process kill itself as spec says: "POINT" or "POINT:N", the N-th arrival counted from 1; several
// separated by commas, of which the first to come true counts. An empty spec changes nothing.
func Arm(spec string) error {
	return arm(spec, killSelf)
}

func arm(spec string, kill func()) error {
	if spec == "" {
		return nil
	}
	due := map[string]map[int]bool{}
	for _, one := range strings.Split(spec, ",") {
		name, count, found := strings.Cut(strings.TrimSpace(one), ":")
		n := 1
		if found {
			var err error
			if n, err = strconv.Atoi(count); err != nil || n < 1 {
				return fmt.Errorf("kill point %q: the count after the colon must be a number from 1 on", one)
			}
		}
		if name == "" {
			return fmt.Errorf("kill point %q: no name; write POINT or POINT:N", one)
		}
		if due[name] == nil {
			due[name] = map[int]bool{}
		}
		due[name][n] = true
	}
	var mu sync.Mutex
	arrivals := map[string]int{}
	Set(func(name string) {
		mu.Lock()
		defer mu.Unlock()
		arrivals[name]++
		if due[name][arrivals[name]] {
			kill()
		}
	})
	return nil
}

// killSelf ends the process at once: no deferred call, no exit hook, no flush.
func killSelf() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		os.Exit(137)
	}
	select {} // the signal is on its way; nothing after the point may happen
}

// Counter is a hook that counts arrivals.
type Counter struct {
	mu     sync.Mutex
	counts map[string]int
}

// Reach counts one arrival; give it to Set.
func (c *Counter) Reach(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[name]++
}

// Count is the number of arrivals at a point so far.
func (c *Counter) Count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

// Names lists the points that were reached, sorted.
func (c *Counter) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, len(c.counts))
	for name := range c.counts {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
