//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// envoyConfig: the upgrade is switched on, timeouts that would end a session are
// off, and the circuit breakers, at 1,024 by default, are above 8,000 sessions.
const envoyConfig = `static_resources:
  listeners:
  - name: websockets
    address: {socket_address: {address: 127.0.0.1, port_value: %[1]s}}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: websockets
          stream_idle_timeout: 0s
          upgrade_configs:
          - upgrade_type: websocket
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route: {cluster: echo, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
%[3]s  clusters:
  - name: echo
    type: STATIC
    circuit_breakers:
      thresholds:
      - {max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[2]s}}}
`

const envoyTLS = `      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [http/1.1]
            tls_params: {tls_maximum_protocol_version: TLSv1_3, ecdh_curves: [X25519]}
            tls_certificates:
            - certificate_chain: {filename: %q}
              private_key: {filename: %q}
`

// findEnvoy looks for the program in its wheel, which starts it by a script.
func findEnvoy(_ context.Context, l *lab) error {
	found, err := filepath.Glob(filepath.Join(l.root, ".tools", "envoy", "lib", "python3*", "site-packages", "envoy", "_bin", "envoy"))
	if err != nil || len(found) == 0 {
		return errors.New("not installed (bench/setup.sh)")
	}
	l.programs["envoy"] = found[0]
	if err := exec.Command(found[0], "--version").Run(); err != nil {
		return fmt.Errorf("does not run: %w", err)
	}
	return nil
}

func envoyCommand(l *lab, w *wiring) ([]string, error) {
	tls := ""
	if w.tls {
		tls = fmt.Sprintf(envoyTLS, l.cert, l.key)
	}
	_, port, err := net.SplitHostPort(w.listen)
	if err != nil {
		return nil, err
	}
	_, echo, err := net.SplitHostPort(w.echo)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.dir, "envoy.yaml")
	err = os.WriteFile(file, fmt.Appendf(nil, envoyConfig, port, echo, tls), 0o600)
	return []string{l.programs["envoy"], "--config-path", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"}, err
}

func envoyVersion(l *lab) string { return firstVersion(l.programs["envoy"], "--version")(l) }
