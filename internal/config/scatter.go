package config

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-proxy/sluice/internal/rule"
)

// Scatter is the mode that sends each message to the instance it belongs to,
// and gathers the answers.
type Scatter struct {
	Pool      string // where sessions begin, and where messages go for which send names no other
	Send      Send
	Gather    Gather
	OnInvalid string // default, close or error: text that must be read and is not JSON, or is not read strictly
	OnLost    OnLost
	MaxLegs   int           // connections to instances at a time
	LegIdle   time.Duration // a leg without a message ends after it; 0: never
	Buffer    int64         // bytes that wait for one leg before the client is not read
	Inspect   int64         // bytes of the largest message of a client whose content is read; a larger one goes by OnInvalid
	Compress  bool          // permessage-deflate with clients
	Failover  Failover      // Spread and Codes alone: when all legs are lost
}

// Send says where a message goes.
type Send struct {
	Kind    string            // round_robin, least_load, all, hash, by or rules
	Path    string            // hash, by: JSON path of the key
	Bytes   [2]int            // hash of binary messages: from and to (exclusive); {0, 0}: none
	To      map[string]string // by: a value's pool
	Rules   []Rule            // rules: the first that holds
	Default string            // pool for messages without a key or a rule, and binary ones; "": Pool
	Within  string            // by, rules: round_robin, least_load or all: how an instance of the pool is chosen
}

// Rule sends messages for which When holds to a pool.
type Rule struct {
	When *rule.Rule
	To   string
}

// Gather says how answers come to the client.
type Gather struct {
	Policy      string        // interleave, first or collect
	ID          string        // JSON path of what pairs answers with messages; "": they are not paired (interleave alone)
	Timeout     time.Duration // for the answers to a message with an id; 0: none
	HedgeAfter  time.Duration // first: the second copy is sent so much later; 0: both at once
	Unsolicited string        // pass, home or drop
	Messages    int           // unanswered messages with an id, of one session; then the client is not read
	Bytes       int64         // what is held for them, messages and replies
}

// OnLost says what becomes of a message whose leg is lost before its answer.
type OnLost struct {
	Policy string // error, resend or close
	Error  string // text/template of the answer to a message that has none
}

// Pools names the pools that the route uses, each once: first the one where
// sessions begin.
func (r *Route) Pools() (names []string) {
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if r.Balance != nil {
		add(r.Balance.Pool)
	}
	if s := r.Scatter; s != nil {
		add(s.Pool)
		for _, val := range slices.Sorted(maps.Keys(s.Send.To)) {
			add(s.Send.To[val])
		}
		for _, to := range s.Send.Rules {
			add(to.To)
		}
		add(s.Send.Default)
	}
	return names
}
