// Package compress writes and reads compressed streams whose frames can be closed at a barrier.
//
// A file that stays open over a checkpoint must be cut back to the checkpoint after a crash and continued there. None of the
// stream formats allows that in the middle of a frame, but all of them read frames that follow one another as one stream:
// gzip members, zstd frames, snappy framed streams, lz4 frames. Writer.EndFrame closes the frame, so that everything before
// it is a complete stream of its own.
//
// Imports: the standard library, klauspost/compress, pierrec/lz4.
//
// Invariants:
//  1. After EndFrame returns nil every byte written so far is in the underlying writer, and what is there is decodable by
//     itself and remains so when any other output of a Writer of the same codec is appended.
//  2. EndFrame with nothing written since the last one adds no bytes.
//  3. A reader returns io.EOF only at the end of a complete frame (or of an empty input); input that ends inside of a frame is
//     io.ErrUnexpectedEOF. Snappy's framing has no end mark, so there the rule holds for chunks of 64 KiB.
//  4. Between frames a Writer holds no encoder: many open files cost memory only for those being written to.
package compress
