package gather

import (
	"strings"
	"testing"
	"time"
)

// Every answer is the client's, once a leg that was asked, and whoever asked
// first is answered first.
func TestInterleave(t *testing.T) {
	d := newDesk(t, Rules{})
	d.asks("7", 1)
	d.want("an answer is the client's", 1, "7", "x", Pass)
	d.want("what comes after it answers nothing", 1, "7", "x", Unknown)
	d.asks("7", 1)
	d.want("another leg was not asked", 2, "7", "x", Unknown)
	d.want("nor was this one that", 1, "77", "x", Unknown)
	d.asks("7", 2)
	d.want("the same id may be asked of another", 2, "7", "x", Pass)
	d.want("and each has its own", 1, "7", "x", Pass)
	d.wantEmpty("that was all")

	d.asks("8", 1, 2, 3)
	d.want("of all that were asked the first", 2, "8", "x", Pass)
	if d.Waiting() != 0 {
		t.Errorf("one answer is enough to be waited for no more")
	}
	d.want("a second", 1, "8", "x", Pass)
	d.want("not the same again", 2, "8", "x", Unknown)
	d.want("and the third are the client's", 3, "8", "x", Pass)
	d.wantEmpty("that was all")
}

// An id that is used again while it is unanswered: answers are paired in the
// order of asking.
func TestOneIDManyTimes(t *testing.T) {
	d := newDesk(t, Rules{})
	for range 50 {
		d.asks("7", 1)
	}
	for range 50 {
		d.want("each is answered", 1, "7", "x", Pass)
	}
	d.want("and no more", 1, "7", "x", Unknown)
	d.wantEmpty("that was all")
}

// The first answer is the client's. The other one comes too late, is known, and is
// not awaited for ever.
func TestFirst(t *testing.T) {
	d := newDesk(t, Rules{Policy: First, Timeout: time.Second})
	d.asks("7", 1, 2)
	d.want("the first answer is the client's", 2, "7", "x", Pass)
	d.want("the second comes too late", 1, "7", "x", Late)
	d.want("a third answers nothing", 1, "7", "x", Unknown)
	d.wantEmpty("that was all")

	d.asks("7", 1, 2)
	d.want("once more the first", 1, "7", "x", Pass)
	d.asks("7", 1)
	d.want("a new message of that id is answered by itself", 1, "7", "x", Pass)
	d.want("the old one's second answer still comes too late", 2, "7", "x", Late)
	d.wantEmpty("that was all")

	d.asks("7", 1, 2)
	d.want("the first", 1, "7", "x", Pass)
	d.wantNext("what leg 2 owes is remembered for a while", time.Second+late)
	d.wantAt("and then forgotten", time.Second+late, nil, nil)
	d.want("so that it answers nothing", 2, "7", "x", Unknown)
	d.wantEmpty("that was all")
}

// Without a timeout the first answer may come after a day, and so may the second.
func TestFirstWithoutTimeout(t *testing.T) {
	d := newDesk(t, Rules{Policy: First})
	d.asks("7", 1, 2)
	d.wantAt("nothing expires", 24*time.Hour, nil, nil)
	d.want("the first answer is the client's", 2, "7", "x", Pass)
	d.wantAt("nothing is forgotten", 48*time.Hour, nil, nil)
	d.want("the second comes too late", 1, "7", "x", Late)
	d.wantEmpty("that was all")
}

// The second copy goes out later, if there is no answer by then.
func TestHedge(t *testing.T) {
	d := newDesk(t, Rules{Policy: First, Hedge: true, HedgeAfter: 100 * time.Millisecond, Timeout: time.Second})
	d.now = time.Second
	d.asks("1", 1)
	d.asks("2", 1)
	d.now += 50 * time.Millisecond
	d.asks("3", 1)
	d.wantNext("the first copies have their time", 1100*time.Millisecond)
	d.want("one is answered", 1, "1", "x", Pass)
	d.wantAt("which is not hedged", 1100*time.Millisecond, nil, []string{"2"})
	d.wantNext("the other's time comes later", 1150*time.Millisecond)
	e := d.waiting.last
	if !d.Unhedged(e) || d.Unhedged(e) {
		t.Errorf("a second copy that goes out before its time goes out once")
	}
	d.wantAt("then it is not due any more", 1150*time.Millisecond, nil, nil)
	d.wantNext("what is left is the timeout", 2*time.Second)
	d.wantAt("the timeouts come in order", 2050*time.Millisecond, []string{"2", "3"}, nil)
	d.want("what comes now is late", 1, "2", "x", Late)
	d.want("each", 1, "3", "x", Late)
	d.wantEmpty("that was all")
}

