// Package upstream keeps the instances that sessions go to: which there are,
// how they are, and which is next.
//
// A Set holds every instance once, by its address, however many pools name it;
// a Pool is the part of a Set that one list of upstreams resolves to; a
// Balancer chooses from a pool by a policy. Set.Run resolves, probes and
// measures until its context ends. All of it may be used by any number of
// goroutines; choosing takes one short lock and does no I/O.
package upstream
