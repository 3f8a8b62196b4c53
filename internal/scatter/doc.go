// Package scatter is the mode in which one client's messages go to many
// instances, each to the one that it belongs to, and the answers come back as
// one stream.
//
// A session is a client and its legs, connections to instances that are made
// when a message needs them, with the client's own handshake. The first, home,
// is there before the client is answered. Messages are whole here: they are read
// where they lie, go on as they came, and answers are paired with them by
// package gather. A session belongs to one loop, with all its legs.
//
// Scatter and Route may be used by any goroutine; everything else is a loop's.
package scatter
