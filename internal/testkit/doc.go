// Package testkit runs a whole Sluice in a test, between a client and instances
// that the test itself plays, byte for byte.
//
// Start runs an App; Listen makes an instance; Dial and Accept give Peers, which
// the test drives in the order of a conversation. Every wait has a deadline, and
// every expectation is a sentence that is printed when it fails. Parts belong to
// the goroutine of the test that made them. It is for tests alone.
package testkit

import "time"

// patience bounds every wait. It is long because it is only ever spent on a
// failure.
const patience = 30 * time.Second
