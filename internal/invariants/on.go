//go:build invariants

package invariants

// Enabled says whether the binary was built with the tag `invariants`.
const Enabled = true
