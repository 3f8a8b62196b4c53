package config

import (
	"fmt"
	"strconv"
)

// failover writes what becomes of sessions whose instance goes. What is for
// client: keep alone would be an error elsewhere.
func (p *printer) failover(b *Balance) {
	f, m := &b.Failover, &b.Move
	rate := strconv.FormatFloat(m.Rate, 'f', -1, 64)
	always := fmt.Sprintf("client: %s, spread: %v, codes: %s", f.Client, f.Spread, codes(f.Codes))
	if !f.Keep() {
		p.line(3, "failover: {%s}", always)
		p.line(3, "move: {rate: %s, deadline: %v}", rate, m.Deadline)
		return
	}
	p.line(3, "greeting: %d", b.Greeting)
	kept := fmt.Sprintf("state: %s, unproven: %s, timeout: %v, buffer: %s", f.State, f.Unproven, f.Timeout, formatSize(f.Buffer))
	if f.Unproven == "resend" {
		kept += fmt.Sprintf(", hold: %v", f.Hold)
	}
	if f.State == "replay" {
		kept += fmt.Sprintf(", replay: {first: %d, swallow: %d, timeout: %v}", f.Replay.First, f.Replay.Swallow, f.Replay.Timeout)
	}
	p.line(3, "failover: {%s, %s}", always, kept)
	p.line(3, "move: {rate: %s, quiet: %v, deadline: %v, rebalance: %t}", rate, m.Quiet, m.Deadline, m.Rebalance)
}
