// Package app builds everything from a configuration and runs it: loops,
// instances, listeners, admin.
//
// New builds and listens, Run serves until its context ends and then stops in
// good order. One App is one process's worth; several may run side by side, as
// tests and the demo do.
package app
