package job

import (
	"time"

	"turbo/core/ops/process"
	"turbo/io/connector"
	"turbo/plan"
)

// lookup joins a stream with what a function of the program finds.
func (b *builder) lookup(c *connector.Config, in plan.Node, at plan.Place) (plan.Node, error) {
	if !c.Has("lookup") {
		return in, nil
	}
	l := c.Object("lookup")
	name := l.String("function")
	if c.Mistaken("lookup") || name == "" || len(l.Strings("on")) == 0 {
		return nil, nil // reported
	}
	r, ok := plan.LookupReference(name)
	if !ok {
		b.report.Errorf(l.ValuePosition("function"), "%s.function: the program has no lookup %q%s", l.Path(), name, registered(name, plan.References(), "RegisterLookup"))
		return nil, nil
	}
	config := process.LookupConfig{
		RequestConfig: process.RequestConfig{
			Capacity: int(l.Int("capacity")), Ordered: l.Bool("ordered"), Timeout: l.Duration("timeout"),
			Retry: process.Retry{Attempts: int(l.Int("attempts")), Backoff: l.Duration("backoff"), Multiplier: 2, MaxBackoff: time.Minute},
		},
		Left: l.String("type") == "left",
	}
	if l.String("on-failure") == "drop" {
		config.OnFailure = process.DropRow
	}
	if l.Has("cache") {
		cache := l.Object("cache")
		config.Cache = process.CacheConfig{Rows: int(cache.Int("keys")), TTL: cache.Duration("ttl"), Misses: cache.Bool("misses")}
	}
	node, err := plan.NewLookup(at, in, plan.Lookup{Name: name, Reference: r, Keys: l.Strings("on"), Config: config})
	if err != nil {
		return nil, err
	}
	return node, nil
}
