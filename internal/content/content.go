// Package content reads of a JSON message what a proxy needs of it: whether it
// is one, and the value at a path.
//
// Check holds the message against RFC 8259. Path.Find gives a value of a message
// that Check has passed, Value.Key names it for hashing, Value.ID to pair an
// answer with what was asked. All may be called by many goroutines at once, and
// allocate nothing for messages as they commonly are: the scratch of Check is
// lent from a pool, and a Value lies in the message.
//
// Nothing is built of a message, changed in it or written: what goes on is the
// bytes that came. Hence what Check is stricter in than the RFC: two readers of
// {"id":1,"id":2} see two messages (section 4 leaves it open), and of half a
// surrogate pair two texts (section 8.2). A proxy that goes by the one and sends
// on what is read as the other has been deceived.
//
// Check is our own, after measuring it beside go-json-experiment's jsontext,
// which is as strict: it takes three quarters of the CPU for 200 bytes, a sixth
// for an object of 100,000 names, which cost it no allocation each, and its depth
// can be set. Find is our own because gjson copies what it finds and makes a
// float of each number; paths are gjson's, and a test holds the two together.
package content

import "fmt"

// MaxDepth is how many objects and lists may lie in one another. RFC 8259,
// section 9, leaves the limit to who reads; it bounds the stack of Check.
const MaxDepth = 1000

// Invalid is what is wrong with a message, and with which of its bytes.
type Invalid struct {
	What string
	At   int // bytes before it
}

func (e *Invalid) Error() string { return fmt.Sprintf("byte %d: %s", e.At, e.What) }
