package fanout

import "time"

// View is a stream as the API and the metrics show it.
type View struct {
	Stream   string         `json:"stream"` // what it asks of its source; "" where all clients share one
	Source   string         `json:"source"` // the URL that is, or was last, connected
	Up       bool           `json:"up"`
	Opened   bool           `json:"opened"`            // it has been connected once
	Sources  []SourceView   `json:"sources,omitempty"` // where several are connected at once
	Stale    bool           `json:"stale"`
	Offset   string         `json:"offset"`   // EPOCH-N of the message to come
	Messages uint64         `json:"messages"` // that came since the stream was opened
	Age      float64        `json:"age_seconds"`
	Clients  map[string]int `json:"clients"` // by transport
	History  HistoryView    `json:"history"`
	Lag      uint64         `json:"lag_bytes"` // of the client that is furthest behind
}

// HistoryView is what a stream keeps.
type HistoryView struct {
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// SourceView is one of a stream's sources.
type SourceView struct {
	Name     string            `json:"name"`
	URL      string            `json:"url"`
	Up       bool              `json:"up"`
	Messages map[string]uint64 `json:"messages"` // by what became of them
}

// Views shows the route's streams, in no order.
func (r *Route) Views() []View {
	r.mu.Lock()
	streams := make([]*Stream, 0, len(r.streams))
	for _, s := range r.streams {
		streams = append(streams, s)
	}
	r.mu.Unlock()
	views := make([]View, len(streams))
	for i, s := range streams {
		views[i] = s.view()
	}
	return views
}

func (s *Stream) view() View {
	s.plain.trim(s.route().fanout.clock())
	head, oldest := s.plain.live(), s.plain.start()
	v := View{
		Stream: s.target.String(), Up: s.up.Load(), Opened: s.isOpen(), Stale: s.stale.Load(), Offset: s.epochs.offset(head.number()),
		Messages: head.number(), Age: (s.age() / time.Millisecond * time.Millisecond).Seconds(), Clients: map[string]int{},
		History: HistoryView{head.number() - oldest.number(), head.bytes() - oldest.bytes()},
	}
	if name := s.name.Load(); name != nil {
		v.Source = *name
	}
	s.mu.Lock()
	sources := s.sources
	s.mu.Unlock()
	for _, src := range sources {
		if l := src.line; l != nil {
			v.Sources = append(v.Sources, SourceView{l.name, l.endpoint.Name(), l.connected.Load() > 0, l.messages()})
		}
	}
	for i := range s.audiences {
		a := &s.audiences[i]
		if n := a.members.Load(); n > 0 {
			v.Clients[a.form.String()] += int(n)
			v.Lag = max(v.Lag, a.lag.Load(), a.behind())
		}
	}
	return v
}
