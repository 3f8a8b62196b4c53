package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"

	"github.com/sluice-proxy/sluice/internal/handshake"
)

var errStatus = errors.New("answer with a status that does not exist")

// Unreached is the answer for a client that no instance was found for, and what
// metrics call it: so many were tried, the last in vain for lack of time or not, and
// err is why no other is asked.
func Unreached(tried int, timeout bool, err error) (status int, result, what string) {
	switch {
	case tried == 0:
		return 503, "no_instance", err.Error()
	case timeout:
		return 504, "unreachable", "no instance could be reached in time"
	}
	return 502, "unreachable", "no instance could be reached"
}

// Unavailable is a refusal, 502 to 504, that is no fault of the client's: it is
// told to come again in some seconds.
func Unavailable(status int, what string) *handshake.Refusal {
	return &handshake.Refusal{Status: status, What: what, Header: ComeAgain(1, 4)}
}

// ComeAgain is the field that has a client come again in some seconds, where
// nobody knows when there will be room: least to most, by chance, so that clients
// who were told at the same time don't come together.
func ComeAgain(least, most int) [][2]string {
	return [][2]string{{"Retry-After", strconv.Itoa(least + rand.IntN(most-least+1))}}
}

// maxRefusal is how much of a refusal's body is passed on, in bytes.
const maxRefusal = 64 << 10

// ReadRefusal reads an instance's answer that is not a 101 and writes it again for
// the client: status, fields, and a body of up to 64 KiB. p is all that has come
// of it, and eof tells that no more will come. done is false while it is not
// whole.
func ReadRefusal(p []byte, eof bool) (answer []byte, done bool, err error) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
	if err != nil {
		return nil, false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode > 599 {
		return nil, false, errStatus
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	full := len(body) == maxRefusal
	endless := resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
	switch {
	case full:
	case err != nil && eof:
		return nil, false, err // cut off
	case err != nil, endless && !eof:
		return nil, false, nil
	}
	h := http.Header(handshake.Pass(resp.Header))
	if resp.StatusCode == http.StatusUpgradeRequired {
		copyField(h, resp.Header, "Sec-Websocket-Version")
		h.Set("Upgrade", "websocket")
		h.Set("Connection", "close, Upgrade")
	} else {
		h.Set("Connection", "close")
	}
	if resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 " + strconv.Itoa(resp.StatusCode) + " " + http.StatusText(resp.StatusCode) + "\r\n")
	_ = h.Write(&b) // a bytes.Buffer takes all
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes(), true, nil
}

func copyField(to, from http.Header, name string) {
	if v := from[name]; len(v) > 0 {
		to[name] = v
	}
}
