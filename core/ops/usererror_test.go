package ops

import (
	"errors"
	"testing"
)

// TestUserErrorNamesTheFunctionOnce: also where one call is within another, and where the operator's identifier begins with it.
func TestUserErrorNamesTheFunctionOnce(t *testing.T) {
	inner := &UserError{Operator: "totals", Call: "function", Err: errors.New("no")}
	if err := (UserError{Operator: "totals/window", Call: "window function", Row: "{}"}).AsError(inner, nil); err.Error() != "totals: window function of {}: no" {
		t.Errorf("a call within a call: %v", err)
	}
	for want, e := range map[string]UserError{
		`totals/process: Process of {"n":1}: no`:     {Operator: "totals/process", Function: "totals", Call: "Process", Row: `{"n":1}`, Err: errors.New("no")},
		`totals/process: tot.Process of {"n":1}: no`: {Operator: "totals/process", Function: "tot", Call: "Process", Row: `{"n":1}`, Err: errors.New("no")},
		"totals/process: Open: no":                   {Operator: "totals/process", Call: "Open", Err: errors.New("no")},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
