// Package handshake judges and builds the opening handshake of RFC 6455,
// section 4, for a proxy that stands between a client and an instance.
//
// Judge holds a client's request against the rules, Offer.AppendRequest writes
// the proxy's own request to the instance, Offer.Accept holds the instance's
// answer against both, and Answer.Append writes what the client gets. Where
// the proxy itself is the server, it fills in an Answer of its own, with the
// extension that Offer.AcceptDeflate gives. All of it works on bytes and maps;
// there is no I/O and nothing is kept, so any number of goroutines may call
// anything here at once.
package handshake
