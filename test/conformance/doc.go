// Package conformance holds other people's WebSocket software against Sluice:
// the Autobahn test suite, the libraries that clients and servers are written
// with, the tests of one of them, a browser, curl, and Socket.IO.
//
// It has tests only. setup.sh brings the software; a test whose software is
// missing says so and skips, or fails where CI=true. The environment rules
// what runs:
//
//	CONFORMANCE=full        every pair, transport and case, not the quick set
//	CONFORMANCE_PROXY=none  no proxy in between: what the peers do by themselves
//	CONFORMANCE_BINARY=PATH a proxy that is built already
//	CONFORMANCE_BUILD=-race flags for building it
//
// Nothing here looks inside the proxy: it is the built binary, and the two
// ends of its sessions judge it.
package conformance
