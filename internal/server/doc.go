// Package server takes connections in: listeners, the gate in front of them,
// routes, admission, and the way from an HTTP request to a session of a mode.
//
// New makes a Server; Swap gives it its routes, Serve runs a listener, Shutdown
// ends all of it. Everything here may be called by any number of goroutines.
// After a handshake the mode's loop has the connection, and nothing of it is
// left here but a count.
package server
