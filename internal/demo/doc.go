// Package demo shows Sluice's main jobs in one process: a market feed that any
// number of clients listen to, three WebSocket servers that share sessions,
// Sluice in front of them all, and a page that uses both through it. A second
// page shows what becomes of sessions whose instance is killed or replaced,
// behind Sluice and behind httputil.ReverseProxy. A third asks three instances
// for prices at once, of which one is slow and one dies all the time.
//
// Run does all of it and returns when its context ends. It may be called once
// at a time.
package demo
