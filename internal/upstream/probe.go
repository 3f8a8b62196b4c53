package upstream

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/handshake"
	"github.com/sluice-proxy/sluice/internal/health"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// startProbes begins to probe i as the pool says that knew it first. The
// caller holds the set's lock.
func (s *Set) startProbes(i *Instance, cfg *config.Pool) {
	p := proberOf(i, cfg)
	if i.stop != nil || p == nil || !s.running() {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	i.stop, i.prober = cancel, p
	s.wg.Add(1)
	go p.run(ctx)
}

// stopProbes ends them. The caller holds the set's lock.
func (i *Instance) stopProbes() {
	if i.stop != nil {
		i.stop()
		i.stop, i.prober = nil, nil
	}
}

// proberOf is who probes i as a pool says; nil for nobody.
func proberOf(i *Instance, cfg *config.Pool) *prober {
	if cfg.Health.Probe == "none" || cfg.Health.Interval == 0 {
		return nil
	}
	p := &prober{i: i, cfg: cfg.Health}
	for _, u := range cfg.Upstreams {
		if u.URL.String() == i.url.String() {
			p.host = u.Host
		}
	}
	return p
}

// prober asks one instance, again and again, whether it is there.
type prober struct {
	i    *Instance
	cfg  config.Health
	host string
}

func (p *prober) run(ctx context.Context) {
	defer p.i.set.wg.Done()
	t := time.NewTimer(time.Duration(mrand.Int64N(int64(p.cfg.Interval))))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		p.judge(ctx, err)
		t.Reset(health.Wait(p.cfg.Interval, mrand.Uint64()))
	}
}

// judge tells the instance and, when that changes the verdict, the observer.
func (p *prober) judge(ctx context.Context, err error) {
	set := p.i.set
	e, why := health.Passed, ""
	switch {
	case err == nil:
	case localFault(err):
		set.log.Error("probe not sent", "instance", p.i.name, "reason", Reason(err), "err", err)
		return
	default:
		e, why = health.Failed, p.cfg.Probe+" probe: "+err.Error()
	}
	if !p.i.judge(ctx, e, why, health.Rules{Rise: p.cfg.Rise, Fall: p.cfg.Fall}) {
		return
	}
	if e == health.Failed {
		set.log.Warn("instance down", "instance", p.i.name, "why", why)
		set.observer.InstanceDown(p.i, why)
		return
	}
	set.log.Info("instance up", "instance", p.i.name)
	set.observer.InstanceUp(p.i)
}

// once probes.
func (p *prober) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	d := &p.i.dial
	network, address := "tcp", d.Addr.String()
	if d.Unix != "" {
		network, address = "unix", d.Unix
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if p.cfg.Probe != "handshake" {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if d.TLS != nil {
		tc := tls.Client(conn, d.TLS)
		if err := tc.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = tc
	}
	return p.handshake(conn)
}

// handshake opens a session of the application, and closes it. Any answer
// below 500 shows that the instance is there.
func (p *prober) handshake(conn net.Conn) error {
	var random [16]byte
	rand.Read(random[:])
	host := p.host
	if host == "" {
		host = p.i.url.Host
	}
	if host == "" {
		host = "localhost"
	}
	key := handshake.NewKey(random)
	offer := &handshake.Offer{}
	head := offer.AppendRequest(nil, &handshake.Forward{
		Target: p.i.Target(p.cfg.Path), Host: host, Key: key, Header: handshake.Header{"User-Agent": {"sluice-probe"}},
	})
	if _, err := conn.Write(head); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, 4*handshake.MaxHead)), nil)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("answered %s", resp.Status)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		if resp.Header.Get("Sec-Websocket-Accept") != handshake.AcceptKey(key) {
			return errors.New("answered 101 with a wrong Sec-WebSocket-Accept")
		}
		var mask [4]byte
		rand.Read(mask[:])
		_, _ = conn.Write(ws.AppendClose(nil, ws.CodeNormal, "", &mask)) // a courtesy
	}
	return nil
}
