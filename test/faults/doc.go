// Package faults breaks things around a running proxy and sees that each fault
// costs its own session and nothing else: afterwards there are as many
// descriptors, goroutines and sessions as before.
package faults
