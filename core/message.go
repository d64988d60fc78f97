package core

// MessageKind says what a Message carries.
type MessageKind uint8

// The kinds of messages that travel in-band between tasks. See DESIGN: control travels in the same rings as data.
const (
	NoMessage        MessageKind = iota
	DataMessage                  // Batch
	WatermarkMessage             // Time: no row with an earlier or equal time follows, late ones apart
	IdleMessage                  // the channel does not hold back the watermark until it is active again
	ActiveMessage                // the channel counts again
	BarrierMessage               // Checkpoint, Final
	EndMessage                   // no more rows and watermarks on this channel; barriers still come
)

// Message is what a ring carries. It is a value of a few words, so that rings hold it in place.
type Message struct {
	Kind  MessageKind
	Flags MessageFlags
	// Time is the watermark of a WatermarkMessage, and of a DataMessage that is Riding.
	Time Time
	// Checkpoint is the id of a BarrierMessage.
	Checkpoint uint64
	// Batch belongs to the message, and to whoever takes the message from the ring.
	Batch *Batch
}

// MessageFlags qualify a message.
type MessageFlags uint8

const (
	// FinalBarrier is the last barrier of a task's life: after it, the task closes.
	FinalBarrier MessageFlags = 1 << iota
	// Riding is a watermark that makes nobody hurry. It flushes no open batch: an exchange keeps it until the rows before it go, and sends it on
	// their batch (a DataMessage with this flag: the watermark comes behind the rows). It may be dropped, for it is told again by one that flushes.
	Riding
)
