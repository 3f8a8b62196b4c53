package upstream

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/sluice-proxy/sluice/internal/config"
)

func TestTarget(t *testing.T) {
	for _, c := range []struct{ url, client, want string }{
		{url: "ws://10.0.0.1", client: "/", want: "/"},
		{url: "ws://10.0.0.1/", client: "/chat?room=1", want: "/chat?room=1"},
		{url: "ws://10.0.0.1/ws", client: "/", want: "/ws"},
		{url: "ws://10.0.0.1/ws", client: "/?token=1", want: "/ws?token=1"},
		{url: "ws://10.0.0.1/ws/", client: "/chat", want: "/ws/chat"},
		{url: "ws://10.0.0.1/a%20b", client: "/%2F?x=%20", want: "/a%20b/%2F?x=%20"},
		{url: "ws+unix:/run/app.sock", client: "/chat", want: "/chat"},
	} {
		t.Run(c.url+c.client, func(t *testing.T) {
			s, _ := newSet()
			if got := newPool(t, s, c.url).Instances()[0].Target(c.client); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for u, want := range map[string]string{
		"ws://10.0.0.1":          "ws://10.0.0.1:80",
		"ws://10.0.0.1:9000/":    "ws://10.0.0.1:9000",
		"ws://10.0.0.1:9000/ws":  "ws://10.0.0.1:9000/ws",
		"wss://[2001:db8::1]":    "wss://[2001:db8::1]:443",
		"ws+unix:/run/app.sock":  "ws+unix:/run/app.sock",
		"ws+unix:/run/other.sck": "ws+unix:/run/other.sck",
	} {
		s, _ := newSet()
		if got := newPool(t, s, u).Instances()[0].Name(); got != want {
			t.Errorf("%s is called %s, want %s", u, got, want)
		}
	}
	u := upstreamAt(t, "wss://feed.example.com/x").URL
	if got, want := instanceName(u, netip.MustParseAddrPort("10.0.0.1:443")), "wss://10.0.0.1:443(feed.example.com)/x"; got != want {
		t.Errorf("an address of a name is called %s, want %s", got, want)
	}
}

func TestHost(t *testing.T) {
	s, _ := newSet()
	for _, c := range []struct{ upstream, want string }{
		{"ws://10.0.0.1:9000", "client.example.com"},
		{"wss://10.0.0.2:9000", "10.0.0.2:9000"},
		{"ws://10.0.0.3:9000 host=app.example.com", "app.example.com"},
		{"wss://10.0.0.4:9000 host=app.example.com", "app.example.com"},
	} {
		p := newPool(t, s, c.upstream)
		if got := NewBalancer(p, "random", "").For("", "").Host(p.Instances()[0], "client.example.com"); got != c.want {
			t.Errorf("%s: the Host is %s, want %s", c.upstream, got, c.want)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ url, client, want string }{
		{"ws://10.0.0.1:9000", "/a?b=c", "http://10.0.0.1:9000/a?b=c"},
		{"ws://10.0.0.1:9000/app/", "/a%2Fb?c", "http://10.0.0.1:9000/app/a%2Fb?c"},
		{"wss://10.0.0.1:9000", "/a", "https://10.0.0.1:9000/a"},
	} {
		s, _ := newSet()
		u, err := url.Parse(c.client)
		if err != nil {
			t.Fatal(err)
		}
		if newPool(t, s, c.url).Instances()[0].Address(u); u.String() != c.want {
			t.Errorf("%s behind %s is %s, want %s", c.client, c.url, u, c.want)
		}
	}
}

// TestSourceAddresses take turns, those of the instance's family.
func TestSourceAddresses(t *testing.T) {
	s, _ := newSet()
	cfg := &config.Pool{Name: "many", Upstreams: []*config.Upstream{upstreamAt(t, "ws://10.0.0.1:9000")}, Health: config.Health{Probe: "none"}}
	for _, a := range []string{"127.0.0.2", "::1", "127.0.0.3"} {
		cfg.SourceAddresses = append(cfg.SourceAddresses, netip.MustParseAddr(a))
	}
	p, err := s.Add(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	i, got := p.Instances()[0], map[string]int{}
	c := NewBalancer(p, "random", "").For("", "")
	for range 30 {
		d := c.Dial(i)
		got[d.Local.String()]++
		if d.Addr != i.dial.Addr {
			t.Fatalf("it dials %v", d.Addr)
		}
	}
	if got["127.0.0.2"] < 10 || got["127.0.0.3"] < 10 || len(got) != 2 {
		t.Errorf("30 connections come from %v", got)
	}
	if i.dial.Local.IsValid() {
		t.Error("the instance's own dial was changed")
	}
	if got := c.Sources(); got != 3 {
		t.Errorf("there are %d source addresses", got)
	}
}
