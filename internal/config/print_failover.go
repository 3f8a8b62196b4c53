package config

import (
	"fmt"
	"strconv"
)

// failover writes what becomes of sessions whose instance goes.
func (p *printer) failover(b *Balance) {
	f, m := &b.Failover, &b.Move
	state := ""
	if f.State != "" {
		state = " state: " + f.State + ","
	}
	p.line(3, "greeting: %d", b.Greeting)
	p.line(3, "failover: {client: %s, spread: %v, codes: %s, timeout: %v, buffer: %s,%s unproven: %s, hold: %v, replay: %s}",
		f.Client, f.Spread, codes(f.Codes), f.Timeout, formatSize(f.Buffer), state, f.Unproven, f.Hold, f.Replay.yaml())
	p.line(3, "move: {rate: %s, quiet: %v, deadline: %v, rebalance: %t}",
		strconv.FormatFloat(m.Rate, 'f', -1, 64), m.Quiet, m.Deadline, m.Rebalance)
}

func (r Replay) yaml() string {
	return fmt.Sprintf("{first: %d, swallow: %d, timeout: %v}", r.First, r.Swallow, r.Timeout)
}
