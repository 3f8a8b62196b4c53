// Package wire holds the rules of the wire (docs: design, section 6) against a
// running proxy: each case writes the bytes themselves, on both sides, over
// both transports.
package wire
