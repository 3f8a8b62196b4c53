package fanout

import (
	"bytes"
	"encoding/base64"
	"strconv"
)

// appendEvent appends one message as a Server-Sent Event (WHATWG HTML, section
// 9.2). A numbered one says what to resume from, as EPOCH-N; the epoch is
// letters, digits and underscores. A client gets back the payload with every
// end of line turned into a line feed, which is all that the format can carry;
// a binary payload comes as an event of that name, in base64.
func appendEvent(b []byte, epoch string, offset uint64, numbered, binary bool, payload []byte) []byte {
	if numbered {
		b = append(b, "id: "...)
		b = append(b, epoch...)
		b = append(b, '-')
		b = strconv.AppendUint(b, offset, 10)
		b = append(b, '\n')
	}
	if binary {
		b = append(b, "event: binary\ndata: "...)
		b = base64.StdEncoding.AppendEncode(b, payload)
		return append(b, "\n\n"...)
	}
	b = appendData(b, payload)
	return append(b, '\n')
}

// appendNamed appends an event of ours, which is not a message and has no
// number.
func appendNamed(b []byte, event string, data []byte) []byte {
	b = append(b, "event: "...)
	b = append(b, event...)
	b = append(b, '\n')
	b = appendData(b, data)
	return append(b, '\n')
}

// appendRetry tells the client how long to wait before it connects again.
func appendRetry(b []byte, ms int) []byte {
	b = append(b, "retry: "...)
	b = strconv.AppendInt(b, int64(ms), 10)
	return append(b, "\n\n"...)
}

// appendComment appends what a client ignores, to keep the connection alive.
func appendComment(b []byte) []byte { return append(b, ":\n\n"...) }

// appendData appends a field for each line of p, for an end of line would end
// the field. An end of line at the end of p has an empty line behind it, and
// an empty p is one empty line. Each byte is looked at twice at most.
func appendData(b, p []byte) []byte {
	for more := true; more; {
		var line []byte
		if line, p, more = bytes.Cut(p, []byte{'\n'}); more {
			line = bytes.TrimSuffix(line, []byte{'\r'})
		}
		for cr := true; cr; {
			var part []byte
			part, line, cr = bytes.Cut(line, []byte{'\r'})
			b = append(b, "data: "...)
			b = append(b, part...)
			b = append(b, '\n')
		}
	}
	return b
}
