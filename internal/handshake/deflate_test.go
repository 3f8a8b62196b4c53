package handshake_test

import (
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

// What AcceptDeflate answers.
const (
	alone   = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	alone15 = alone + "; server_max_window_bits=15"
)

func TestAcceptDeflate(t *testing.T) {
	const d = "permessage-deflate"
	for _, c := range []struct {
		name   string
		offers []string
		want   string // "": declined
	}{
		{"the least there is", []string{d}, alone},
		{"what browsers offer", []string{d + "; client_max_window_bits"}, alone},
		{"what we offer ourselves", []string{handshake.DeflateOffer}, alone},
		{"the client's window", []string{d + "; client_max_window_bits=10"}, alone},
		{"no takeover", []string{d + "; server_no_context_takeover; client_no_context_takeover"}, alone},
		{"in any case", []string{"Permessage-Deflate; Server_No_Context_Takeover"}, alone},
		{"the server's window as it is", []string{d + "; server_max_window_bits=15"}, alone15},
		{"the same in quotes", []string{d + "; server_max_window_bits=\"15\""}, alone15},
		{"everything", []string{d + "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15; client_max_window_bits=8"}, alone15},
		{"a smaller window, or none", []string{d + "; server_max_window_bits=10", d}, alone},
		{"the first that can be taken", []string{d + "; x", d + "; server_max_window_bits=15", d}, alone15},

		{"nothing", nil, ""},
		{"a smaller window", []string{d + "; server_max_window_bits=14"}, ""},
		{"the smallest window", []string{d + "; server_max_window_bits=8; client_max_window_bits"}, ""},
		{"a window that there is not", []string{d + "; server_max_window_bits=16"}, ""},
		{"a window with a zero in front", []string{d + "; server_max_window_bits=015"}, ""},
		{"a window with a sign", []string{d + "; server_max_window_bits=+15"}, ""},
		{"the server's window without a value", []string{d + "; server_max_window_bits"}, ""},
		{"a client's window that there is not", []string{d + "; client_max_window_bits=7"}, ""},
		{"a client's window that is no number", []string{d + "; client_max_window_bits=x"}, ""},
		{"an unknown parameter", []string{d + "; x"}, ""},
		{"a known parameter of another extension", []string{d + "; max_window_bits=15"}, ""},
		{"a parameter twice", []string{d + "; client_no_context_takeover; client_no_context_takeover"}, ""},
		{"a parameter twice, with two values", []string{d + "; server_max_window_bits=15; server_max_window_bits=14"}, ""},
		{"a parameter twice, in two cases", []string{d + "; client_max_window_bits; CLIENT_MAX_WINDOW_BITS=9"}, ""},
		{"a value where none may be", []string{d + "; server_no_context_takeover=true"}, ""},
		{"all of them bad", []string{d + "; x", d + "; y"}, ""},
		{"no element, however it came here", []string{"", d + ", " + d, d + ";"}, ""},
	} {
		got, ok := (&handshake.Offer{Deflate: c.offers}).AcceptDeflate()
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q is answered %q, %v, want %q", c.name, c.offers, got, ok, c.want)
		}
	}
}

func TestTakeover(t *testing.T) {
	o := &handshake.Offer{Deflate: []string{handshake.DeflateOffer}}
	for line, want := range map[string]bool{
		"permessage-deflate": true,
		"permessage-deflate; client_no_context_takeover; client_max_window_bits=9; server_max_window_bits=8": true,
		"permessage-deflate; server_no_context_takeover":                                                     false,
		"Permessage-Deflate; client_max_window_bits=\"15\" ; Server_No_Context_Takeover":                     false,
		alone: false,
	} {
		a, err := o.Accept(good("Sec-WebSocket-Extensions: "+line), ours)
		if err != nil {
			t.Errorf("our offer can't be answered %q: %v", line, err)
			continue
		}
		if got := a.Takeover(); got != want {
			t.Errorf("%q: the server's context is taken over: %v, want %v", line, got, want)
		}
	}
	if a, err := o.Accept(good(), ours); err != nil || a.Takeover() {
		t.Errorf("without the extension: %+v, %v", a, err)
	}
	if new(handshake.Answer).Takeover() {
		t.Error("an empty answer takes over")
	}
}

