// Package loop runs connections on event loops: one goroutine a core that owns
// its connections for their whole life.
//
// Start makes a Group of loops. A connection that another goroutine has (an
// accepted one, for instance) is made Taken by Take and handed over inside a
// Task: Post is the only door into a loop from outside. The task's Run, and
// every method of Handler, Conn and Loop that does not say otherwise, is called
// on the loop's goroutine; there they need no lock and must not block.
// Callbacks never nest: what a handler does to another connection is told to
// that connection's handler afterwards.
//
// Two transports carry a Conn: raw, a descriptor on epoll (Linux), with TLS
// between the loop's buffers where there is any, and stream, any net.Conn with a
// pair of goroutines (other systems, tests). Handlers cannot tell them apart.
//
// It does not know what a frame is, and keeps no message.
package loop
