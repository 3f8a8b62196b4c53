package fanout

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendLine(t *testing.T) {
	for _, c := range []struct {
		name             string
		numbered, binary bool
		payload, want    string
	}{
		{"a message", true, false, `{"bid":1}`, `{"offset":"e1-7","data":"{\"bid\":1}"}`},
		{"one without a number", false, false, "hi", `{"data":"hi"}`},
		{"an empty one", true, false, "", `{"offset":"e1-7","data":""}`},
		{"a binary one", true, true, "\x00\xff\n", `{"offset":"e1-7","data":"AP8K","binary":true}`},
		{"an empty binary one, without a number", false, true, "", `{"data":"","binary":true}`},
		{"what has a letter", false, false, "\"\\\b\f\n\r\t", `{"data":"\"\\\b\f\n\r\t"}`},
		{"what has a number", false, false, "\x00\x0b\x1f", `{"data":"\u0000\u000b\u001f"}`},
		{"what stays", false, false, "/<&>\x7f\u2028é€😀", "{\"data\":\"/<&>\x7f\u2028é€😀\"}"},
	} {
		if got := string(appendLine([]byte("before"), "e1", 7, c.numbered, c.binary, []byte(c.payload))); got != "before"+c.want+"\n" {
			t.Errorf("%s: got %q, want %q", c.name, got[6:], c.want)
		}
	}
}

// FuzzLine: a line is one JSON object that decodes to exactly the message, and
// lines can be told apart.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "\n", "\"\\", "\x00\x1f\x7f", "\u2028\u2029", "<script>", "😀", `{"bid":1}`, `\u0041`} {
		f.Add(s, uint64(7), true, false)
	}
	f.Add("\xff\x00\n", uint64(1)<<63, false, true)
	f.Fuzz(func(t *testing.T, payload string, offset uint64, numbered, binary bool) {
		if !binary {
			payload = strings.ToValidUTF8(payload, "?")
		}
		b := appendLine(nil, "e1", offset, numbered, binary, []byte(payload))
		if bytes.IndexByte(b, '\n') != len(b)-1 || !utf8.Valid(b) || !json.Valid(b) {
			t.Fatalf("not a line of JSON: %q", b)
		}
		var got struct {
			Offset, Data *string
			Binary       *bool
		}
		in := json.NewDecoder(bytes.NewReader(b))
		in.DisallowUnknownFields()
		if err := in.Decode(&got); err != nil || got.Data == nil || (got.Offset != nil) != numbered || (got.Binary != nil) != binary {
			t.Fatalf("%q has other members: %v", b, err)
		}
		if numbered && *got.Offset != "e1-"+strconv.FormatUint(offset, 10) {
			t.Fatalf("%q has another offset", b)
		}
		data := *got.Data
		if binary {
			raw, err := base64.StdEncoding.DecodeString(data)
			if err != nil || !*got.Binary {
				t.Fatalf("%q: %v", b, err)
			}
			data = string(raw)
		}
		if data != payload {
			t.Fatalf("%q decodes to %q, want %q", b, data, payload)
		}
	})
}
