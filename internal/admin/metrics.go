package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/fanout"
	"github.com/sluice-proxy/sluice/internal/health"
	"github.com/sluice-proxy/sluice/internal/loop"
	"github.com/sluice-proxy/sluice/internal/upstream"
)

// Source is what the admin listener reports on. Its methods are called by any
// goroutine.
type Source interface {
	Routes() []Route
	Pools() []*upstream.Pool
	Draining() bool
	Started() time.Time
	LogDrops() uint64
	// Loaded tells how many configurations there were, and since when the
	// present one holds.
	Loaded() (generation int, at time.Time)
	// ReloadFile reads the configuration again; by is who asks.
	ReloadFile(ctx context.Context, by string) (config.Changes, error)
	// Drain and Undrain give the sessions of the instance of that name.
	Drain(name string) (sessions int, err error)
	Undrain(name string) (sessions int, err error)
}

// Route is a route as it is shown.
type Route struct {
	Name     string
	Counters *loop.Counters
	Fanout   *fanout.Route // nil for other modes
}

// Metrics counts what is rare and gathers, at a scrape, what loops count by
// themselves.
type Metrics struct {
	source     Source
	registry   *prometheus.Registry
	handshakes *prometheus.CounterVec
	seconds    prometheus.Histogram
	closes     *prometheus.CounterVec
	dialErrors *prometheus.CounterVec
	failovers  *prometheus.CounterVec
	moves      *prometheus.CounterVec
	unproven   *prometheus.CounterVec
	scattered  *prometheus.CounterVec
	lost       *prometheus.CounterVec
	sources    *prometheus.CounterVec
	delivery   prometheus.Histogram
	reloads    *prometheus.CounterVec
	reloaded   prometheus.Gauge
}

