package plan

import (
	"slices"
	"sync"

	"turbo/core/ops/window"
)

// What a program has registered under a name, for specifications to use. Programs register in their init functions.
var registry struct {
	sync.Mutex
	triggers map[string]func() window.Trigger
}

// RegisterTrigger gives triggers a name. It panics when the name is taken: a mistake of the program.
func RegisterTrigger(name string, f func() window.Trigger) {
	registry.Lock()
	defer registry.Unlock()
	if registry.triggers == nil {
		registry.triggers = map[string]func() window.Trigger{}
	}
	if registry.triggers[name] != nil {
		panic("plan: the trigger " + name + " is registered twice")
	}
	registry.triggers[name] = f
}

// TriggerFunction returns the trigger of that name, nil when there is none.
func TriggerFunction(name string) func() window.Trigger {
	registry.Lock()
	defer registry.Unlock()
	return registry.triggers[name]
}

// TriggerFunctions returns the names, sorted.
func TriggerFunctions() []string {
	registry.Lock()
	defer registry.Unlock()
	var out []string
	for name := range registry.triggers {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
