package fanout

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// received is an event as a page gets it.
type received struct{ name, data, id string }

// eventSource reads a stream as the standard has it (WHATWG HTML, section
// 9.2.6), and also gives the reconnection time. What is behind the last empty
// line is no event.
func eventSource(stream string) (got []received, retry int) {
	stream = strings.TrimPrefix(strings.ToValidUTF8(stream, "\uFFFD"), "\uFEFF")
	var now received
	var data strings.Builder
	for stream != "" {
		i := strings.IndexAny(stream, "\r\n")
		if i < 0 {
			break // a line that does not end is not looked at
		}
		line, rest := stream[:i], stream[i+1:]
		if stream[i] == '\r' {
			rest = strings.TrimPrefix(rest, "\n")
		}
		stream = rest
		if line == "" {
			if s := data.String(); s != "" {
				now.data = strings.TrimSuffix(s, "\n")
				if now.name == "" {
					now.name = "message"
				}
				got = append(got, now)
			}
			now.name = ""
			data.Reset()
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			now.name = value
		case "data":
			data.WriteString(value + "\n")
		case "id":
			if !strings.Contains(value, "\x00") {
				now.id = value
			}
		case "retry":
			if n, err := strconv.ParseUint(value, 10, 31); err == nil {
				retry = int(n)
			}
		}
	}
	return got, retry
}

// lineFeeds is what an event stream makes of a text's ends of line.
func lineFeeds(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

func TestAppendEvent(t *testing.T) {
	for _, c := range []struct {
		name             string
		numbered, binary bool
		payload, want    string
	}{
		{"a message", true, false, `{"bid":1}`, "id: e1-7\ndata: {\"bid\":1}\n\n"},
		{"one without a number", false, false, "hi", "data: hi\n\n"},
		{"an empty one", true, false, "", "id: e1-7\ndata: \n\n"},
		{"a binary one", true, true, "\x00\xff\n", "id: e1-7\nevent: binary\ndata: AP8K\n\n"},
		{"an empty binary one, without a number", false, true, "", "event: binary\ndata: \n\n"},
		{"two lines", false, false, "a\nb", "data: a\ndata: b\n\n"},
		{"a line end at the end", false, false, "a\n", "data: a\ndata: \n\n"},
		{"CRLF", false, false, "a\r\nb\r\n", "data: a\ndata: b\ndata: \n\n"},
		{"CR", false, false, "a\rb\r", "data: a\ndata: b\ndata: \n\n"},
		{"CR, CRLF, LF", false, false, "\r\r\n\n", "data: \ndata: \ndata: \ndata: \n\n"},
		{"LF, CR", false, false, "\n\r", "data: \ndata: \ndata: \n\n"},
		{"a space in front stays", false, false, " a", "data:  a\n\n"},
		{"a field's name is text", false, false, "id: x\n: y", "data: id: x\ndata: : y\n\n"},
	} {
		if got := string(appendEvent([]byte("before"), "e1", 7, c.numbered, c.binary, []byte(c.payload))); got != "before"+c.want {
			t.Errorf("%s: got %q, want %q", c.name, got[6:], c.want)
		}
	}
}

// TestEventsBesideMessages: what is not a message does not change one.
func TestEventsBesideMessages(t *testing.T) {
	b := appendRetry(nil, 1500)
	b = appendNamed(b, "offset", []byte(`{"next":"e1-7"}`))
	b = appendEvent(b, "e1", 7, true, false, []byte("a"))
	b = appendComment(b)
	b = appendNamed(b, "gap", []byte("two\nlines"))
	b = appendEvent(b, "e1", 8, true, true, []byte("b"))
	b = appendNamed(b, "close", nil)
	got, retry := eventSource(string(b))
	want := []received{
		{"offset", `{"next":"e1-7"}`, ""},
		{"message", "a", "e1-7"},
		{"gap", "two\nlines", "e1-7"}, // where the client stands, still
		{"binary", "Yg==", "e1-8"},
		{"close", "", "e1-8"},
	}
	if !slices.Equal(got, want) || retry != 1500 {
		t.Errorf("got %q and retry %d from\n%s", got, retry, b)
	}
}

// FuzzEvent: a client gets the payload back, its ends of line turned into line
// feeds, whatever stands around it; a binary one exactly.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{"", "\n", "\r", "\r\n", "a\r\r\n\nb", " a", "\x00", "\uFEFFa", "\u2028", "id: 1\n\ndata: x", `{"bid":1}`} {
		f.Add(s, "next", uint64(7), true, false)
	}
	f.Add("\xff\x00\n", "", uint64(1)<<63, false, true)
	f.Fuzz(func(t *testing.T, payload, next string, offset uint64, numbered, binary bool) {
		if !binary {
			payload = strings.ToValidUTF8(payload, "?")
		}
		next = strings.ToValidUTF8(next, "?")
		b := appendEvent(nil, "e1", offset, numbered, binary, []byte(payload))
		b = appendNamed(b, "gap", []byte(next))
		b = appendComment(b)
		b = appendEvent(b, "e2", 9, true, false, []byte(next))
		if !utf8.Valid(b) {
			t.Fatalf("not UTF-8: %q", b)
		}
		want := []received{{"message", lineFeeds(payload), ""}, {"gap", lineFeeds(next), ""}, {"message", lineFeeds(next), "e2-9"}}
		if numbered {
			want[0].id = "e1-" + strconv.FormatUint(offset, 10)
			want[1].id = want[0].id
		}
		if binary {
			want[0].name, want[0].data = "binary", base64.StdEncoding.EncodeToString([]byte(payload))
		}
		if got, _ := eventSource(string(b)); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q from\n%s", got, want, b)
		}
	})
}
