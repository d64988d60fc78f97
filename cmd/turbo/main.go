// Command turbo runs stream and batch jobs. See docs/reference/cli.md.
package main

import "turbo/cli"

func main() { cli.Main() }