// NewMetrics makes the metrics; SetSource tells what they gather from.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_handshakes_total",
			Help: "Handshakes by how they ended: 101, refused (by the instance), a status of ours, or why no instance answered."}, []string{"route", "result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_handshake_seconds",
			Help:    "From a client's request to the answer that it got.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_closes_total",
			Help: "Sessions ended, by the side that ended them and the close code."}, []string{"route", "side", "code"}),
		dialErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_dial_errors_total",
			Help: "Instances that could not be reached, by reason; ephemeral_ports: every source port is in use."}, []string{"reason"}),
	}
	m.failovers = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_failovers_total",
		Help: "Sessions that lost their instance, by reason and by what came of it: kept, closed, or no_instance, timeout or refused where the client was to be kept."}, []string{"route", "reason", "result"})
	m.moves = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_moves_total",
		Help: "Sessions that went over to another instance while theirs was there, by reason."}, []string{"route", "reason"})
	m.unproven = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_failover_messages_total",
		Help: "Messages of clients that a lost instance may not have read, by what became of them: resent or dropped."}, []string{"route", "result"})
	for _, reason := range []string{upstream.ReasonEphemeralPorts, upstream.ReasonRefused, upstream.ReasonTimeout, upstream.ReasonReset} {
		m.dialErrors.WithLabelValues(reason)
	}
	m.lost = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_fanout_lost_total",
		Help: "Messages that a client did not get, or that never came from the source, by reason."}, []string{"route", "reason"})
	m.sources = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_fanout_source_losses_total",
		Help: "Connections to a source that have ended, by reason."}, []string{"route", "reason"})
	m.delivery = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sluice_fanout_delivery_seconds",
		Help:    "From a message's arrival to its last write to a loop's subscribers, those apart whose sockets were full.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}})
	m.scattered = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_scatter_events_total",
		Help: "Messages of the scatter mode to which something out of the ordinary happened, by event."}, []string{"route", "event"})
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sluice_config_reloads_total",
		Help: "Times that the configuration was read again, by result: ok or failed."}, []string{"result"})
	m.reloaded = prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_config_last_reload_successful",
		Help: "0 when the configuration was last found invalid, so that an older one holds; else 1."})
	m.reloads.WithLabelValues("ok")
	m.reloads.WithLabelValues("failed")
	m.reloaded.Set(1)
	m.registry.MustRegister(m.reloads, m.reloaded, m.handshakes, m.seconds, m.closes, m.dialErrors, m.failovers, m.moves, m.unproven, m.scattered, m.lost, m.sources, m.delivery,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// SetSource has the metrics gather from s too. It is called once.
func (m *Metrics) SetSource(s Source) {
	m.source = s
	m.registry.MustRegister(m)
}

// Handshake counts one. It implements relay.Observer.
func (m *Metrics) Handshake(route, result string, took time.Duration) {
	m.handshakes.WithLabelValues(route, result).Inc()
	m.seconds.Observe(took.Seconds())
}

// Closed counts a session's end. It implements relay.Observer.
func (m *Metrics) Closed(route, side string, code uint16) {
	name := "none"
	if code != 0 {
		name = codeLabel(code)
	}
	m.closes.WithLabelValues(route, side, name).Inc()
}

// codeLabel names a close code. Applications may use 2,000 of them; a label
// must not take that many values.
func codeLabel(code uint16) string {
	switch {
	case code >= 4000:
		return "4xxx"
	case code >= 3000:
		return "3xxx"
	}
	return strconv.Itoa(int(code))
}

// Reloaded counts a reload of the configuration.
func (m *Metrics) Reloaded(ok bool) {
	result, value := "failed", 0.0
	if ok {
		result, value = "ok", 1
	}
	m.reloads.WithLabelValues(result).Inc()
	m.reloaded.Set(value)
}

// Failover counts one. It implements relay.Observer.
func (m *Metrics) Failover(route, reason, result string) {
	m.failovers.WithLabelValues(route, reason, result).Inc()
}

// Moved counts one. It implements relay.Observer.
func (m *Metrics) Moved(route, reason string) { m.moves.WithLabelValues(route, reason).Inc() }

// Unproven counts messages. It implements relay.Observer.
func (m *Metrics) Unproven(route, what string, messages uint64) {
	m.unproven.WithLabelValues(route, what).Add(float64(messages))
}

// Scattered counts a message. It implements scatter.Observer.
func (m *Metrics) Scattered(route, event string) {
	m.scattered.WithLabelValues(route, event).Inc()
}

// Lost counts messages. It implements fanout.Observer.
func (m *Metrics) Lost(route, reason string, messages uint64) {
	m.lost.WithLabelValues(route, reason).Add(float64(messages))
}

// SourceLost counts one. It implements fanout.Observer.
func (m *Metrics) SourceLost(route, reason string) { m.sources.WithLabelValues(route, reason).Inc() }

// Delivered takes how long a delivery took. It implements fanout.Observer.
func (m *Metrics) Delivered(took time.Duration) { m.delivery.Observe(took.Seconds()) }

// DialError counts one. It implements relay.Observer.
func (m *Metrics) DialError(reason string) { m.dialErrors.WithLabelValues(reason).Inc() }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

var (
	descSessions  = desc("sessions", "Sessions open.", "route")
	descOpened    = desc("sessions_total", "Sessions that have been opened.", "route")
	descMessages  = desc("messages_total", "Whole messages relayed.", "route", "direction")
	descBytes     = desc("bytes_total", "Bytes of frames relayed, headers included.", "route", "direction")
	descUp        = desc("upstream_up", "Whether an instance takes new sessions.", "pool", "upstream")
	descUpSession = desc("upstream_sessions", "Sessions that an instance has.", "pool", "upstream")
	descAwaiting  = desc("upstream_awaiting", "Messages that an instance has yet to answer, where a route pairs answers with messages.", "pool", "upstream")
	descAsking    = desc("upstream_handshakes", "Handshakes with an instance that are under way.", "pool", "upstream")
	descRTT       = desc("upstream_rtt_seconds", "Round-trip time of pings to an instance, lately.", "pool", "upstream")
	descLoad      = desc("upstream_load", "An instance's load score; /api shows its parts.", "pool", "upstream")
	descEjected   = desc("upstream_ejected_total", "Times that an instance was ejected as an outlier.", "pool", "upstream", "reason")
	descStreams   = desc("fanout_streams", "Streams open.", "route")
	descOffset    = desc("fanout_offset", "Messages that came from the sources, streams together.", "route")
	descLag       = desc("fanout_lag_bytes", "Bytes that the client furthest behind has yet to get.", "route")
	descSourceUp  = desc("fanout_source_up", "1 while every stream's source is connected.", "route")
	descSourceAge = desc("fanout_source_age_seconds", "Since the latest message, of the stream that has been silent longest.", "route")
	descStale     = desc("fanout_stale_streams", "Streams that have been silent for stale_after.", "route")
	descLine      = desc("fanout_source_messages_total", "Messages of sources that are all connected, by what became of them: won, late, filled, old; missing: what another one delivered and this one did not.", "route", "source", "result")
	descLineUp    = desc("fanout_source_connections", "Connections open to a source that is one of several, streams together.", "route", "source")
	descGaps      = desc("fanout_gaps_total", "Gaps in the numbers of redundant sources that none of them filled.", "route")
	descDrops     = desc("log_lines_dropped_total", "Log lines that were dropped because the log could not be written fast enough.")
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSessions, descOpened, descMessages, descBytes, descUp, descUpSession, descAwaiting, descAsking, descRTT, descLoad,
		descEjected, descDrops, descStreams, descOffset, descLag, descSourceUp, descSourceAge, descStale,
		descLine, descLineUp, descGaps} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, r := range m.source.Routes() {
		open, ever := r.Counters.Sessions()
		gauge(descSessions, float64(open), r.Name)
		counter(descOpened, ever, r.Name)
		for d, name := range map[loop.Direction]string{loop.ToUpstream: "to_upstream", loop.ToClient: "to_client"} {
			messages, bytes := r.Counters.Traffic(d)
			counter(descMessages, messages, r.Name, name)
			counter(descBytes, bytes, r.Name, name)
		}
		if r.Fanout != nil {
			m.collectFanout(r, gauge)
			m.collectLines(r, gauge, counter)
		}
	}
	for _, p := range m.source.Pools() {
		for _, v := range p.Views() {
			up := 1.0
			if v.State == "down" || v.State == "ejected" || v.State == "draining" {
				up = 0
			}
			gauge(descUp, up, p.Name(), v.Name)
			gauge(descUpSession, float64(v.Sessions), p.Name(), v.Name)
			gauge(descAwaiting, float64(v.Load.Awaiting), p.Name(), v.Name)
			gauge(descAsking, float64(v.Handshakes), p.Name(), v.Name)
			gauge(descRTT, v.Load.RTT/1e3, p.Name(), v.Name)
			gauge(descLoad, v.Load.Score, p.Name(), v.Name)
			for _, reason := range health.OutlierReasons {
				counter(descEjected, v.Ejections[reason], p.Name(), v.Name, reason)
			}
		}
	}
	counter(descDrops, m.source.LogDrops())
}

