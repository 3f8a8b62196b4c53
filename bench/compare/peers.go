//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// peer is a server under measurement.
type peer struct {
	name  string // as on the page
	key   string // as in -peers; "": Sluice, which is always there
	death syscall.Signal
	hello string // what its clients must send to be told anything
	// ready finds or builds its program; nil: it is there.
	ready func(ctx context.Context, l *lab) error
	// command gives what to run, after it has written what that reads.
	command func(l *lab, w *wiring) ([]string, error)
	version func(l *lab) string
}

// wiring is one server's place.
type wiring struct {
	dir                  string // its own
	listen, echo, source string // addresses
	tls, compress        bool
}

var sluice = &peer{name: "Sluice", death: syscall.SIGKILL, command: sluiceCommand, version: sluiceVersion}

// proxies relay to an echo server.
var proxies = []*peer{
	sluice,
	{name: "HAProxy", key: "haproxy", death: syscall.SIGKILL, ready: installed("haproxy"), command: haproxyCommand, version: firstVersion("haproxy", "-v")},
	// The master takes its worker with it when it is told to end.
	{name: "nginx", key: "nginx", death: syscall.SIGTERM, ready: installed("nginx"), command: nginxCommand, version: firstVersion("nginx", "-v")},
	{name: "ReverseProxy", key: "reverseproxy", death: syscall.SIGKILL, ready: buildReverse, command: reverseCommand, version: goVersion},
}

// findPeers gets those asked for ready that the scenarios measure, and says why
// others can't be.
func (l *lab) findPeers(ctx context.Context, chosen []*scenario) error {
	known := map[string]bool{"": true, "none": true}
	for _, p := range slices.Concat(proxies, hubs) {
		known[p.key] = true
	}
	for _, key := range l.opt.peers {
		if !known[key] {
			return fmt.Errorf("-peers %s: not known", key)
		}
	}
	tried := map[*peer]bool{}
	for _, s := range chosen {
		for _, p := range s.sides {
			if tried[p] || p.key != "" && !slices.Contains(l.opt.peers, p.key) {
				continue
			}
			tried[p] = true
			if p.ready != nil {
				if err := p.ready(ctx, l); err != nil {
					l.skipped = append(l.skipped, fmt.Sprintf("%s: %v", p.name, err))
					continue
				}
			}
			l.present = append(l.present, p)
		}
	}
	return ctx.Err()
}

// installed finds a program.
func installed(program string) func(context.Context, *lab) error {
	return func(context.Context, *lab) error {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("not installed (apt-get install %s)", program)
		}
		return nil
	}
}

func buildReverse(ctx context.Context, l *lab) error {
	l.reverse = filepath.Join(l.dir, "reverseproxy")
	return l.build(ctx, ".", "./bench/reverseproxy", l.reverse)
}

func sluiceCommand(l *lab, w *wiring) ([]string, error) {
	args := []string{l.sluice, "balance", "--listen", w.listen, "--admin", "off", "--log-sessions", "none"}
	if w.tls {
		args = append(args, "--tls-cert", l.cert, "--tls-key", l.key)
	}
	return append(args, "ws://"+w.echo), nil
}

func reverseCommand(l *lab, w *wiring) ([]string, error) {
	args := []string{l.reverse, "-listen", w.listen, "-to", "http://" + w.echo}
	if w.tls {
		args = append(args, "-tls-cert", l.cert, "-tls-key", l.key)
	}
	return args, nil
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

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+\S*`)

// firstVersion runs a program for its version.
func firstVersion(program, flag string) func(*lab) string {
	return func(*lab) string {
		b, _ := exec.Command(program, flag).CombinedOutput()
		if v := versionNumber.Find(b); v != nil {
			return string(v)
		}
		return "of an unknown version"
	}
}

func sluiceVersion(l *lab) string {
	b, _ := exec.Command(l.sluice, "version").Output()
	v := strings.TrimPrefix(strings.TrimSpace(string(b)), "sluice ")
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return v
	}
	v += ", commit " + strings.TrimSpace(string(commit))
	if changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changed) > 0 {
		v += " with uncommitted changes"
	}
	return v
}
