package plan

import (
	"maps"
	"slices"
	"sync"

	"turbo/core/ops/window"
)

// What a program has registered under a name, for specifications to use. Programs register in their init functions.
var registry struct {
	sync.Mutex
	triggers   map[string]func() window.Trigger
	functions  map[string]Function
	references map[string]Reference
}

// Function is a piece of a plan under a name: it puts operators on a stream. It returns what comes out, and further outputs by name.
type Function func(at Place, in Node, options map[string]string) (out Node, sides map[string]Node, err error)

// RegisterFunction gives a function a name. It panics when the name is taken: a mistake of the program.
func RegisterFunction(name string, f Function) {
	registry.Lock()
	defer registry.Unlock()
	if registry.functions == nil {
		registry.functions = map[string]Function{}
	}
	if registry.functions[name] != nil {
		panic("plan: the function " + name + " is registered twice")
	}
	registry.functions[name] = f
}

// LookupFunction returns the function of that name, nil when there is none.
func LookupFunction(name string) Function {
	registry.Lock()
	defer registry.Unlock()
	return registry.functions[name]
}

// Functions returns the names, sorted.
func Functions() []string {
	registry.Lock()
	defer registry.Unlock()
	return slices.Sorted(maps.Keys(registry.functions))
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
