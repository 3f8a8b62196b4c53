// Package config turns Sluice's YAML file into plain, validated structs.
//
// Parse and Load give a Config in which every default is filled in, or an
// Errors whose members each name file, line, column and key. A Config is
// read-only once made and may be shared by any number of goroutines. The
// package opens no sockets and resolves no names.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"
)

// Config is one whole configuration, validated, defaults filled in.
type Config struct {
	Listen         []Listener
	Admin          Admin
	Log            Log
	Limits         Limits
	Drain          time.Duration // how long a stop may take; closes are spread over it
	TrustedProxies []netip.Prefix
	Pools          map[string]*Pool // named pools, and one per route with upstreams in place
	Routes         []*Route         // first match wins
}

// Listener is one address that clients connect to.
type Listener struct {
	Address       string // host:port, or unix:PATH
	TLS           *TLSFiles
	ProxyProtocol *ProxyProtocol
}

// TLSFiles names a certificate chain and its key, PEM.
type TLSFiles struct{ Cert, Key string }

// ProxyProtocol says which peers must begin with a PROXY header.
type ProxyProtocol struct{ Trusted []netip.Prefix }

// Admin is the listener for metrics, health, API and pprof.
type Admin struct {
	Address string // "" is off
	Token   string
}

// Log says what is logged and how.
type Log struct {
	Level    slog.Level
	Format   string // text or json
	Sessions string // both, close or none
}

// Limits bound the process. Zero is off, save for Sessions.
type Limits struct {
	Sessions            int // 0: (RLIMIT_NOFILE - 512) / 2
	SessionsPerIP       int
	HandshakesPending   int
	HandshakesPerSecond int
}

// Pool is a set of interchangeable upstreams.
type Pool struct {
	Name            string // of an in-place pool: its route's name
	InPlace         bool   // declared by the one route that uses it
	Upstreams       []*Upstream
	Resolve         time.Duration
	SourceAddresses []netip.Addr
	Health          Health
}

// Upstream is one URL of a pool; each address its host resolves to is an
// instance.
type Upstream struct {
	URL           *url.URL // ws, wss, or ws+unix with the socket's path in URL.Path
	Weight        int
	MaxSessions   int    // 0: no cap
	MaxHandshakes int    // under way at a time; 0: no cap
	Host          string // Host header; "" is the client's for ws, the URL's for wss
	Name          string // of a source among several that are all connected; "" elsewhere
	TLS           UpstreamTLS
}

// UpstreamTLS adjusts how a wss instance is verified.
type UpstreamTLS struct {
	CA         string // PEM file of roots; "" is the system's
	ServerName string
	Insecure   bool // accept any certificate
}

// Health is how instances are probed, and judged.
type Health struct {
	Probe             string // tcp, handshake or none
	Path              string // for handshake
	Interval, Timeout time.Duration
	Rise, Fall        int
	Outliers          bool // eject those whose traffic fails
}

// Route says which requests it takes and what happens to them.
type Route struct {
	Name        string
	Match       Match
	StripPrefix string
	Headers     Headers
	Origins     []string // nil: the instance judges
	Timeouts    Timeouts
	Limits      RouteLimits
	Balance     *Balance // or
	Fanout      *Fanout  // or
	Scatter     *Scatter
}

// Match is what a request must have. Empty fields match anything.
type Match struct {
	Host    string // without port, lower case
	Path    string // a prefix by segments, or with Exact the whole path
	Exact   bool
	Headers map[string]string // canonical name, exact value
}

// Headers are changes to the request that instances see.
type Headers struct {
	Set    map[string]string
	Remove []string
}

// Timeouts of a route. Zero is off.
type Timeouts struct {
	Handshake time.Duration // the instance's whole answer
	Dial      time.Duration // a connection to an instance
	Idle      time.Duration // no message either way
	Ping      time.Duration // between our pings
	Pong      time.Duration // from a ping to any byte
	Write     time.Duration // output that makes no progress
	Frame     time.Duration // a header; payload at 512 B/s at least
	Close     time.Duration // the peer's part of a closing handshake
	Age       time.Duration // a session's longest life
}

// RouteLimits bound what a session may send. Zero is off.
type RouteLimits struct {
	MessageSizeClient   int64 // bytes on the wire
	MessageSizeUpstream int64
	MessageRate         float64 // client messages a second
	MessageBurst        int
	MessageOver         string // wait or close
	PingsPerSecond      int
}

// Balance is the mode that gives each session an instance of its own.
type Balance struct {
	Pool         string
	Policy       Policy
	StickyCookie string // "" is off
	Greeting     int    // messages that an instance sends unasked; keep: they are not shown again
	Failover     Failover
	Move         Move
}

