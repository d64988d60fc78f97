package state

// For tests in package state_test.
var (
	DecodeValue = decodeValue
	AppendValue = appendValue
)