// What all answered is one answer, in the order of asking, as it came.
func TestCollect(t *testing.T) {
	d := newDesk(t, Rules{Policy: Collect, Timeout: time.Second})
	wantWhole := func(sentence string, e *Entry, want string) {
		t.Helper()
		if e == nil || string(e.AppendCollected(nil)) != want {
			t.Fatalf("%s: want %s, got %s", sentence, want, e.AppendCollected(nil))
		}
		d.Settle(e)
	}
	e := d.asks(`"a"`, 1, 2)
	d.Missing(e, "down")
	d.sent(e, 3)
	d.want("the first is held", 3, `"a"`, ` {"n":3}`, Held)
	d.want("it has said all it owes", 3, `"a"`, `{}`, Unknown)
	d.want("so is the second", 1, `"a"`, `{"n":1}`, Held)
	whole := d.want("with the last they are whole", 2, `"a"`, `{"n":2}`, Whole)
	wantWhole("in the order of asking", whole, `{"id":"a","replies":[{"n":1},{"n":2}, {"n":3}],"missing":["down"]}`)
	d.wantEmpty("that was all")

	d.asks("1", 1, 2)
	d.want("one answers", 1, "1", "1", Held)
	orphans := d.wantLost("the other is lost", 2, "1")
	wantWhole("and is missing", orphans[0], `{"id":1,"replies":[1],"missing":["b"]}`)
	d.wantEmpty("that was all")

	d.asks("1", 1, 2, 3)
	d.want("one answers", 1, "1", "1", Held)
	d.wantLost("the second is lost, and the third is awaited", 2)
	whole = d.want("until it answers", 3, "1", "3", Whole)
	wantWhole("then that is all", whole, `{"id":1,"replies":[1,3],"missing":["b"]}`)
	d.wantEmpty("that was all")

	d.asks("1", 1, 2)
	d.want("one answers", 1, "1", "1", Held)
	d.wantAt("the other not in time", time.Second, []string{"1"}, nil)
	d.want("what it says then is late", 2, "1", "2", Late)
	d.wantEmpty("that was all")
}

// An instance's name may be anything.
func TestCollectedNames(t *testing.T) {
	d := newDesk(t, Rules{Policy: Collect})
	e := d.asks("1")
	d.Missing(e, "a\"b\\c\n\xff")
	if got, want := string(e.AppendCollected(nil)), `{"id":1,"replies":[],"missing":["a\"b\\c\n\ufffd"]}`; got != want {
		t.Errorf("want %s, got %s", want, got)
	}
}

// What is collected is bounded: there is no more to be read then of who does not
// owe the oldest message's, which gets whole in any case; what has no room is
// missing.
func TestCollectIsBounded(t *testing.T) {
	d := newDesk(t, Rules{Policy: Collect, Bytes: 1000})
	reply := strings.Repeat("1", 600)
	d.asks("1", 1, 2, 3)
	d.asks("2", 1, 2)
	d.want("a reply to the second message has room", 1, "2", reply, Held)
	d.want("one to the first is held anyway", 1, "1", reply, Held)
	d.wantFull("now no more is asked", true)
	for leg, want := range map[uint32]bool{1: true, 2: false, 3: false} {
		if got := d.Crowded(leg); got != want {
			t.Errorf("leg %d is not to be read: want %v, got %v", leg, want, got)
		}
	}
	e := d.want("and another reply to the second has no room, and is the last", 2, "2", reply, NoRoom)
	if got, want := string(e.AppendCollected(nil)), `{"id":2,"replies":[`+reply+`],"missing":["b"]}`; got != want {
		t.Errorf("it is missing: got %s", got)
	}
	d.Settle(e)
	d.want("the first goes on", 2, "1", reply, Held)
	d.Settle(d.want("and gets whole", 3, "1", reply, Whole))
	d.wantFull("what went out is not held", false)
	if d.Crowded(1) {
		t.Errorf("all may be read again")
	}
	d.wantEmpty("that was all")
}

// A lost leg's messages are given in the order of asking; they are asked of
// another, or settled.
func TestLost(t *testing.T) {
	d := newDesk(t, Rules{})
	d.asks("1", 1)
	d.asks("2", 2)
	d.asks("3", 1, 2)
	e4 := d.asks("4", 1)
	d.Unsent(e4, 1)
	if d.Unsent(e4, 1); !e4.Orphaned() {
		t.Errorf("who was not asked after all is not awaited")
	}
	if !d.Owes(1) || d.Owes(3) {
		t.Errorf("leg 1 owes answers, leg 3 none")
	}
	orphans := d.wantLost("of what leg 1 was asked, leg 2 answers the third", 1, "1")
	if d.wantLost("nothing is lost twice", 1); d.Owes(1) {
		t.Errorf("what is lost owes nothing")
	}
	d.sent(orphans[0], 2)
	d.want("another leg answers instead", 2, "1", "x", Pass)
	d.want("the lost one doesn't any more", 1, "3", "x", Unknown)
	d.want("the other does", 2, "3", "x", Pass)
	d.want("and what was always its", 2, "2", "x", Pass)
	d.Settle(e4)
	d.wantEmpty("that was all")

	d.asks("5", 1, 2)
	d.want("one of two answers", 1, "5", "x", Pass)
	d.wantLost("the other is lost, which nobody waits for", 2)
	d.wantEmpty("that was all")
}

