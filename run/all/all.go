// Package all links every connector and format: import it for effect.
package all

import (
	_ "turbo/io/blackhole" // registers itself, like all of these
	_ "turbo/io/file"
	_ "turbo/io/format"
	_ "turbo/io/generator"
	_ "turbo/io/kafka"
	_ "turbo/io/print"
	_ "turbo/io/replay"
)
