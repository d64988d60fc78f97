package state

import (
	"fmt"
	"testing"

	"turbo/core"
	"turbo/memory"
)

// TestResetAfterDiscard drops a table's rows page by page: most of the memory goes back as pages empty, and what is left of it with the last row. Then
// it fills and empties the table again: the account must come out even.
func TestResetAfterDiscard(t *testing.T) {
	pool := memory.NewPool(0)
	values := make([]core.Field, 125) // a row is 128 words, a page 64 KiB
	for i := range values {
		values[i] = core.Field{Name: fmt.Sprint(i), Type: core.Of(core.Int64)}
	}
	table, err := New(Options{Operator: "op", Table: "t", Values: values, Account: pool.Account("op"), KeyGroups: 2, To: 2, Bag: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		slots := make([]uint32, 2)
		if _, err := table.Insert([]int32{0, 1}, 2, slots); err != nil {
			t.Fatal(err)
		}
		if need := int64(2 * 64 << 10); table.rows.reserved < need {
			t.Fatalf("%d bytes are reserved for rows of %d", table.rows.reserved, need)
		}
		for _, s := range slots {
			if err := table.Drop([]uint32{s}); err != nil {
				t.Fatal(err)
			}
		}
	}
	table.Close()
	if err := pool.CheckZero(); err != nil {
		t.Error(err)
	}
}
