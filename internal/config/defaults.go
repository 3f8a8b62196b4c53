package config

import (
	"log/slog"
	"time"
)

const (
	defaultListen = "localhost:8080"
	defaultAdmin  = "localhost:9090"
)

// defaults is everything but routes and pools.
func defaults() *Config {
	return &Config{
		Admin:  Admin{Address: defaultAdmin},
		Log:    Log{Level: slog.LevelInfo, Format: "text", Sessions: "close"},
		Limits: Limits{HandshakesPending: 256},
		Drain:  10 * time.Second,
		Pools:  map[string]*Pool{},
	}
}

func defaultPool() *Pool {
	return &Pool{
		Resolve: 5 * time.Second,
		Health: Health{
			Probe:    "tcp",
			Interval: 5 * time.Second,
			Timeout:  2 * time.Second,
			Rise:     2,
			Fall:     3,
			Outliers: true,
		},
	}
}

func defaultUpstream() *Upstream { return &Upstream{Weight: 1, MaxHandshakes: 64} }

func defaultRoute() *Route {
	return &Route{
		Match: Match{Path: "/"},
		Timeouts: Timeouts{
			Handshake: 10 * time.Second,
			Dial:      5 * time.Second,
			Ping:      20 * time.Second,
			Pong:      10 * time.Second,
			Write:     30 * time.Second,
			Frame:     10 * time.Second,
			Close:     5 * time.Second,
		},
		Limits: RouteLimits{
			MessageSizeClient: 16 << 20,
			MessageOver:       "wait",
			PingsPerSecond:    20,
		},
	}
}

func defaultFanout() *Fanout {
	return &Fanout{
		Arbitration:    "standby",
		Dedupe:         Dedupe{Window: 10 * time.Second, Bytes: 8 << 20},
		SourceCompress: true,
		Streams:        100,
		Linger:         30 * time.Second,
		History:        History{Messages: 10_000, Bytes: 8 << 20, Age: 10 * time.Minute},
		OnGone:         "live",
		Slow:           Slow{Policy: "close", After: Lag{Bytes: 4 << 20}},
		Compress:       true,
		ClientMessages: ClientMessages{Policy: "drop"},
	}
}

// defaultLost answers a message in the place of the instance that is lost.
const defaultLost = `{"id":{{.ID}},"error":{{json .Reason}}}`

// defaultScatter has no OnLost.Policy: that depends on Gather.ID.
func defaultScatter() *Scatter {
	return &Scatter{
		Send:      Send{Kind: "least_load"},
		Gather:    Gather{Policy: "interleave", Timeout: 2 * time.Second, Unsolicited: "pass", Messages: 1024, Bytes: 4 << 20},
		OnInvalid: "default",
		OnLost:    OnLost{Error: defaultLost},
		MaxLegs:   16,
		LegIdle:   -1, // see check
		Buffer:    256 << 10,
		Inspect:   1 << 20,
		Compress:  true,
		Failover:  Failover{Client: "close", Spread: 2 * time.Second, Codes: []uint16{1001, 1011, 1012, 1013}},
	}
}

func defaultBalance() *Balance {
	return &Balance{
		Policy: Policy{Kind: "least_load"},
		Failover: Failover{
			Client: "close",
			Spread: 2 * time.Second,
			Codes:  []uint16{1001, 1012},

			Unproven: "close",
			Hold:     time.Second,
			Timeout:  10 * time.Second,
			Buffer:   64 << 10,
			Replay:   Replay{Timeout: 2 * time.Second},
		},
		Move: Move{Rate: 20, Quiet: 250 * time.Millisecond, Deadline: time.Minute},
	}
}
