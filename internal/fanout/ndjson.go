package fanout

import (
	"encoding/base64"
	"strconv"
)

// appendLine appends one message as a line of NDJSON,
//
//	{"offset":"EPOCH-N","data":"…"}
//
// with the offset where it is numbered; the epoch is letters, digits and
// underscores. A text payload is valid UTF-8, and the string decodes to exactly
// that; a binary one is in base64 and "binary":true behind it.
func appendLine(b []byte, epoch string, offset uint64, numbered, binary bool, payload []byte) []byte {
	b = append(b, '{')
	if numbered {
		b = append(b, `"offset":"`...)
		b = append(b, epoch...)
		b = append(b, '-')
		b = strconv.AppendUint(b, offset, 10)
		b = append(b, `",`...)
	}
	b = append(b, `"data":"`...)
	if binary {
		b = base64.StdEncoding.AppendEncode(b, payload)
		return append(b, "\",\"binary\":true}\n"...)
	}
	b = appendEscaped(b, payload)
	return append(b, "\"}\n"...)
}

// escapes says how a byte is written in a JSON string (RFC 8259, section 7):
// 0 as it is, 'u' by its number, else by that letter behind a backslash. Line
// separators (U+2028) may stand, and so may what HTML would read.
var escapes = func() (e [256]byte) {
	for c := range ' ' {
		e[c] = 'u'
	}
	e['\b'], e['\t'], e['\n'], e['\f'], e['\r'] = 'b', 't', 'n', 'f', 'r'
	e['"'], e['\\'] = '"', '\\'
	return e
}()

// appendEscaped appends what stands in a JSON string for p, plain bytes a run
// at a time.
func appendEscaped(b, p []byte) []byte {
	const hex = "0123456789abcdef"
	plain := 0
	for i, c := range p {
		e := escapes[c]
		if e == 0 {
			continue
		}
		b = append(b, p[plain:i]...)
		b = append(b, '\\', e)
		if e == 'u' {
			b = append(b, '0', '0', hex[c>>4], hex[c&15])
		}
		plain = i + 1
	}
	return append(b, p[plain:]...)
}
