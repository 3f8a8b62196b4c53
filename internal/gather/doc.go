// Package gather pairs answers with the messages that they answer, where one
// client's messages go to many instances: who was asked what, whose answer goes
// on, what is answered in an instance's place, and what comes too late.
//
// A Book is plain state: it is told what was asked, what came, what was lost and
// what time it is, and says what follows. It does no I/O, knows no JSON but what
// it writes of collected answers, and belongs to one goroutine.
package gather
