// Package fanout is the mode that hands the stream of one source to any number
// of clients.
//
// A Route has a stream for each value that it is told apart by. A stream has
// one connection to its source, or one to each of several whose messages are
// merged or arbitrated (package arbiter), and a log of what came: a chain of
// append-only segments that one goroutine writes and all loops read without a
// lock. A subscriber is a cursor in that log. Other forms of the same messages
// (compressed, Server-Sent Events, NDJSON) are logs of their own, written by
// the stream's encoder while somebody reads them.
//
// Join may be called by any goroutine and says where in which log a client
// begins; Ticket.Start hands the connection to a loop, to which it belongs from
// then on. The package does not listen, route or judge handshakes.
package fanout
