// Package ws is the WebSocket protocol of RFC 6455 as bytes: frame headers,
// an incremental parser, masking, close codes; and the compression of RFC 7692.
//
// A Parser is fed the bytes of one direction of one connection and says what
// stands next in them; it copies nothing and allocates nothing. The Append
// functions build frames. A Deflater and an Inflater work on the payloads of
// whole messages. Nothing here reads, writes, waits or keeps a clock, and no
// value may be used by two goroutines at once.
//
// It does not assemble messages, inflate them unasked, or check text for UTF-8:
// a proxy that forwards frames as they came leaves that to the ends.
package ws
