package bench

import "context"

func footprintChild(context.Context, childRequest) error { return nil }
