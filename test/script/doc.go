// Package script runs the sluice binary as a user does: command lines, what
// they print, and how they end.
//
// It has tests only. Each file in testdata is one script: a txtar archive of
// commands and the files that they need, in the language of
// github.com/rogpeppe/go-internal/testscript. Besides its own commands there
// are:
//
//	status N PROGRAM ARGS…      runs a program that ends with exit status N
//	start NAME PROGRAM ARGS…    starts a program; what it writes is in NAME.out and NAME.err
//	await NAME REGEXP [VAR]     waits for a line that it writes; VAR is what the first group matched
//	signal NAME TERM|INT        sends it a signal
//	ended NAME N                waits for its end, with exit status N
//	values FILE A OP B          compares two values of a JSON file, or one with a number or a text
//	get URL [STATUS]            an HTTP request; the body is in stdout
//
// Programs listen on ports of the system's choice, which await reads from
// their logs. What a script has started is killed when the script ends.
//
//	go test ./test/script -run TestScripts/balance -v    one script, told line by line
//	go test ./test/script -update                        write what cmp compares anew
package script