// TestAnswerOfOurOwn: a 101 that no instance gave is one for our own judge and
// for net/http, with all that was put in and no more.
func TestAnswerOfOurOwn(t *testing.T) {
	extension, ok := offer.AcceptDeflate()
	if !ok {
		t.Fatal("the offer is declined")
	}
	for _, c := range []struct {
		name   string
		answer handshake.Answer
		extra  [][2]string
		want   http.Header
	}{
		{"nothing negotiated", handshake.Answer{}, nil, http.Header{}},
		{"everything", handshake.Answer{Protocol: "v2", Extensions: extension, Deflate: true, Header: header("Server: Sluice", "Set-Cookie: a=1")},
			[][2]string{{"Sluice-Offset", "abc-17"}, {"Set-Cookie", "b=2"}},
			http.Header(header("Sec-WebSocket-Protocol: v2", "Sec-WebSocket-Extensions: "+alone, "Server: Sluice", "Set-Cookie: a=1", "Set-Cookie: b=2", "Sluice-Offset: abc-17"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.answer.Append(nil, offer, c.extra...)
			a, err := offer.Accept(p, clientKey)
			if err != nil || a.Protocol != c.answer.Protocol || a.Extensions != c.answer.Extensions || a.Deflate != c.answer.Deflate {
				t.Errorf("it is judged %+v, %v:\n%s", a, err, p)
			}
			resp := read(t, p)
			for _, line := range []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + clientAcc} {
				for name, values := range header(line) {
					if !reflect.DeepEqual(resp.Header[name], values) {
						t.Errorf("%s is %q, want %q", name, resp.Header[name], values)
					}
					delete(resp.Header, name)
				}
			}
			if resp.StatusCode != 101 || !reflect.DeepEqual(resp.Header, c.want) {
				t.Errorf("got %d with %v, want %v", resp.StatusCode, resp.Header, c.want)
			}
		})
	}
}

// offerable is an offer that may be taken, by another way of reading: each of
// the parameters once at most, for which see FuzzAcceptDeflate.
var offerable = regexp.MustCompile(`(?i)^permessage-deflate([ \t]*;[ \t]*((server|client)_no_context_takeover|` +
	`server_max_window_bits[ \t]*=[ \t]*("15"|15)|client_max_window_bits([ \t]*=[ \t]*("([89]|1[0-5])"|([89]|1[0-5])))?))*$`)

// FuzzAcceptDeflate: no offer makes it panic; the one that is taken is the
// first that may be; the answer is one that our own judge allows.
func FuzzAcceptDeflate(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits", "permessage-deflate")
	f.Add("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=15; client_max_window_bits=\"9\"")
	f.Add("permessage-deflate; x", "PERMESSAGE-DEFLATE ;SERVER_NO_CONTEXT_TAKEOVER")
	f.Fuzz(func(t *testing.T, first, second string) {
		o, refusal := handshake.Judge(request("Sec-WebSocket-Extensions: "+first, "Sec-WebSocket-Extensions: "+second))
		if refusal != nil {
			return
		}
		want := ""
		for _, e := range o.Deflate {
			if !offerable.MatchString(e) || repeats(e) {
				continue
			}
			if want = alone; strings.Contains(strings.ToLower(e), "server_max_window_bits") {
				want = alone15
			}
			break
		}
		got, ok := o.AcceptDeflate()
		if got != want || ok != (want != "") {
			t.Fatalf("%q is answered %q, %v, want %q", o.Deflate, got, ok, want)
		}
		if !ok {
			return
		}
		a, err := o.Accept(good("Sec-WebSocket-Extensions: "+got), ours)
		if err != nil || !a.Deflate || a.Takeover() {
			t.Fatalf("our own answer to %q is judged %+v, %v", o.Deflate, a, err)
		}
	})
}

// repeats tells whether an offer has a parameter twice.
func repeats(offer string) bool {
	for _, name := range []string{"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"} {
		if strings.Count(strings.ToLower(offer), name) > 1 {
			return true
		}
	}
	return false
}
