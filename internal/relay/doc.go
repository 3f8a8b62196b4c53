// Package relay is the mode that gives each client an instance of its own: a
// session of two legs, client and upstream, on one loop.
//
// A Relay is made once. Start hands it a client that asked for an upgrade; from
// there the session's loop does everything: it dials an instance, judges the
// answer, answers the client, relays frames both ways and ends both legs in
// good order. Start, Leave and Cut may be called by any goroutine.
//
// It does not choose instances (package upstream does), look into messages, or
// keep a client whose instance is lost: such a client is closed with a code
// that makes it come back (see lost in leaving.go, which is the place where
// keeping it will begin).
package relay