// Policy names how an instance is chosen.
type Policy struct {
	Kind string // round_robin, random, least_sessions, least_load or hash
	Hash HashKey
}

// HashKey is where the key of policy hash comes from.
type HashKey struct {
	From string // header, query, cookie or ip
	Name string
}

// Failover says what becomes of a client whose instance is lost. What is
// behind Codes is for client: keep.
type Failover struct {
	Client   string        // close or keep
	Spread   time.Duration // closes of one loss are spread over it
	Codes    []uint16      // an instance's close codes that count as a loss
	State    string        // none or replay: what another instance must know of the session
	Unproven string        // close, resend or drop: what becomes of messages that the lost instance may not have read
	Hold     time.Duration // resend: what was proven read less than that ago is sent again too
	Timeout  time.Duration // from the loss until another instance has the session
	Buffer   int64         // bytes that are held of a direction; a longer message streams
	Replay   Replay
}

// Keep tells whether the client outlives its instance.
func (f *Failover) Keep() bool { return f.Client == "keep" }

// Replay is how a session is made known to another instance.
type Replay struct {
	First   int           // so many of the client's first messages are sent again
	Swallow int           // so many answers to them are not shown again
	Timeout time.Duration // for these answers
}

// Move says how sessions leave an instance that is there: one that is drained,
// or has more than its share.
type Move struct {
	Rate      float64       // sessions a second; 0: no bound
	Quiet     time.Duration // keep: both ends are silent so long before a session moves
	Deadline  time.Duration // of a drain; 0: none
	Rebalance bool          // keep: sessions move to instances that join or come back
}

// Fanout is the mode that hands one source's stream to any number of clients.
type Fanout struct {
	Source         []*Upstream // their Weight and caps say nothing
	Arbitration    string      // standby: tried in turn; merge: all at once, different; first: all at once, redundant
	Wrap           string      // merge: text/template around each message; "" is the message as it came
	Dedupe         Dedupe
	Subprotocols   []string // offered to the source, the most wanted first
	SourceCompress bool     // offer permessage-deflate to the source
	Subscribe      []string // text messages sent after every connect
	Keepalive      Keepalive
	RelayCodes     []uint16 // close codes of the source that clients are told; others mean that it is lost
	StreamBy       StreamBy
	Streams        int           // most at a time
	Linger         time.Duration // how long a stream outlives its last client
	Greeting       int           // messages that the source begins with, kept for each joiner
	Backlog        int           // messages of the past that a joiner gets
	History        History
	OnGone         string        // live, oldest or refuse: where a client goes whose offset is gone
	FlushInterval  time.Duration // messages are collected so long; 0: sent at once
	Slow           Slow
	Compress       bool // permessage-deflate towards clients, once a message
	ClientMessages ClientMessages
	Answers        []Answer
	StaleAfter     time.Duration // without a message the stream is called stale; 0: never
	StaleNotice    string        // text/template of the message that clients get then; "" is none
}

// Dedupe says how messages of redundant sources are known to be the same.
type Dedupe struct {
	Key    string        // JSON path; "" or where it leads to nothing: the whole message
	Window time.Duration // how long a key is remembered, and a number before a gap held
	Bytes  int64         // most that is held of a stream
}

// StreamBy says what of a request chooses its stream. With neither all clients
// share one.
type StreamBy struct {
	Path  bool     // the path, behind strip_prefix, goes on to the source
	Query []string // these parameters do
}

// Keepalive is a text message for sources that want one now and then.
type Keepalive struct {
	Every time.Duration // 0: off
	Send  string
}

// History bounds what a stream keeps for those who join or come back.
type History struct {
	Messages int           // 0: none is kept
	Bytes    int64         // 0: none is kept
	Age      time.Duration // 0: no bound
}

// Slow says when a client is too slow and what becomes of it.
type Slow struct {
	Policy string // close, latest or skip
	After  Lag
	Key    string // latest: JSON path of what a message is about
	Notice string // latest and skip: text/template of the message that tells of the loss; "" is none
}

// Lag is how far behind a client may be. Zero is off.
type Lag struct {
	Bytes    int64 // never 0: it bounds memory
	Messages int
	Age      time.Duration
}

// ClientMessages says what becomes of what clients send.
type ClientMessages struct {
	Policy   string // drop, forward or reject
	Template string // forward: text/template that wraps each message; "" is the message as it came
}

// Answer is a text message of clients that Sluice answers itself.
type Answer struct{ Match, Send string }
