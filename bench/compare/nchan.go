//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nchanModule is where Debian has it.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// nchanConfig: one worker. A client begins with the newest message; Nchan keeps
// as many for those who fall behind as the gorilla hub's queues hold. What comes
// in has a door of its own, without TLS.
const nchanConfig = `load_module %[1]s;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid %[2]s/nginx.pid;
error_log stderr;
events { worker_connections 19000; }
http {
    access_log off;
    client_body_temp_path %[2]s/body;
    proxy_temp_path %[2]s/proxy;
    fastcgi_temp_path %[2]s/fastcgi;
    uwsgi_temp_path %[2]s/uwsgi;
    scgi_temp_path %[2]s/scgi;
    nchan_message_buffer_length 256;
    server {
        listen %[3]s backlog=4096%[4]s;
        location / {
            nchan_subscriber websocket;
            nchan_channel_id feed;
            nchan_subscriber_first_message newest;
        }
    }
    server {
        listen %[5]s;
        location / {
            nchan_publisher websocket;
            nchan_channel_id feed;
%[6]s        }
    }
}
`

// nchanDeflate has a message compressed once for all.
const nchanDeflate = "            nchan_deflate_message_for_websocket on;\n"

func findNchan(ctx context.Context, l *lab) error {
	if err := installed("nginx")(ctx, l); err != nil {
		return err
	}
	if _, err := os.Stat(nchanModule); err != nil {
		return errors.New("not installed (bench/setup.sh)")
	}
	return buildPeer("publish")(ctx, l)
}

func nchanCommand(l *lab, w *wiring) ([]string, error) {
	tls, deflate := "", ""
	if w.tls {
		tls = fmt.Sprintf(nginxTLS, l.cert, l.key)
	}
	if w.compress {
		deflate = nchanDeflate
	}
	file := filepath.Join(w.dir, "nginx.conf")
	err := os.WriteFile(file, fmt.Appendf(nil, nchanConfig, nchanModule, w.dir, w.listen, tls, w.publish, deflate), 0o600)
	return []string{"nginx", "-e", "stderr", "-p", w.dir, "-c", file}, err
}

// nchanPublisher brings the source's messages: Nchan has no client of its own.
func nchanPublisher(l *lab, w *wiring) []string {
	return []string{l.programs["publish"], "-source", "ws://" + w.source, "-to", "ws://" + w.publish + "/"}
}

func nchanVersion(l *lab) string {
	b, _ := exec.Command("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan").Output()
	v := strings.TrimSpace(string(b))
	if v == "" {
		v = unknownVersion
	}
	return v + ", nginx " + firstVersion("nginx", "-v")(l)
}
