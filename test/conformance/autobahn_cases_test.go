package conformance

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What Autobahn's cases are about, by their number: 1 framing, 2 pings, 3 and 4
// reserved bits and opcodes, 5 fragments, 6 UTF-8, 7 closes, 10 automatic
// fragments, 9 size and speed, 12 and 13 permessage-deflate.
var (
	protocolCases = []string{"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"}
	deflateSample = []string{"12.1.1", "12.2.2", "12.3.3", "12.4.4", "12.5.5", "13.1.1", "13.2.2", "13.3.3", "13.4.4", "13.5.5", "13.6.1", "13.7.2"}
	fewCases      = []string{"1.1.*", "2.*", "3.*", "4.1.*", "5.*", "6.1.*", "7.1.*", "7.3.*", "7.7.*", "7.9.*", "12.1.1", "13.1.1"}
	unechoedCases = []string{"2.*", "3.*", "4.*", "5.*", "7.*"}
	heavyCases    = []string{"9.*"}
	deflateCases  = []string{"12.*", "13.*"}
)

// casesFor gives what goes each way in a full run and in a quick one. All of 12
// and 13 are ten minutes of compression in Python each time, so they go the
// thorough ways only; a proxy that relays compressed frames as they are sees no
// difference between them.
func casesFor(w way, thorough ...way) []string {
	switch {
	case full && slices.Contains(thorough, w):
		return slices.Concat(protocolCases, heavyCases, deflateCases)
	case full:
		return slices.Concat(protocolCases, heavyCases, deflateSample)
	case w.tls:
		return fewCases
	default:
		return slices.Concat(protocolCases, deflateSample)
	}
}

// asked tells whether a case is among those of the patterns.
func asked(id string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		group, all := strings.CutSuffix(p, "*")
		return id == p || all && strings.HasPrefix(id, group)
	})
}

// differences are the cases that do not go as they do without the proxy, each
// with the reason, which is none of the proxy's doing. A reason that begins with
// byTiming is that of a case which differs now and then.
type differences map[string]string

const byTiming = "by timing: "

// judge has an entry fail that no run bears out any more. The quick set goes
// fewer ways, so that one may be missing there by timing.
func (d differences) judge(t *testing.T, found map[string]bool) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(d)) {
		switch {
		case found[id]:
		case full && proxied && !strings.HasPrefix(d[id], byTiming):
			t.Errorf("%s went as without the proxy every way: take it out of the list of differences", id)
		default:
			t.Logf("%s went as without the proxy this time", id)
		}
	}
}

const (
	saysWhy = "Autobahn's server drops the connection without a word when the close frame itself is bad; the proxy says 1002 first, as RFC 6455, 7.1.7 has it"
	tooLate = "the instance's good message has a bad frame behind it. The client's echo is still under way when the proxy fails the connection, which it must do at once; Autobahn takes that as well"
)

var toServer = reasoned(saysWhy, "3.7", "7.3.2", "7.3.6", "7.5.1", "7.9.1", "7.9.2", "7.9.3", "7.9.4", "7.9.5", "7.9.6", "7.9.7",
	"7.9.8", "7.9.9", "7.13.1", "7.13.2")

var toClient = reasoned(tooLate, "3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15").with(differences{
	"7.5.1": "a reason that is not UTF-8 in a close frame: Autobahn's client says 1007, the proxy 1002 as for all that is wrong with a control frame; Autobahn takes both",
	"7.7.2": "an instance that closes with 1001 goes away (failover.codes): the proxy answers it with the same code, Autobahn's client answers every close with 1000",
})

const (
	echoesCode = "the fuzzer closes, and the proxy answers with the code that it got, or none, as RFC 6455, 5.5.1 has it; Autobahn's server answers every close with 1000"
	isWhole    = "a message is passed on when it is whole, so that text which is not UTF-8 is found at its end; Autobahn takes that as well"
	echoWaits  = "the client's good message has a bad frame behind it, at which the proxy fails the connection at once; the echo is still under way. Autobahn takes that as well"
	declined   = "an offer that asks for a smaller window towards the client is declined (RFC 7692, 7.1.2.1)"
)

var toScatter = reasoned(saysWhy, slices.Sorted(maps.Keys(toServer))...).with(
	reasoned(echoesCode, "7.3.1", "7.7.2", "7.7.3", "7.7.4", "7.7.5", "7.7.6", "7.7.7", "7.7.8", "7.7.9", "7.7.10", "7.7.11", "7.7.12", "7.7.13")).with(
	reasoned(isWhole, "6.4.1", "6.4.2", "6.4.3", "6.4.4")).with(
	reasoned(byTiming+echoWaits, "3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15")).with(
	reasoned(declined, "13.3.3", "13.5.5"))

// What is missed for want of an echo is missed at both; the fuzzer then closes
// with no code, or fails the connection with 1001.
var toFanout = reasoned(saysWhy, slices.Sorted(maps.Keys(toServer))...).with(
	reasoned(echoesCode,
		"5.3", "5.4", "5.5", "5.6", "5.7", "5.8", "5.19", "5.20", "7.1.1", "7.3.1", "7.7.2", "7.7.3", "7.7.4", "7.7.5", "7.7.6",
		"7.7.7", "7.7.8", "7.7.9", "7.7.10", "7.7.11", "7.7.12", "7.7.13"))

func reasoned(reason string, ids ...string) differences {
	d := differences{}
	for _, id := range ids {
		d[id] = reason
	}
	return d
}

func (d differences) with(more differences) differences {
	maps.Copy(d, more)
	return d
}
