package hostile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// document is text of which a scatter is to find out where it belongs.
type document struct {
	name  string
	about string // the clause, or whose mistake it was
	text  string
	valid bool // it is JSON that reads in one way
}

const mega = 1 << 20

// documents are all that text may be.
func documents() []document {
	members := func(last string) string {
		var b strings.Builder
		for k := range 100_000 {
			fmt.Fprintf(&b, `"m%d":%d,`, k, k)
		}
		return "{" + b.String() + last + "}"
	}
	digits := strings.Repeat("7", mega)
	return []document{
		{name: "nothing", about: "RFC 8259 2", text: ""},
		{name: "white space", about: "RFC 8259 2", text: " \r\n\t"},
		{name: "a million brackets", about: "RFC 8259 9: the stack", text: strings.Repeat("[", mega)},
		{name: "a million brackets that close", about: "RFC 8259 9: the stack", text: strings.Repeat("[", mega) + strings.Repeat("]", mega)},
		{name: "objects in objects without an end", about: "RFC 8259 9: the stack", text: strings.Repeat(`{"id":`, mega/4)},
		{name: "as deep as may be", about: "RFC 8259 9", text: `{"id":` + strings.Repeat("[", 999) + strings.Repeat("]", 999) + `}`, valid: true},
		{name: "one deeper", about: "RFC 8259 9", text: `{"id":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`},
		{name: "a key of a megabyte", about: "memory", text: `{"id":1,"key":"` + strings.Repeat("k", mega) + `"}`, valid: true},
		{name: "an id of a megabyte", about: "memory", text: `{"id":"` + strings.Repeat("k", mega) + `"}`, valid: true},
		{name: "a name of a megabyte", about: "memory", text: `{"` + strings.Repeat("k", mega) + `":1}`, valid: true},
		{name: "an id of escapes", about: "memory", text: `{"id":"` + strings.Repeat(`\u0041`, mega/6) + `"}`, valid: true},
		{name: "an exponent for a number of a gigabyte", about: "RFC 8259 6", text: `{"id":1e999999999,"key":1e999999999}`, valid: true},
		{name: "an exponent for one of a gigabyte of zeros", about: "RFC 8259 6", text: `{"id":-1E-999999999,"key":-1E-999999999}`, valid: true},
		{name: "an exponent of a megabyte", about: "RFC 8259 6", text: `{"id":1e` + digits + `,"key":1e` + digits + `}`, valid: true},
		{name: "a number of a megabyte", about: "RFC 8259 6", text: `{"id":` + digits + `,"key":` + digits + `}`, valid: true},
		{name: "a fraction of a megabyte", about: "RFC 8259 6", text: `{"id":0.` + digits + `e5,"key":0.` + digits + `e5}`, valid: true},
		{name: "zeros of a megabyte", about: "RFC 8259 6", text: `{"id":0.` + strings.Repeat("0", mega) + `}`, valid: true},
		{name: "a number with a zero before it", about: "RFC 8259 6", text: `{"id":01}`},
		{name: "not a number", about: "RFC 8259 6", text: `{"id":NaN}`},
		{name: "a hundred thousand members", about: "RFC 8259 4: time", text: members(`"id":1`), valid: true},
		{name: "one of which is there twice", about: "RFC 8259 4: time", text: members(`"m77777":1`)},
		{name: "an id twice", about: "RFC 8259 4: two readers see two messages", text: `{"id":1,"id":2}`},
		{name: "a key twice, once escaped", about: "RFC 8259 4: two readers see two messages", text: `{"key":1,"\u006bey":2}`},
		{name: "a key twice, deep inside", about: "RFC 8259 4", text: `{"id":1,"a":[{"b":{"c":1,"c":1}}]}`},
		{name: "an id with half a surrogate pair", about: "RFC 8259 8.2", text: `{"id":"\ud800"}`},
		{name: "a name with the wrong half", about: "RFC 8259 8.2", text: `{"\udc00\ud800":1}`},
		{name: "bytes that are not UTF-8", about: "RFC 8259 8.1", text: "{\"id\":\"\xFF\xFE\"}"},
		{name: "a surrogate as bytes", about: "RFC 3629 3", text: "{\"id\":\"\xED\xA0\x80\"}"},
		{name: "a mark before it", about: "RFC 8259 8.1", text: "\uFEFF{\"id\":1}"},
		{name: "a control character", about: "RFC 8259 7", text: "{\"id\":\"\x00\"}"},
		{name: "something behind it", about: "RFC 8259 2", text: `{"id":1}{"id":2}`},
		{name: "a comment", about: "RFC 8259 2", text: `{"id":1/**/}`},
		{name: "a comma too many", about: "RFC 8259 4", text: `{"id":1,}`},
		{name: "no end", about: "RFC 8259 4", text: `{"id":1`},
		{name: "an id that is null", about: "there is none", text: `{"id":null,"key":null}`, valid: true},
		{name: "an id that is an object", about: "there is none", text: `{"id":{"id":1},"key":[1]}`, valid: true},
		{name: "no object", about: "RFC 8259 2", text: `"id"`, valid: true},
	}
}

