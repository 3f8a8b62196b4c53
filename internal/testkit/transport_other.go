//go:build !linux || streamonly

package testkit

// Transports are those that this build has.
var Transports = []Transport{Stream}
