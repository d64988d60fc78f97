package expr

import "strconv"

func appendInt(dst []byte, v int64) []byte { return strconv.AppendInt(dst, v, 10) }
