package fanout

import (
	"strconv"
	"strings"
	"sync"
)

// epochsKept is how many past epochs of a stream are still understood.
const epochsKept = 256

// epochs say what clients call the messages of a log. The log numbers them
// without a break as long as the stream lives; what came after a break in the
// source's own stream has a new epoch. An offset is written EPOCH-N. Since the
// log knows no break, a client that stayed and counted on in an old epoch is
// understood too.
type epochs struct {
	mu   sync.Mutex // guards list
	list []epoch    // by at
}

// epoch is a name, and where it begins: its number first is the log's at.
type epoch struct {
	name      string
	first, at uint64
}

// begin has the messages from the log's number at on be called name-first and
// so on. A name that is known and does not go on as it did is not taken.
func (e *epochs) begin(name string, first, at uint64) (taken bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, old := range e.list {
		if old.name == name {
			return false
		}
	}
	if len(e.list) == epochsKept {
		e.list = append(e.list[:0], e.list[1:]...)
	}
	e.list = append(e.list, epoch{name, first, at})
	return true
}

// name gives what the log's number n is called.
func (e *epochs) name(n uint64) (epoch string, number uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.list) - 1; i >= 0; i-- {
		if p := e.list[i]; p.at <= n {
			return p.name, p.first + n - p.at
		}
	}
	return "", n
}

// oldest gives the first number that has a name.
func (e *epochs) oldest() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list[0].at
}

// mostBehind bounds, in bytes, what a head holds of epochs: it has 16 KiB for
// all.
const mostBehind = 12 << 10

// tellable gives the least number behind which all epochs fit into a head.
func (e *epochs) tellable() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	size := 0
	for i := len(e.list) - 1; i > 0; i-- {
		if size += len(e.list[i].name) + 2*20; size > mostBehind {
			return e.list[i].at
		}
	}
	return e.list[0].at
}

// behind lists the epochs that begin behind the log's number n, as another
// Sluice is told of them in Sluice-Epochs: EPOCH-N=K, K messages behind n.
func (e *epochs) behind(n uint64) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []string
	for _, p := range e.list {
		if p.at > n {
			list = append(list, p.name+"-"+strconv.FormatUint(p.first, 10)+"="+strconv.FormatUint(p.at-n, 10))
		}
	}
	return strings.Join(list, ", ")
}

// parseEpochs reads what behind wrote of a log whose number n is at here, known
// messages before it. What it can't read it leaves out: then numbers go on in
// the epoch before.
func parseEpochs(s string, at, known uint64) (list []epoch) {
	for part := range strings.SplitSeq(s, ",") {
		offset, count, _ := strings.Cut(strings.TrimSpace(part), "=")
		name, first, ok := parseOffset(offset)
		k, err := strconv.ParseUint(count, 10, 62)
		if ok && err == nil && k > known && len(list) < epochsKept && (len(list) == 0 || at+k-known >= list[len(list)-1].at) {
			list = append(list, epoch{name, first, at + k - known})
		}
	}
	return list
}

// offset writes what n is called.
func (e *epochs) offset(n uint64) string {
	name, number := e.name(n)
	return name + "-" + strconv.FormatUint(number, 10)
}

// number gives the log's number of what a client calls by an epoch and a
// number.
func (e *epochs) number(name string, number uint64) (n uint64, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.list {
		if p.name == name && number >= p.first {
			return p.at + number - p.first, true
		}
	}
	return 0, false
}

// parseOffset reads EPOCH-N.
func parseOffset(s string) (epoch string, n uint64, ok bool) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 || !validEpoch(s[:i]) {
		return "", 0, false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 63)
	return s[:i], n, err == nil && s[i+1] != '+'
}

// validEpoch tells whether s may be an epoch's name: it stands in headers, in
// queries and in event streams.
func validEpoch(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' {
			return false
		}
	}
	return true
}
