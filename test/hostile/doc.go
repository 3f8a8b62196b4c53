// Package hostile plays peers that mean harm: clients, instances and sources
// that send what no honest one would, byte for byte.
//
// The tables are data: what is sent, the clause or the known mistake that it is
// about, what comes back, and what must never reach the other side. Each case
// runs over both transports, in every mode whose peer could send it. Beside it
// runs a session that behaves, which must not feel it; afterwards as many
// sessions, descriptors and goroutines are there as before. TestCount keeps the
// tables from shrinking. There is nothing to call.
package hostile
