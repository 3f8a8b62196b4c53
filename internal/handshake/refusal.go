package handshake

import (
	"strconv"
	"strings"
)

// Refusal is why a request is not upgraded, as an HTTP answer.
type Refusal struct {
	Status int
	What   string
	Header [][2]string // fields that go with the status
}

// Error gives the reason.
func (r *Refusal) Error() string { return r.What }

// Connection is the Connection field that goes with the refusal: it names what
// else is of this connection alone (RFC 9110, section 7.6.1).
func (r *Refusal) Connection() []string {
	for _, f := range r.Header {
		if f[0] == "Upgrade" {
			return []string{"close", "Upgrade"}
		}
	}
	return []string{"close"}
}

// Append appends the refusal as a whole HTTP answer, after which the
// connection is closed.
func (r *Refusal) Append(b []byte) []byte {
	b = append(b, "HTTP/1.1 "+strconv.Itoa(r.Status)+" "+reasons[r.Status]+"\r\n"...)
	for _, f := range r.Header {
		b = appendField(b, f[0], f[1])
	}
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"...)
	b = appendField(b, "Connection", strings.Join(r.Connection(), ", "))
	b = appendField(b, "Content-Length", strconv.Itoa(len(r.What)+1))
	b = append(b, "\r\n"...)
	return append(append(b, r.What...), '\n')
}

var reasons = map[int]string{
	400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 410: "Gone",
	426: "Upgrade Required", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}

func bad(what string) *Refusal { return &Refusal{Status: 400, What: what} }
