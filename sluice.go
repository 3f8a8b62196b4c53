// Package sluice puts Sluice into a Go program's own http.Server: Fanout hands
// the stream of one WebSocket source to any number of clients, Balance spreads
// WebSocket sessions over instances of a server, Scatter sends each message of a
// session to the instance that it belongs to, and gathers the answers.
//
//	http.Handle("/feed", sluice.Fanout(sluice.FanoutConfig{Source: []string{"wss://feed.example.com/"}}))
//	http.Handle("/chat", sluice.Balance(sluice.BalanceConfig{Upstreams: []string{"ws://10.0.0.1:9000", "ws://10.0.0.2:9000"}}))
//	http.Handle("/work", sluice.Scatter(sluice.ScatterConfig{Upstreams: []string{"ws://10.0.0.1:9000", "ws://10.0.0.2:9000"}, Send: "hash:symbol"}))
//
// A Handler may be used by any number of goroutines; close it with Close when
// the server is shut down. What has no field here is said in YAML, as in a
// configuration file: docs/configuration.md.
//
// WebSockets need HTTP/1.1, which an http.Server that speaks HTTP/2 falls back
// to by itself; Server-Sent Events and NDJSON work over both. A Handler has an
// event loop for each core, and sees to it that GOMAXPROCS is larger than their
// number. Connections that the server carries over TLS cost more memory than
// those of the sluice command, which drives TLS from its loops. There are no
// metrics and no health here: those are the command's.
package sluice

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-proxy/sluice/internal/app"
	"github.com/sluice-proxy/sluice/internal/config"
)

// FanoutConfig says what a Fanout does. The zero value of a field means the
// default that docs/configuration.md states.
type FanoutConfig struct {
	Source         []string          // ws:// or wss:// URLs, tried in turn
	Header         map[string]string // towards the source
	Subscribe      []string          // text messages sent to the source after every connect
	StreamByPath   bool              // the request's path goes on to the source and chooses the stream
	StreamByQuery  []string          // these parameters do
	Backlog        int               // messages of the past that a client begins with
	Greeting       int               // messages that the source begins with and each client gets first
	FlushInterval  time.Duration     // messages are collected so long before they are sent
	Slow           string            // close or skip (without a notice): what becomes of a client that can't follow
	ClientMessages string            // drop, forward or reject
	Origins        []string          // of browsers' pages; nil: the same host
	YAML           string            // more keys of the configuration's fanout, as "linger: 5s"
	Route          string            // more keys of its route, as "timeouts: {ping: 10s}"
	Logger         *slog.Logger      // nil: slog.Default()
}

// BalanceConfig says what a Balance does. The zero value of a field means the
// default that docs/configuration.md states.
type BalanceConfig struct {
	Upstreams    []string // ws:// or wss:// URLs; a name stands for all its addresses
	Policy       string   // least_load, least_sessions, round_robin, random; others in YAML
	StickyCookie string
	Origins      []string     // of browsers' pages; nil: the instance judges
	YAML         string       // more keys of the configuration's balance, as "policy: {hash: ip}"
	Route        string       // more keys of its route, as "limits: {messages: {rate: 10}}"
	Logger       *slog.Logger // nil: slog.Default()
}

// ScatterConfig says what a Scatter does. The zero value of a field means the
// default that docs/configuration.md states.
type ScatterConfig struct {
	Upstreams  []string            // ws:// or wss:// URLs; a name stands for all its addresses
	Pools      map[string][]string // others, by the names that YAML's send has for them
	Send       string              // least_load, round_robin, all, or hash:PATH, PATH being the JSON path of a message's key; others in YAML
	Gather     string              // interleave, first or collect
	ID         string              // the JSON path of what pairs answers with messages
	Timeout    time.Duration       // for the answers to a message with an id; negative: none
	HedgeAfter time.Duration       // first: a second instance is asked so much later
	Origins    []string            // of browsers' pages; nil: the instance judges
	YAML       string              // more keys of the configuration's scatter, as "on_lost: resend"
	Route      string              // more keys of its route, as "limits: {messages: {rate: 10}}"
	Logger     *slog.Logger        // nil: slog.Default()
}

// Handler serves WebSocket clients, and others where its mode does.
type Handler struct {
	app    *app.App
	stop   context.CancelFunc
	ended  chan struct{}
	runErr error // set before ended is closed
}

// Fanout makes a Handler that hands its source's stream to every client. It
// panics where cfg makes no sense; NewFanout gives an error.
func Fanout(cfg FanoutConfig) *Handler { return must(NewFanout(cfg)) }

// Balance makes a Handler that spreads sessions over instances. It panics where
// cfg makes no sense; NewBalance gives an error.
func Balance(cfg BalanceConfig) *Handler { return must(NewBalance(cfg)) }

// Scatter makes a Handler that sends each message to the instance it belongs to.
// It panics where cfg makes no sense; NewScatter gives an error.
func Scatter(cfg ScatterConfig) *Handler { return must(NewScatter(cfg)) }

func must(h *Handler, err error) *Handler {
	if err != nil {
		panic("sluice: " + err.Error())
	}
	return h
}

