package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// payload is a close's payload with that code and reason.
func payload(code uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), reason...)
}

func TestCloseCodes(t *testing.T) {
	for _, c := range []struct {
		from, to uint16
		may      bool
		why      string
	}{
		{0, 999, false, "not used (RFC 6455, section 7.4.2)"},
		{1000, 1003, true, "the RFC's own"},
		{1004, 1006, false, "reserved, and never on the wire"},
		{1007, 1011, true, "the RFC's own"},
		{1012, 1014, true, "registered with IANA after the RFC"},
		{1015, 1015, false, "a failed TLS handshake, never on the wire"},
		{1016, 2999, false, "reserved for later versions"},
		{3000, 3999, true, "libraries, registered"},
		{4000, 4999, true, "applications"},
		{5000, 65535, false, "outside every range"},
	} {
		for code := uint32(c.from); code <= uint32(c.to); code++ {
			if got := MaySend(uint16(code)); got != c.may {
				t.Fatalf("%d: may be sent is %v, want %v: %s", code, got, c.may, c.why)
			}
			got, _, err := ParseClose(payload(uint16(code), "bye"))
			if c.may && (err != nil || got != uint16(code)) {
				t.Fatalf("%d is read as %d, %v: %s", code, got, err, c.why)
			}
			if !c.may && err != error(errCloseCode) {
				t.Fatalf("%d is read with %v, want a violation: %s", code, err, c.why)
			}
		}
	}
}

func TestParseClose(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload []byte
		code    uint16
		reason  string
		err     error
	}{
		{"nothing is a close without a status", nil, CodeNoStatus, "", nil},
		{"one byte is neither nothing nor a code", []byte{3}, 0, "", errCloseShort},
		{"a code alone", payload(1000, ""), 1000, "", nil},
		{"a code and a reason", payload(4321, "bye, žluťoučký"), 4321, "bye, žluťoučký", nil},
		{"a reason that is not UTF-8", payload(1000, "\xff"), 0, "", errCloseReason},
		{"a reason cut inside a rune", payload(1000, "ž"[:1]), 0, "", errCloseReason},
		{"a surrogate half", payload(1000, "\xed\xa0\x80"), 0, "", errCloseReason},
		{"an overlong slash", payload(1000, "\xc0\xaf"), 0, "", errCloseReason},
		{"the longest reason", payload(1001, strings.Repeat("x", 123)), 1001, strings.Repeat("x", 123), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, reason, err := ParseClose(c.payload)
			if code != c.code || string(reason) != c.reason || err != c.err {
				t.Errorf("got %d %q %v, want %d %q %v", code, reason, err, c.code, c.reason, c.err)
			}
			var v *Violation
			if errors.As(err, &v) && v.Code != CodeProtocolError {
				t.Errorf("it is answered with %d, want 1002", v.Code)
			}
		})
	}
}

func TestAppendClose(t *testing.T) {
	long := strings.Repeat("x", 122) + "ž" // its last rune begins at the last byte that fits
	for _, c := range []struct {
		name   string
		code   uint16
		reason string
		key    *[4]byte
		want   []byte
	}{
		{"to a client", 1000, "bye", nil, unhex(t, "88 05 03e8 627965")},
		{"to an instance, masked", 1000, "bye", &key, unhex(t, "88 85 37fa213d 3412 4344 52")},
		{"with a key of zeros the bit is set all the same", 1001, "", new([4]byte), unhex(t, "88 82 00000000 03e9")},
		{"without a status nothing stands in it", CodeNoStatus, "lost", nil, unhex(t, "88 00")},
		{"a long reason is cut at a rune's edge", 1011, long, nil, append(unhex(t, "88 7c 03f3"), long[:122]...)},
		{"a reason that just fits is whole", 1011, long[:122] + "y", nil, append(unhex(t, "88 7d 03f3"), long[:122]+"y"...)},
	} {
		if got := AppendClose(nil, c.code, c.reason, c.key); !bytes.Equal(got, c.want) {
			t.Errorf("%s: got % x, want % x", c.name, got, c.want)
		}
	}
}

// FuzzClose: what is accepted may be sent and comes back the same; what is sent
// fits a control frame and is accepted.
func FuzzClose(f *testing.F) {
	f.Add([]byte{}, "")
	f.Add([]byte{3}, "bye")
	f.Add(payload(1000, "bye"), strings.Repeat("ž", 70))
	f.Add(payload(1006, ""), "\xff")
	f.Fuzz(func(t *testing.T, p []byte, reason string) {
		before := bytes.Clone(p)
		code, why, err := ParseClose(p)
		if !bytes.Equal(p, before) {
			t.Fatal("the payload was changed")
		}
		if err == nil && len(p) <= MaxControl {
			if !MaySend(code) && code != CodeNoStatus {
				t.Fatalf("%d is accepted and may not be sent", code)
			}
			if again := AppendClose(nil, code, string(why), nil); !bytes.Equal(again[2:], p) {
				t.Fatalf("% x is sent on as % x", p, again[2:])
			}
		}
		if !utf8.ValidString(reason) {
			return
		}
		frame := AppendClose(nil, CodePolicy, reason, nil)
		if len(frame) > 2+MaxControl {
			t.Fatalf("the frame takes %d bytes", len(frame))
		}
		code, why, err = ParseClose(frame[2:])
		if err != nil || code != CodePolicy || !strings.HasPrefix(reason, string(why)) || len(reason)-len(why) > 0 && len(why) < 120 {
			t.Fatalf("reason %q is sent as %d %q %v", reason, code, why, err)
		}
	})
}
