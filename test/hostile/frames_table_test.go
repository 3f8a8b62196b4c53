package hostile_test

import (
	"strings"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// violations are all that a hostile peer may send in an open session.
func violations() (all []violation) {
	for _, table := range [][]violation{headers, lengths, fragments, closes, contents, compressed} {
		all = append(all, table...)
	}
	return all
}

var headers = []violation{
	{name: "RSV1", about: "RFC 6455 5.2", head: "\xC1\x02", payload: "hi", code: 1002},
	{name: "RSV2", about: "RFC 6455 5.2", head: "\xA1\x02", payload: "hi", code: 1002},
	{name: "RSV3", about: "RFC 6455 5.2", head: "\x91\x02", payload: "hi", code: 1002},
	{name: "RSV1 and RSV2", about: "RFC 6455 5.2", head: "\xE1\x02", payload: "hi", code: 1002},
	{name: "all reserved bits", about: "RFC 6455 5.2", head: "\xF2\x02", payload: "hi", code: 1002},
	{name: "RSV1 on a ping", about: "RFC 6455 5.2", head: "\xC9\x02", payload: "hi", code: 1002},
	{name: "RSV3 on a pong", about: "RFC 6455 5.2", head: "\x9A\x02", payload: "hi", code: 1002},
	{name: "RSV2 on a close", about: "RFC 6455 5.2", head: "\xA8\x02", payload: "\x03\xE8", code: 1002},
	{name: "opcode 3", about: "RFC 6455 5.2", head: "\x83\x02", payload: "hi", code: 1002},
	{name: "opcode 4", about: "RFC 6455 5.2", head: "\x84\x02", payload: "hi", code: 1002},
	{name: "opcode 5", about: "RFC 6455 5.2", head: "\x85\x02", payload: "hi", code: 1002},
	{name: "opcode 6", about: "RFC 6455 5.2", head: "\x86\x02", payload: "hi", code: 1002},
	{name: "opcode 7", about: "RFC 6455 5.2", head: "\x87\x00", code: 1002},
	{name: "opcode 11", about: "RFC 6455 5.2", head: "\x8B\x00", code: 1002},
	{name: "opcode 12", about: "RFC 6455 5.2", head: "\x8C\x02", payload: "hi", code: 1002},
	{name: "opcode 13", about: "RFC 6455 5.2", head: "\x8D\x02", payload: "hi", code: 1002},
	{name: "opcode 14", about: "RFC 6455 5.2", head: "\x8E\x02", payload: "hi", code: 1002},
	{name: "opcode 15", about: "RFC 6455 5.2", head: "\x8F\x00", code: 1002},
	{name: "opcode 3 and then a stall", about: "RFC 6455 5.2", head: "\x83\x02", cut: true, code: 1002},
	{name: "a mask as the other side has it", about: "RFC 6455 5.1", head: "\x81\x02", payload: "hi", wrong: true, code: 1002},
	{name: "a ping masked as the other side has it", about: "RFC 6455 5.1", head: "\x89\x02", payload: "hi", wrong: true, code: 1002},
	{name: "a close masked as the other side has it", about: "RFC 6455 5.1", head: "\x88\x02", payload: "\x03\xE8", wrong: true, code: 1002},
	{name: "an empty message masked as the other side has it", about: "RFC 6455 5.1", head: "\x82\x00", wrong: true, code: 1002},
	{name: "HTTP in place of a frame", about: "RFC 6455 5.2: a tunnel that is none", head: "GE", payload: "T / HTTP/1.1\r\nHost: sluice.test\r\n\r\n", wrong: true, code: 1002, at: clients | subscribers | askers},
	{name: "an HTTP answer in place of a frame", about: "RFC 6455 5.2: response splitting", head: "HT", payload: "TP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", code: 1002, at: instances | sources | workers},
}

var lengths = []violation{
	{name: "a ping of 126 bytes", about: "RFC 6455 5.5", head: "\x89\x7E\x00\x7E", payload: strings.Repeat("x", 126), code: 1002},
	{name: "a ping of 126 bytes that never come", about: "RFC 6455 5.5", head: "\x89\x7E", cut: true, code: 1002},
	{name: "a ping of 5 bytes in 16 bits", about: "RFC 6455 5.5", head: "\x89\x7E\x00\x05", payload: "hello", code: 1002},
	{name: "a pong of 65536 bytes", about: "RFC 6455 5.5", head: "\x8A\x7F\x00\x00\x00\x00\x00\x01\x00\x00", code: 1002},
	{name: "a pong of 2^63 bytes", about: "RFC 6455 5.5", head: "\x8A\x7F\x80\x00\x00\x00\x00\x00\x00\x00", code: 1002},
	{name: "a close of 126 bytes", about: "RFC 6455 5.5", head: "\x88\x7E\x00\x7E", payload: "\x03\xE8" + strings.Repeat("x", 124), code: 1002},
	{name: "a length with its top bit", about: "RFC 6455 5.2: gorilla CVE-2020-27813", head: "\x82\x7F\x80\x00\x00\x00\x00\x00\x00\x01", code: 1002},
	{name: "a length of ones", about: "RFC 6455 5.2: undici CVE-2026-1528", head: "\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", code: 1002},
	{name: "a length of 16 bits that needs 7", about: "RFC 6455 5.2", head: "\x82\x7E\x00\x05", payload: "hello", code: 1002},
	{name: "a length of 16 bits for 125", about: "RFC 6455 5.2", head: "\x82\x7E\x00\x7D", payload: strings.Repeat("x", 125), code: 1002},
	{name: "a length of 64 bits that needs 16", about: "RFC 6455 5.2", head: "\x82\x7F\x00\x00\x00\x00\x00\x00\x00\x05", payload: "hello", code: 1002},
	{name: "a length of 64 bits for 65535", about: "RFC 6455 5.2", head: "\x82\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF", code: 1002},
	{name: "a length of 64 bits for nothing", about: "RFC 6455 5.2", head: "\x82\x7F\x00\x00\x00\x00\x00\x00\x00\x00", code: 1002},
	{name: "a message of one byte too many", about: "RFC 6455 7.4.1", head: "\x82\x7E\x10\x01", payload: strings.Repeat("x", mostMessage+1), code: 1009},
	{name: "a message of 2^62 bytes", about: "RFC 6455 10.4: nothing is allocated for a length", head: "\x82\x7F\x40\x00\x00\x00\x00\x00\x00\x00", cut: true, code: 1009},
	{name: "the largest message there is", about: "gorilla CVE-2020-27813", head: "\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", cut: true, code: 1009},
	{name: "fragments of one byte too many", about: "RFC 6455 10.4", opens: []testkit.Frame{testkit.Begin(strings.Repeat("x", mostMessage))}, head: "\x80\x01", payload: "x", code: 1009},
	{name: "fragments whose sum overflows", about: "gorilla CVE-2020-27813", opens: []testkit.Frame{testkit.Begin("xx")}, head: "\x80\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", cut: true, code: 1009},
}

var fragments = []violation{
	{name: "a fragmented ping", about: "RFC 6455 5.5", head: "\x09\x02", payload: "hi", code: 1002},
	{name: "a fragmented pong", about: "RFC 6455 5.5", head: "\x0A\x00", code: 1002},
	{name: "a fragmented close", about: "RFC 6455 5.5", head: "\x08\x02", payload: "\x03\xE8", code: 1002},
	{name: "a fragmented ping inside a message", about: "RFC 6455 5.5", opens: []testkit.Frame{testkit.Begin("a")}, head: "\x09\x02", payload: "hi", code: 1002},
	{name: "a continuation of nothing", about: "RFC 6455 5.4", head: "\x80\x02", payload: "hi", code: 1002},
	{name: "a continuation of nothing that goes on", about: "RFC 6455 5.4", head: "\x00\x02", payload: "hi", code: 1002},
	{name: "an empty continuation of nothing", about: "RFC 6455 5.4", head: "\x00\x00", code: 1002},
	{name: "a text inside a message", about: "RFC 6455 5.4", opens: []testkit.Frame{testkit.Begin("a")}, head: "\x81\x02", payload: "hi", code: 1002},
	{name: "a binary inside a message", about: "RFC 6455 5.4", opens: []testkit.Frame{testkit.Begin("a"), testkit.Go("b")}, head: "\x02\x02", payload: "hi", code: 1002},
	{name: "a text inside an empty beginning", about: "RFC 6455 5.4", opens: []testkit.Frame{testkit.Begin("")}, head: "\x81\x00", code: 1002},
	{name: "a reserved opcode inside a message", about: "RFC 6455 5.2", opens: []testkit.Frame{testkit.Begin("a")}, head: "\x03\x02", payload: "hi", code: 1002},
}

var closes = []violation{
	{name: "a close of one byte", about: "RFC 6455 5.5.1", head: "\x88\x01", payload: "x", code: 1002},
	{name: "a close of one byte inside a message", about: "RFC 6455 5.5.1", opens: []testkit.Frame{testkit.Begin("a")}, head: "\x88\x01", payload: "x", code: 1002},
	{name: "close 0", about: "RFC 6455 7.4.2", head: "\x88\x02", payload: "\x00\x00", code: 1002},
	{name: "close 999", about: "RFC 6455 7.4.2", head: "\x88\x02", payload: "\x03\xE7", code: 1002},
	{name: "close 1004", about: "RFC 6455 7.4.1", head: "\x88\x02", payload: "\x03\xEC", code: 1002},
	{name: "close 1005", about: "RFC 6455 7.4.1", head: "\x88\x02", payload: "\x03\xED", code: 1002},
	{name: "close 1006", about: "RFC 6455 7.4.1", head: "\x88\x02", payload: "\x03\xEE", code: 1002},
	{name: "close 1015", about: "RFC 6455 7.4.1", head: "\x88\x02", payload: "\x03\xF7", code: 1002},
	{name: "close 1016", about: "RFC 6455 7.4.2", head: "\x88\x02", payload: "\x03\xF8", code: 1002},
	{name: "close 2000", about: "RFC 6455 7.4.2", head: "\x88\x02", payload: "\x07\xD0", code: 1002},
	{name: "close 2999", about: "RFC 6455 7.4.2", head: "\x88\x02", payload: "\x0B\xB7", code: 1002},
	{name: "close 5000", about: "RFC 6455 7.4.2", head: "\x88\x02", payload: "\x13\x88", code: 1002},
	{name: "close 65535", about: "RFC 6455 7.4.2", head: "\x88\x02", payload: "\xFF\xFF", code: 1002},
	{name: "a close reason that is not UTF-8", about: "RFC 6455 5.5.1", head: "\x88\x04", payload: "\x03\xE8\xC3\x28", code: 1002},
	{name: "a close reason with a surrogate", about: "RFC 3629 3", head: "\x88\x05", payload: "\x03\xE8\xED\xA0\x80", code: 1002},
	{name: "a close reason cut in a character", about: "RFC 6455 5.5.1", head: "\x88\x7D", payload: "\x03\xE8" + strings.Repeat("x", 121) + "\xE2\x82", code: 1002},
	{name: "data after a close", about: "RFC 6455 5.5.1", head: "\x88\x02", payload: "\x03\xE8", code: 1000},
	{name: "a second close", about: "RFC 6455 5.5.1", head: "\x88\x02", payload: "\x03\xE8\x88\x82\x00\x00\x00\x00\x0F\xA0", code: 1000, at: clients | subscribers | askers},
	{name: "a violation after a close", about: "RFC 6455 5.5.1", head: "\x88\x02", payload: "\x03\xE8\x83\x00", code: 1000, at: instances | sources | workers},
}

// contents are judged where messages are read.
var contents = []violation{
	{name: "text that is not UTF-8", about: "RFC 6455 8.1", head: "\x81\x02", payload: "a\xFF", code: 1007, at: reads},
	{name: "text cut in a character", about: "RFC 6455 8.1", head: "\x81\x03", payload: "a\xE2\x82", code: 1007, at: reads},
	{name: "text in fragments, cut in a character", about: "RFC 6455 8.1", opens: []testkit.Frame{testkit.Begin("\xC3")}, head: "\x80\x01", payload: "a", code: 1007, at: reads},
	{name: "text of a surrogate", about: "RFC 3629 3", head: "\x81\x03", payload: "\xED\xA0\x80", code: 1007, at: reads},
	{name: "text in more bytes than it needs", about: "RFC 3629 10: overlong", head: "\x81\x02", payload: "\xC0\xAF", code: 1007, at: reads},
	{name: "text beyond the last character", about: "RFC 3629 3", head: "\x81\x04", payload: "\xF4\x90\x80\x80", code: 1007, at: reads},
}

// compressed break RFC 7692, whose extension is agreed upon.
var compressed = []violation{
	{name: "deflate: RSV2", about: "RFC 6455 5.2", deflate: true, head: "\xA1\x02", payload: "hi", code: 1002},
	{name: "deflate: RSV1 and RSV3", about: "RFC 7692 6", deflate: true, head: "\xD1\x02", payload: "hi", code: 1002},
	{name: "deflate: RSV1 on a ping", about: "RFC 7692 6.1", deflate: true, head: "\xC9\x02", payload: "hi", code: 1002},
	{name: "deflate: RSV1 on a close", about: "RFC 7692 6.1", deflate: true, head: "\xC8\x02", payload: "\x03\xE8", code: 1002},
	{name: "deflate: RSV1 on a continuation", about: "RFC 7692 6.1", deflate: true, opens: []testkit.Frame{{Op: ws.Text, RSV: ws.RSV1, More: true, Payload: "a"}}, head: "\xC0\x02", payload: "hi", code: 1002},
	{name: "deflate: RSV1 on a continuation of a plain message", about: "RFC 7692 6.1", deflate: true, opens: []testkit.Frame{testkit.Begin("a")}, head: "\xC0\x02", payload: "hi", code: 1002},
	{name: "deflate: a message over the limit as it is", about: "RFC 6455 10.4", deflate: true, head: "\xC1\x7E\x10\x01", payload: strings.Repeat("\x00", mostMessage+1), code: 1009},
	{name: "deflate: a reserved block", about: "RFC 1951 3.2.3", deflate: true, head: "\xC1\x01", payload: "\x07", code: 1007, at: inflates},
	{name: "deflate: a stored block whose lengths differ", about: "RFC 1951 3.2.4", deflate: true, head: "\xC1\x05", payload: "\x00\x05\x00\x05\x00", code: 1007, at: inflates},
	{name: "deflate: a distance before the beginning", about: "RFC 1951 3.2.5", deflate: true, head: "\xC1\x03", payload: "\x4B\x02\x62", code: 1007, at: inflates},
	{name: "deflate: plain text that says it is not", about: "RFC 7692 6", deflate: true, head: "\xC1\x12", payload: "plain text, really", code: 1007, at: inflates},
	{name: "deflate: text that is not UTF-8 once it is read", about: "RFC 6455 8.1", deflate: true, head: "\xC1\x08", payload: "\x00\x01\x00\xFE\xFF\xFF\x00\x00", code: 1007, at: reads},
	{name: "deflate: a small bomb", about: "undici CVE-2026-1526, nats-server GHSA-qrvq-68c2-7grw", deflate: true, head: "\xC2" + string(rune(len(smallBomb))), payload: smallBomb, code: 1009, at: inflates},
}

// smallBomb inflates to a byte more than a message may have.
var smallBomb = (&testkit.Deflater{}).Payload(strings.Repeat("\x00", mostMessage+1))
