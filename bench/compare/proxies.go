//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

func sluiceCommand(l *lab, w *wiring) ([]string, error) {
	args := []string{l.sluice, "balance", "--listen", w.listen, "--admin", "off", "--log-sessions", "none"}
	if w.tls {
		args = append(args, "--tls-cert", l.cert, "--tls-key", l.key)
	}
	return append(args, "ws://"+w.echo), nil
}

// haproxyConfig: one thread, as Sluice has one loop. maxconn counts sessions,
// two files each.
const haproxyConfig = `global
    nbthread 1
    maxconn 9500
    ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
    mode http
    backlog 4096
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
listen websockets
    bind %s%s
    server echo %s
`

func haproxyCommand(l *lab, w *wiring) ([]string, error) {
	bind := ""
	if w.tls {
		bind = " ssl crt " + l.both
	}
	file := filepath.Join(w.dir, "haproxy.cfg")
	err := os.WriteFile(file, fmt.Appendf(nil, haproxyConfig, w.listen, bind, w.echo), 0o600)
	return []string{"haproxy", "-db", "-f", file}, err
}

// nginxConfig: one worker. A session takes two of its connections.
const nginxConfig = `daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid %[1]s/nginx.pid;
error_log stderr;
events { worker_connections 19000; }
http {
    access_log off;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    server {
        listen %[2]s backlog=4096%[3]s;
        location / {
            proxy_pass http://%[4]s;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $host;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }
    }
}
`

const nginxTLS = ` ssl;
        ssl_certificate %s;
        ssl_certificate_key %s;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256`

func nginxCommand(l *lab, w *wiring) ([]string, error) {
	tls := ""
	if w.tls {
		tls = fmt.Sprintf(nginxTLS, l.cert, l.key)
	}
	file := filepath.Join(w.dir, "nginx.conf")
	err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, w.dir, w.listen, tls, w.echo), 0o600)
	return []string{"nginx", "-e", "stderr", "-p", w.dir, "-c", file}, err
}

// caddyConfig: no admin endpoint, no certificates of its own. HTTP/1.1 alone, as
// with all others: WebSockets go no other way here.
const caddyConfig = `{
	admin off
	persist_config off
	auto_https off
	log {
		level ERROR
	}
	servers {
		protocols h1
	}
}
%s://%s {
%s	reverse_proxy %s
}
`

const caddyTLS = `	tls %s %s {
		protocols tls1.3
		curves x25519
	}
`

func buildCaddy(ctx context.Context, l *lab) error {
	l.programs["caddy"] = filepath.Join(l.dir, "caddy")
	return l.build(ctx, "bench/caddy", "github.com/caddyserver/caddy/v2/cmd/caddy", l.programs["caddy"])
}

func caddyCommand(l *lab, w *wiring) ([]string, error) {
	scheme, tls := "http", ""
	if w.tls {
		scheme, tls = "https", fmt.Sprintf(caddyTLS, l.cert, l.key)
	}
	file := filepath.Join(w.dir, "Caddyfile")
	err := os.WriteFile(file, fmt.Appendf(nil, caddyConfig, scheme, w.listen, tls, w.echo), 0o600)
	return []string{"env", "HOME=" + w.dir, l.programs["caddy"], "run", "--config", file, "--adapter", "caddyfile"}, err
}

func reverseCommand(l *lab, w *wiring) ([]string, error) {
	args := []string{l.programs["reverseproxy"], "-listen", w.listen, "-to", "http://" + w.echo}
	if w.tls {
		args = append(args, "-tls-cert", l.cert, "-tls-key", l.key)
	}
	return args, nil
}