// NewFanout is like Fanout, for a configuration that is not the program's own.
func NewFanout(cfg FanoutConfig) (*Handler, error) {
	if len(cfg.Source) == 0 && cfg.YAML == "" {
		return nil, errors.New("FanoutConfig.Source is needed")
	}
	m := block{}
	m.add("source", cfg.Source, len(cfg.Source) > 0)
	m.add("subscribe", cfg.Subscribe, len(cfg.Subscribe) > 0)
	m.add("stream_by", map[string]any{"path": cfg.StreamByPath, "query": append([]string{}, cfg.StreamByQuery...)},
		cfg.StreamByPath || len(cfg.StreamByQuery) > 0)
	m.add("backlog", cfg.Backlog, cfg.Backlog != 0)
	m.add("greeting", cfg.Greeting, cfg.Greeting != 0)
	m.add("flush_interval", cfg.FlushInterval.String(), cfg.FlushInterval != 0)
	m.add("slow", map[string]string{"policy": cfg.Slow, "notice": "none"}, cfg.Slow != "")
	m.add("client_messages", cfg.ClientMessages, cfg.ClientMessages != "")
	r := block{}
	r.add("headers", map[string]any{"set": cfg.Header}, len(cfg.Header) > 0)
	r.add("origins", cfg.Origins, cfg.Origins != nil)
	return start("fanout", nil, m, cfg.YAML, r, cfg.Route, cfg.Logger)
}

// NewBalance is like Balance, for a configuration that is not the program's
// own. Names are looked up before it returns.
func NewBalance(cfg BalanceConfig) (*Handler, error) {
	if len(cfg.Upstreams) == 0 && cfg.YAML == "" {
		return nil, errors.New("BalanceConfig.Upstreams are needed")
	}
	m := block{}
	m.add("upstreams", cfg.Upstreams, len(cfg.Upstreams) > 0)
	m.add("policy", cfg.Policy, cfg.Policy != "")
	m.add("sticky", map[string]string{"cookie": cfg.StickyCookie}, cfg.StickyCookie != "")
	r := block{}
	r.add("origins", cfg.Origins, cfg.Origins != nil)
	return start("balance", nil, m, cfg.YAML, r, cfg.Route, cfg.Logger)
}

// NewScatter is like Scatter, for a configuration that is not the program's own.
// Names are looked up before it returns.
func NewScatter(cfg ScatterConfig) (*Handler, error) {
	if len(cfg.Upstreams) == 0 && cfg.YAML == "" {
		return nil, errors.New("ScatterConfig.Upstreams are needed")
	}
	top := block{}
	pools := map[string]any{}
	for name, urls := range cfg.Pools {
		pools[name] = map[string]any{"upstreams": urls}
	}
	top.add("pools", pools, len(pools) > 0)
	m := block{}
	m.add("upstreams", cfg.Upstreams, len(cfg.Upstreams) > 0)
	if path, hashed := strings.CutPrefix(cfg.Send, "hash:"); hashed {
		m.add("send", map[string]string{"hash": path}, true)
	} else {
		m.add("send", cfg.Send, cfg.Send != "")
	}
	g := map[string]any{}
	for name, value := range map[string]string{"policy": cfg.Gather, "id": cfg.ID} {
		if value != "" {
			g[name] = value
		}
	}
	for name, d := range map[string]time.Duration{"timeout": cfg.Timeout, "hedge_after": cfg.HedgeAfter} {
		if d != 0 {
			g[name] = max(d, 0).String()
		}
	}
	m.add("gather", g, len(g) > 0)
	r := block{}
	r.add("origins", cfg.Origins, cfg.Origins != nil)
	return start("scatter", top, m, cfg.YAML, r, cfg.Route, cfg.Logger)
}

// block is lines of YAML, a key each.
type block []string

// add says a key, if it is given. JSON is YAML.
func (b *block) add(key string, value any, given bool) {
	if given {
		text, _ := json.Marshal(value) // strings, numbers and maps of them
		*b = append(*b, key+": "+string(text))
	}
}

// write appends the lines, and more of them that somebody else wrote.
func (b block) write(to *strings.Builder, indent, more string) {
	for _, line := range b {
		to.WriteString(indent + line + "\n")
	}
	for line := range strings.Lines(more) {
		to.WriteString(indent + strings.TrimRight(line, "\r\n") + "\n")
	}
}

// start runs an App of one route for every request.
func start(mode string, top, m block, yaml string, r block, route string, log *slog.Logger) (*Handler, error) {
	var text strings.Builder
	text.WriteString("admin: \"off\"\ndrain: 2s\n")
	top.write(&text, "", "")
	text.WriteString("routes:\n  - match: {path: /}\n")
	r.write(&text, "    ", route)
	text.WriteString("    " + mode + ":\n")
	m.write(&text, "      ", yaml)
	cfg, err := config.Parse(mode, []byte(text.String()), func(string) (string, bool) { return "", false })
	if err != nil {
		return nil, err
	}
	cfg.Listen = nil
	if log == nil {
		log = slog.Default()
	}
	a, err := app.New(context.Background(), cfg, app.Options{Logger: log.Handler(), Embedded: true})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	h := &Handler{app: a, stop: stop, ended: make(chan struct{})}
	go h.run(ctx)
	return h, nil
}

func (h *Handler) run(ctx context.Context) {
	defer close(h.ended)
	h.runErr = h.app.Run(ctx)
}

// ServeHTTP takes a client in. Once Close was called it answers 503.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.app.Handler().ServeHTTP(w, r) }

// Close ends all sessions with close code 1001, spread over two seconds
// so that clients don't all come back at once, and the connections behind them.
// When ctx ends first, what is left is cut and ctx's error given. Close may be
// called more than once.
//
// http.Server.Shutdown does not know of WebSockets: call both.
func (h *Handler) Close(ctx context.Context) error {
	h.stop()
	select {
	case <-h.ended:
		return h.runErr
	case <-ctx.Done():
		h.app.Hurry()
		<-h.ended
		return ctx.Err()
	}
}
