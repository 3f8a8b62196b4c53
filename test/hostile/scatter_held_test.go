package hostile_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// wantHeld wants no more than so many bytes of memory to be in use after f that
// were not before it.
func wantHeld(t *testing.T, sentence string, most uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapAlloc > before.HeapAlloc+most {
		t.Errorf("%s: at most %d KiB, holds %d KiB", sentence, most>>10, (after.HeapAlloc-before.HeapAlloc)>>10)
	}
}

// What is collected is bounded where one instance is late and others say much: they
// are not read for so long, and every message has its answer, whole.
func TestCollectedFloods(t *testing.T) {
	const asked = 300
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		var said atomic.Int64
		go3 := make(chan struct{})
		much := strings.Repeat("x", 60<<10)
		floods := func(at int, leg *testkit.Peer, f testkit.Frame) {
			if at < 2 {
				_ = leg.TrySend(leg.Bytes(testkit.Text(fmt.Sprintf(`{"id":%d,"much":"%s"}`, number(f), much))))
				said.Add(1)
			} else {
				<-go3
				_ = leg.TrySend(leg.Bytes(f))
			}
		}
		s := rehearse(t, tr, 3, testkit.Scatter{Scatter: `send: all, gather: {policy: collect, id: id, timeout: 0s}`}, floods)
		client := s.enter(t)
		wantHeld(t, "what is collected is bounded", 16<<20, func() {
			for id := range asked {
				client.Send(testkit.Text(fmt.Sprintf(`{"id":%d}`, id)))
			}
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for last := int64(0); last == 0 || said.Load() != last; <-tick.C { // until they are stuck
				last = said.Load()
			}
		})
		if n := said.Load(); n == 2*asked {
			t.Errorf("those who say much want to be stuck, and have said all")
		}
		close(go3)
		for id := range asked {
			f := client.Frame("each is answered")
			if n, whole := number(f), strings.Count(f.Payload, much); n != id || whole != 2 || strings.Contains(f.Payload, "ws://") {
				t.Fatalf("answer %d wants its id and all replies: got %d of the long ones in %v", id, whole, f)
			}
		}
		client.Send(testkit.Close(1000, ""))
		client.WantClose("and then nothing else", 1000)
	})
}

// What is remembered of messages that have their answer is bounded, too, however
// long their ids are.
func TestLongIDsThatAreOwed(t *testing.T) {
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		half := func(at int, leg *testkit.Peer, f testkit.Frame) {
			if at == 0 {
				echo(at, leg, f)
			}
		}
		s := rehearse(t, tr, 2, testkit.Scatter{Scatter: `send: all, gather: {policy: first, id: id, timeout: 0s}`}, half)
		client := s.enter(t)
		wantHeld(t, "long ids that an instance owes answers to", 16<<20, func() {
			for k := range 16 {
				long := testkit.Text(fmt.Sprintf(`{"id":"%s%d"}`, strings.Repeat("x", mega-100), k))
				client.Send(long)
				client.Want("one instance answers, the other never", long)
			}
		})
	})
}

// An instance that reads nothing is left; what it was asked is answered with an
// error, what others were asked by them: everything once.
func TestAnInstanceThatNeverReads(t *testing.T) {
	const asked = 400
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		never := make(chan struct{})
		defer close(never)
		stuck := func(at int, leg *testkit.Peer, f testkit.Frame) {
			if at == 0 && strings.Contains(f.Payload, "stuck") {
				<-never
			}
			echo(at, leg, f)
		}
		s := perform(t, tr, 2, testkit.Scatter{Timeouts: "write: 500ms", Scatter: `send: {hash: key}, gather: {id: id, timeout: 1s}`}, stuck)
		client := s.enter(t)
		var b []byte
		for id := range asked {
			b = append(b, client.Bytes(testkit.Text(fmt.Sprintf(`{"id":%d,"key":"stuck %d","much":"%060000d"}`, id, id%16, 0)))...)
		}
		poured := pour(client, b)
		s.wantBeside(t)
		answers, errors := map[int]int{}, 0
		for range asked {
			f := client.Frame("each is answered")
			if answers[number(f)]++; answers[number(f)] > 1 || number(f) >= asked {
				t.Fatalf("an answer that was not asked for: %v", f)
			}
			if strings.Contains(f.Payload, `"error"`) {
				errors++
			}
		}
		<-poured
		if len(answers) != asked || errors == 0 || errors == asked {
			t.Errorf("%d answers, %d errors: some of each, and to each message one", len(answers), errors)
		}
		s.wantBeside(t)
		client.Send(testkit.Close(1000, ""))
		client.WantClose("and then nothing else", 1000)
	})
}

// What inflates to more than two hundred times its size is a bomb, though it is
// less than a message may have. A bomb inside of a message is the instance's.
func TestBombsByRatio(t *testing.T) {
	everyTransport(t, func(t *testing.T, tr testkit.Transport) {
		s := perform(t, tr, 1, testkit.Scatter{Scatter: `send: {hash: key}, gather: {id: id}`}, echo)
		bomb := (&testkit.Deflater{}).Payload(`{"id":1,"much":"` + strings.Repeat("0", 15<<20) + `"}`)
		client := s.enter(t, deflateLine)
		wantCheap(t, "a bomb is inflated no further than its ratio", 24<<20, func() {
			client.Send(testkit.Frame{Op: ws.Text, RSV: ws.RSV1, Payload: bomb})
			client.WantClose("it is the end of who sent it", ws.CodeTooBig)
		})
		s.wantBeside(t)
		client = s.enter(t, deflateLine)
		client.Deflate()
		nested := (&testkit.Deflater{}).Payload(bomb)
		client.Send(testkit.Frame{Op: ws.Binary, RSV: ws.RSV1, Payload: nested})
		f := client.Frame("what is inside is echoed")
		if got := f.Payload; f.Op != ws.Binary || got != bomb && f.RSV == 0 {
			t.Errorf("it goes on as it was inside: want %d bytes, got %v", len(bomb), f)
		}
		s.wantBeside(t)
	})
}