// reading is the configuration of a scatter that reads all of it.
func reading(onInvalid, unsolicited string) testkit.Scatter {
	return testkit.Scatter{Scatter: `send: {hash: key}, inspect: 8MiB, on_invalid: ` + onInvalid +
		`, gather: {id: id, timeout: 0s, unsolicited: ` + unsolicited + `}`}
}

// A client's text goes by on_invalid where it is not JSON that reads in one way,
// and where it is goes on as it came. Neither costs more than its size, nor is it
// felt by a session beside it.
func TestDocumentsOfClients(t *testing.T) {
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		for _, onInvalid := range []string{"default", "error", "close"} {
			s := perform(t, tr, 2, reading(onInvalid, "drop"), echo)
			for _, d := range documents() {
				if raced && len(d.text) > raceDocument {
					continue
				}
				t.Run(onInvalid+" "+d.name, func(t *testing.T) { s.wantDocument(t, &d, onInvalid) })
			}
		}
	})
}

// raceDocument is the largest document that is tried with the race detector, in
// bytes.
const raceDocument = 200 << 10

// most is what a document may cost, most of it in the test: a peer that reads a
// megabyte copies it as often as it comes in parts. What is read anew with each part
// would cost thousands of times its size.
func (d *document) most() uint64 { return 48<<20 + 256*uint64(len(d.text)) }

func (s *troupe) wantDocument(t *testing.T, d *document, onInvalid string) {
	t.Helper()
	client := s.enter(t)
	defer client.Close()
	end := testkit.Text(`{"id":"the end","key":1}`)
	wantCheap(t, d.name, d.most(), func() {
		poured := pour(client, client.Bytes(testkit.Text(d.text), end))
		s.wantBeside(t)
		switch {
		case d.valid || onInvalid == "default":
		case onInvalid == "error":
			f := client.Frame("it is answered with an error")
			if !strings.HasPrefix(f.Payload, `{"id":null,"error":"invalid message: `) {
				t.Errorf("that says what is wrong: got %v", f)
			}
		default:
			client.WantClose("it is the end", ws.CodeInvalidPayload)
			<-poured
			return
		}
		for f := client.Frame("it is echoed, or not paired"); f != end; f = client.Frame("then the end") {
			if f != testkit.Text(d.text) || !d.valid {
				t.Errorf("nothing comes but what was asked: got %v", f)
			}
		}
		<-poured
	})
	s.wantBeside(t)
}

// An instance's text that can't be read, or is no answer to what was asked, is
// unsolicited, whatever it looks like.
func TestDocumentsOfInstances(t *testing.T) {
	all := documents()
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		for _, unsolicited := range []string{"pass", "drop"} {
			lies := func(at int, leg *testkit.Peer, f testkit.Frame) {
				var k int
				if n, _ := fmt.Sscanf(f.Payload, `{"id":"lie","say":%d}`, &k); n == 1 {
					_ = leg.TrySend(leg.Bytes(testkit.Text(all[k].text)))
				}
				echo(at, leg, f)
			}
			s := perform(t, tr, 2, reading("default", unsolicited), lies)
			for k, d := range all {
				t.Run(unsolicited+" "+d.name, func(t *testing.T) {
					client := s.enter(t)
					defer client.Close()
					asked := testkit.Text(fmt.Sprintf(`{"id":"lie","say":%d}`, k))
					wantCheap(t, d.name, d.most(), func() {
						client.Send(asked)
						s.wantBeside(t)
						if unsolicited == "pass" {
							client.Want("it is passed on as it came", testkit.Text(d.text))
						}
						client.Want("it answers nothing, this does", asked)
					})
				})
			}
		}
	})
}
