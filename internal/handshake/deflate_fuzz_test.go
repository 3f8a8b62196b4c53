package handshake_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

// answerable is an answer that may be taken, by another way of reading: each of
// the parameters once at most, and the client's window only where it was offered.
var answerable = regexp.MustCompile(`(?i)^permessage-deflate([ \t]*;[ \t]*((server|client)_no_context_takeover|` +
	`(server|client)_max_window_bits[ \t]*=[ \t]*("([89]|1[0-5])"|([89]|1[0-5]))))*$`)

// FuzzDeflateAnswer: whatever an instance answers to whatever was offered, what is
// taken is an answer to it, as it came, and nothing else is taken.
func FuzzDeflateAnswer(f *testing.F) {
	const d = "permessage-deflate"
	for _, c := range [][2]string{
		{d + "; client_max_window_bits", d + "; client_max_window_bits=10"}, {d, d + "; client_max_window_bits=10"},
		{d, d + "; server_max_window_bits=\"8\"; server_no_context_takeover"}, {d, d + ", " + d}, {d, d + "; server_max_window_bits"},
		{d, "x-webkit-deflate-frame"}, {"", d}, {d, d + "; x"}, {d, d + "; server_max_window_bits=15; server_max_window_bits=15"}, {d, d + ";"},
		{d, "PERMESSAGE-DEFLATE;SERVER_NO_CONTEXT_TAKEOVER"}, {d, d + "; client_no_context_takeover=true"}, {d, ""},
	} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, offered, answered string) {
		if strings.ContainsAny(answered, "\r\n") {
			return // other lines of the head: FuzzAccept
		}
		o, refusal := handshake.Judge(request("Sec-WebSocket-Extensions: " + offered))
		if refusal != nil {
			return
		}
		said := strings.Trim(answered, " \t")
		want := len(o.Deflate) > 0 && answerable.MatchString(said) && !repeats(said)
		if strings.Contains(strings.ToLower(said), "client_max_window_bits") {
			want = want && strings.Contains(strings.ToLower(strings.Join(o.Deflate, ",")), "client_max_window_bits")
		}
		a, err := o.Accept(good("Sec-WebSocket-Extensions: "+answered), ours)
		switch {
		case (err == nil) != want:
			t.Fatalf("%q is answered %q: %v, want it taken: %v", o.Deflate, answered, err, want)
		case err == nil && (!a.Deflate || a.Extensions != said || a.Takeover() == strings.Contains(strings.ToLower(said), "server_no_context_takeover")):
			t.Fatalf("%q is answered %q, taken as %+v", o.Deflate, answered, a)
		}
	})
}