// While something about a key is unanswered, that goes where the next goes to.
func TestPins(t *testing.T) {
	const key = 9
	d := newDesk(t, Rules{})
	about := func(id string, leg uint32) *Entry {
		e := d.asks(id, leg)
		d.About(e, key)
		return e
	}
	d.wantPinned("nothing is asked", key, free)
	about("1", 1)
	about("2", 1)
	d.wantPinned("while it is", key, 1)
	d.want("one answer", 1, "1", "x", Pass)
	d.wantPinned("the other is awaited", key, 1)
	d.wantPinned("which is not about that", key+1, free)
	e := d.wantLost("the leg is lost", 1, "2")[0]
	d.sent(e, 2)
	d.Repin(e)
	d.wantPinned("the message was asked of another", key, 2)
	about("3", 2)
	d.want("an answer", 2, "2", "x", Pass)
	d.wantPinned("one is awaited still", key, 2)
	d.want("the last", 2, "3", "x", Pass)
	d.wantPinned("nothing is", key, free)

	e = d.asks("4")
	d.About(e, key)
	d.wantPinned("what nobody was asked yet holds the place of others", key, 0)
	about("5", 1)
	d.sent(e, 1)
	d.Repin(e)
	d.Repin(e)
	d.want("one of two is answered", 1, "5", "x", Pass)
	d.wantPinned("the other counts, too, and once", key, 1)
	d.want("the other", 1, "4", "x", Pass)
	d.wantEmpty("that was all")

	e = d.asks("6")
	d.About(e, key)
	about("7", 1)
	d.Settle(e)
	d.wantPinned("what was never asked takes no pin away", key, 1)
	d.want("who has it does", 1, "7", "x", Pass)
	d.wantEmpty("that was all")
}

// Unanswered messages are bounded by number and by bytes; what is owed to those
// that have an answer is bounded by itself.
func TestBounds(t *testing.T) {
	d := newDesk(t, Rules{Policy: First, Messages: 3, Bytes: 1000})
	d.Hold(d.asks("1", 1, 2), make([]byte, 2000))
	d.wantFull("one is too much for another", true)
	d.want("it is answered", 1, "1", "x", Pass)
	d.wantFull("what is held no more does not count", false)
	for _, id := range []string{"2", "3", "4"} {
		d.wantFull("three are few enough", false)
		d.asks(id, 1, 2)
	}
	d.wantFull("four would not be", true)
	for _, id := range []string{"2", "3", "4"} {
		d.want("they are answered", 1, id, "x", Pass)
	}
	d.want("so the oldest that was owed is forgotten", 2, "1", "x", Unknown)
	d.want("no other is", 2, "2", "x", Late)

	long := strings.Repeat("5", 400)
	d.asks(long, 1, 2)
	d.want("a long id", 1, long, "x", Pass)
	d.want("counts twice over, and still is not too much", 2, "3", "x", Late)
	d.asks(long+"0", 1, 2)
	d.want("another one is", 1, long+"0", "x", Pass)
	d.want("then who was owed longest is forgotten", 2, "4", "x", Unknown)
	d.want("each until there is room", 2, long, "x", Unknown)
	d.want("the latest is not", 2, long+"0", "x", Late)
	d.wantEmpty("that was all")
}

// A leg that owes more than can be remembered is told of, unless that is so old that
// it will hardly come.
func TestTooFarBehind(t *testing.T) {
	d := newDesk(t, Rules{Policy: First, Messages: 2, Timeout: time.Second})
	ask := func(id string) {
		d.asks(id, 1, 2)
		d.want("the first answers", 1, id, "x", Pass)
	}
	ask("1")
	ask("2")
	if len(d.far) != 0 {
		t.Fatalf("two late answers are remembered, got %v told of", d.far)
	}
	ask("3")
	if len(d.far) != 1 || d.far[0] != 2 {
		t.Fatalf("a third is too much of leg 2, got %v told of", d.far)
	}
	d.now += time.Second + late
	ask("4")
	if len(d.far) != 1 {
		t.Fatalf("what is as old is only forgotten, got %v told of", d.far)
	}
}
