package cli

import (
	"fmt"

	"github.com/pkg/profile"
)

// startProfile begins the profile of --profile; stop writes it.
func startProfile(kind string) (stop func(), err error) {
	var mode func(*profile.Profile)
	switch kind {
	case "":
		return func() {}, nil
	case "cpu":
		mode = profile.CPUProfile
	case "mem":
		mode = profile.MemProfile
	case "trace":
		mode = profile.TraceProfile
	case "block":
		mode = profile.BlockProfile
	default:
		return nil, misused(fmt.Errorf("--profile %s: expected cpu, mem, trace or block", kind))
	}
	return profile.Start(mode, profile.ProfilePath("."), profile.NoShutdownHook).Stop, nil
}
