//go:build !linux

package faults_test

const childEnv = "SLUICE_FAULTS_ECHO"

func echoForEver() {}