// collectFanout gives a route's streams, taken together.
func (m *Metrics) collectFanout(r Route, gauge func(*prometheus.Desc, float64, ...string)) {
	var messages, lag uint64
	var age, stale float64
	up := 1.0
	views := r.Fanout.Views()
	for _, v := range views {
		messages += v.Messages
		lag = max(lag, v.Lag)
		age = max(age, v.Age)
		if v.Stale {
			stale++
		}
		if v.Opened && !v.Up {
			up = 0
		}
	}
	gauge(descStreams, float64(len(views)), r.Name)
	gauge(descOffset, float64(messages), r.Name)
	gauge(descLag, float64(lag), r.Name)
	gauge(descSourceUp, up, r.Name)
	gauge(descSourceAge, age, r.Name)
	gauge(descStale, stale, r.Name)
}

// collectLines gives a route's sources that are all connected.
func (m *Metrics) collectLines(r Route, gauge func(*prometheus.Desc, float64, ...string), counter func(*prometheus.Desc, uint64, ...string)) {
	lines, gaps := r.Fanout.Lines()
	for _, l := range lines {
		gauge(descLineUp, float64(l.Connected), r.Name, l.Name)
		for result, n := range l.Messages {
			counter(descLine, n, r.Name, l.Name, result)
		}
	}
	if lines != nil {
		counter(descGaps, gaps, r.Name)
	}
}
