// Command reverseproxy is net/http/httputil's ReverseProxy and nothing else: a
// Go program's usual way to pass WebSockets on, to measure Sluice against.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where clients connect")
	to := flag.String("to", "http://127.0.0.1:9000", "the server behind")
	cert := flag.String("tls-cert", "", "certificate chain, PEM; without it: plain HTTP")
	key := flag.String("tls-key", "", "its key, PEM")
	flag.Parse()
	u, err := url.Parse(*to)
	if err != nil {
		log.Fatal(err)
	}
	h := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.SetXForwarded()
	}}
	if *cert != "" {
		log.Fatal(http.ListenAndServeTLS(*listen, *cert, *key, h))
	}
	log.Fatal(http.ListenAndServe(*listen, h))
}
