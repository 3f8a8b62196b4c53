// Package bench measures WebSocket servers and proxies: load generators, and
// the stamped servers that they need behind a proxy.
//
// Echo, Churn, Fanout, Idle and Handshake run one measurement and give its
// Result, in which what was expected and what came are reconciled. EchoServer and Source are
// servers. All of them run on the loop engine, so that they cost less than what
// they measure. Each may be used by one goroutine at a time; several
// measurements may run side by side.
package bench
