//go:build !linux || streamonly

package faults_test

// streamOnly tells that the raw transport is not built.
const streamOnly = true
