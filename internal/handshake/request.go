package handshake

import (
	"encoding/base64"
	"strings"
)

// Header is a set of header fields by canonical name, as net/http keeps them.
type Header = map[string][]string

// Request is the head of a client's HTTP request, as far as it matters here.
type Request struct {
	Method           string
	Major, Minor     int // of the HTTP version
	Header           Header
	ContentLength    int64 // -1 when unknown
	TransferEncoding []string
}

// Offer is what a well-formed upgrade request asks for.
type Offer struct {
	Key       string   // Sec-WebSocket-Key as the client sent it
	Protocols []string // subprotocols, in the client's order
	Deflate   []string // permessage-deflate offers, one element each
}

// Meant tells whether a request is meant to be a WebSocket handshake, well
// formed or not. One that is not may be served as ordinary HTTP; one that is
// must be judged, so that a malformed upgrade is never passed on.
func Meant(h Header) bool {
	if len(h["Upgrade"]) > 0 {
		return true
	}
	for name := range h {
		if strings.HasPrefix(name, "Sec-Websocket-") {
			return true
		}
	}
	return false
}

// Judge holds a request against RFC 6455, section 4.2.1.
func Judge(r *Request) (*Offer, *Refusal) {
	if r.Method != "GET" {
		return nil, &Refusal{Status: 405, What: "a WebSocket handshake is a GET", Header: [][2]string{{"Allow", "GET"}}}
	}
	if r.Major != 1 || r.Minor != 1 {
		return nil, bad("a WebSocket handshake is HTTP/1.1")
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || hasLength(r.Header) {
		return nil, bad("a WebSocket handshake has no body")
	}
	if up := r.Header["Upgrade"]; len(up) != 1 || !strings.EqualFold(up[0], "websocket") {
		return nil, bad("the Upgrade header is not websocket alone")
	}
	if !hasToken(r.Header["Connection"], "upgrade") {
		return nil, bad("the Connection header does not name upgrade")
	}
	if v := r.Header["Sec-Websocket-Version"]; len(v) != 1 || v[0] != "13" {
		return nil, &Refusal{Status: 426, What: "this server speaks WebSocket version 13",
			Header: [][2]string{{"Sec-WebSocket-Version", "13"}, {"Upgrade", "websocket"}}}
	}
	return offered(r.Header)
}

// offered reads the key, the subprotocols and the extensions.
func offered(h Header) (*Offer, *Refusal) {
	keys := h["Sec-Websocket-Key"]
	if len(keys) != 1 || !validKey(keys[0]) {
		return nil, bad("Sec-WebSocket-Key is not one base64 value of 16 bytes")
	}
	o := &Offer{Key: keys[0]}
	for _, line := range h["Sec-Websocket-Protocol"] {
		for name := range strings.SplitSeq(line, ",") {
			name = trim(name)
			if !isToken(name) || contains(o.Protocols, name) {
				return nil, bad("Sec-WebSocket-Protocol is not a list of different tokens")
			}
			o.Protocols = append(o.Protocols, name)
		}
	}
	for _, line := range h["Sec-Websocket-Extensions"] {
		exts, ok := parseExtensions(line)
		if !ok {
			return nil, bad("Sec-WebSocket-Extensions is malformed")
		}
		for _, e := range exts {
			if e.name == deflate {
				o.Deflate = append(o.Deflate, e.raw)
			}
		}
	}
	return o, nil
}

func validKey(key string) bool {
	var raw [18]byte
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(raw[:], []byte(key))
	return err == nil && n == 16
}
