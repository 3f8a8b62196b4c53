package arbiter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/ws"
)

const window = 10 * time.Second

// desk is an arbiter whose lines are a, b and c, with a clock that the test
// moves.
type desk struct {
	t     testing.TB
	a     Arbiter
	lines map[string]*Line
	now   time.Duration
}

func newDesk(t testing.TB, names ...string) *desk {
	d := &desk{t: t, lines: map[string]*Line{}, now: time.Hour}
	d.a.Rules = Rules{Window: window, Bytes: 1 << 20}
	for _, name := range names {
		d.lines[name] = d.a.Line()
		d.a.Back(d.lines[name])
	}
	return d
}

// told gives what a call led to: numbers, and gaps in brackets,
// behind a new beginning if it is one.
func (d *desk) told(out *Out) string {
	var said []string
	if out.Anew {
		said = append(said, "anew")
	}
	for _, g := range out.Gaps {
		said = append(said, fmt.Sprintf("[%d+%d]", g.First, g.Count))
	}
	for _, m := range out.Messages {
		said = append(said, string(m.Payload))
	}
	return strings.Join(said, " ")
}

// says has a line deliver numbers, and wants this to come of it.
func (d *desk) says(sentence, line, want string, numbers ...int64) {
	d.t.Helper()
	var got []string
	for _, n := range numbers {
		text := []byte(fmt.Sprint(n))
		if s := d.told(d.a.Number(d.lines[line], n, Message{ws.Text, text}, d.now)); s != "" {
			got = append(got, s)
		}
		clear(text) // it is the caller's again
	}
	d.want(sentence, strings.Join(got, " "), want)
}

func (d *desk) want(sentence, got, want string) {
	d.t.Helper()
	if got != want {
		d.t.Fatalf("%s: got %q, want %q", sentence, got, want)
	}
}

// passes lets time go by.
func (d *desk) passes(sentence string, after time.Duration, want string) {
	d.t.Helper()
	d.now += after
	d.want(sentence, d.told(d.a.Tick(d.now)), want)
}

func (d *desk) dies(sentence, line, want string) {
	d.t.Helper()
	d.want(sentence, d.told(d.a.Lost(d.lines[line], d.now)), want)
}

func (d *desk) counts(sentence, line string, want Counts) {
	d.t.Helper()
	if got := d.lines[line].Counts; got != want {
		d.t.Fatalf("%s: line %s counts %+v, want %+v", sentence, line, got, want)
	}
}

func TestTheFirstToArriveWins(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("the first line begins the stream", "a", "7 8", 7, 8)
	d.says("the second comes late", "b", "", 7, 8)
	d.says("and then is first", "b", "9 10", 9, 10)
	d.says("so that the first is late", "a", "11", 9, 10, 11)
	d.counts("each is counted", "a", Counts{Won: 3, Late: 2})
	d.counts("each is counted", "b", Counts{Won: 2, Late: 2})
}

func TestAGapIsFilledByAnotherLine(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("a line begins", "a", "1", 1)
	d.says("it drops 2, so 3 waits", "a", "", 3, 4)
	d.says("the other line has it", "b", "2 3 4", 1, 2)
	d.counts("who dropped it missed it", "a", Counts{Won: 3, Missing: 1})
	d.says("a line that drops what is there", "b", "5", 5)
	d.counts("has missed it too", "b", Counts{Won: 2, Late: 1, Missing: 2})
}

func TestAGapThatAllHavePassedIsReportedOnce(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("both follow", "a", "1", 1)
	d.says("both follow", "b", "", 1)
	d.says("one drops two numbers", "a", "", 4)
	d.says("and the other too", "b", "[2+2] 4 5", 5)
	d.says("nothing more is said of it", "a", "6", 5, 6)
	d.says("a gap that only one line is there to fill", "b", "", 8)
	d.dies("is not given up when that line dies", "a", "")
	d.passes("which may come back", Comeback-1, "")
	d.passes("for a little", 1, "[7+1] 8")
	d.says("the next gap is not waited for", "b", "[9+1] 10", 10)
	d.counts("what nobody had nobody missed", "b", Counts{Won: 3, Late: 1, Missing: 2})
}

// A line that dies and repeats what it had to say when it is back fills the gap in
// order.
func TestALineThatComesBackFillsTheGap(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("both follow", "a", "1", 1)
	d.says("both follow", "b", "", 1)
	d.dies("one dies", "a", "")
	d.says("the other drops a number", "b", "2", 2, 4)
	d.passes("which waits", Comeback/2, "")
	d.a.Back(d.lines["a"])
	d.says("the first is back and repeats what it said", "a", "3 4", 2, 3)
	d.says("and goes on", "a", "5", 4, 5)
}

func TestASilentLineIsWaitedForOnce(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("both follow", "a", "1", 1)
	d.says("both follow", "b", "", 1)
	d.says("a gap", "a", "", 3)
	d.passes("is waited for", window-1, "")
	d.passes("for the window and no longer", 1, "[2+1] 3")
	d.says("the next gap is not: the other line is behind", "a", "[4+1] 5", 5)
	d.says("what it fills comes late", "b", "2 4", 2, 3, 4)
	d.counts("and is counted so", "b", Counts{Late: 2, Filled: 2})
	d.says("once it is there", "b", "", 5)
	d.says("it is waited for again", "a", "", 7)
	d.says("and fills", "b", "6 7", 6)
}

// A message waits for the window since it came, whatever gap it waits for.
func TestNothingWaitsLongerThanTheWindow(t *testing.T) {
	d := newDesk(t, "a", "b", "c")
	d.says("all follow", "a", "1", 1)
	d.says("all follow", "b", "", 1)
	d.says("all follow", "c", "", 1)
	d.says("one is far ahead", "a", "", 9)
	d.now += window / 2
	d.says("one less", "b", "", 5)
	d.passes("the first to come is released in time, with what is before it", window/2, "[2+3] [6+3] 5 9")
}

func TestMemoryIsBounded(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.a.Rules.Bytes = 3 * (perItem + 1)
	d.says("both follow", "a", "1", 1)
	d.says("both follow", "b", "", 1)
	d.says("what fits is held", "a", "", 3, 4, 5)
	d.says("one more, and the gap is given up", "a", "[2+1] 3 4 5 6", 6)
	d.says("and the line that was awaited is behind", "a", "[7+1] 8", 8)
}

func TestALineThatComesBackMayRepeatThePast(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("two lines", "a", "1 2 3 4 5", 1, 2, 3, 4, 5)
	d.says("two lines", "b", "", 1, 2)
	d.dies("one dies", "b", "")
	d.passes("long ago", 3*window, "")
	d.says("the other goes on", "a", "6 7", 6, 7)
	d.a.Back(d.lines["b"])
	d.says("it repeats what is not remembered any more", "b", "", 1, 2, 3, 4, 5)
	d.says("until it is there", "b", "8", 6, 7, 8)
	d.counts("all that was late", "b", Counts{Won: 1, Late: 9})
}

func TestTheStreamFollowsARestartOfAll(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("two lines", "a", "1000 1001", 1000, 1001)
	d.says("two lines", "b", "", 1000, 1001)
	d.passes("after a while", 2*window, "")
	d.says("and one number more", "a", "1002", 1002)
	d.says("on both", "b", "", 1002)
	d.says("one begins anew: it is kept", "a", "", 1, 2)
	d.says("until the other has, too", "b", "anew 1 2", 1)
	d.says("and all goes on in order", "b", "3", 2, 3)
	d.says("with gaps", "a", "", 5)
	d.says("and fills", "b", "4 5", 4)
}

func TestOneLineThatRestartsAloneIsNotFollowed(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("two lines", "a", "1000 1001", 1000, 1001)
	d.says("two lines", "b", "", 1000, 1001)
	d.passes("after a while", 2*window, "")
	d.says("one begins anew", "a", "", 1, 2)
	d.passes("it is kept", window/2, "")
	d.says("the other goes on", "b", "1002", 1002)
	d.passes("what is kept is dropped in time", window/2, "")
	d.says("while the other goes on", "b", "1003", 1003)
	d.counts("and counted", "a", Counts{Won: 2, Old: 2})
	d.says("it is still elsewhere", "a", "", 3)
	d.dies("until it is the only one", "b", "anew 3")
	d.says("which the stream follows", "a", "4", 4)
}

func TestARestartBesideASilentLineIsFollowed(t *testing.T) {
	d := newDesk(t, "a", "b")
	d.says("two lines", "a", "1000 1001", 1000, 1001)
	d.says("two lines", "b", "", 1000, 1001)
	d.passes("after a while", 2*window, "")
	d.says("one begins anew, the other says nothing", "a", "", 1, 2)
	d.passes("it is kept for the window", window-1, "")
	d.passes("and no longer", 1, "anew 1 2")
}

func TestARestartAfterAnOutageIsFollowed(t *testing.T) {
	d := newDesk(t, "a")
	d.says("one line", "a", "1000 1001", 1000, 1001)
	d.dies("dies", "a", "")
	d.passes("and nothing comes of it", 2*window, "")
	d.a.Back(d.lines["a"])
	d.says("what it says now may be the past", "a", "", 1, 2)
	d.passes("but it does not come to an end", window, "anew 1 2")
	d.says("and is followed", "a", "3", 3)
}

func TestWhatHasNoNumberComesOnce(t *testing.T) {
	d := newDesk(t, "a", "b")
	whole := func(sentence, line string, sum uint64, want string) {
		t.Helper()
		m := Message{ws.Text, fmt.Append(nil, sum)}
		d.want(sentence, d.told(d.a.Whole(d.lines[line], Sum{sum, 1}, m, d.now)), want)
	}
	whole("a heartbeat", "a", 5, "5")
	whole("of both lines", "b", 5, "")
	whole("another", "b", 6, "6")
	d.now += window
	whole("is forgotten after the window", "a", 5, "5")
	d.a.Rules.Bytes = 3 * perSum
	for sum := range uint64(10) {
		whole("or when there are too many", "a", 100+sum, fmt.Sprint(100+sum))
	}
	whole("the oldest first", "b", 100, "100")
	whole("and not the latest", "b", 109, "")
	if n := len(d.a.seen.when); n > 3 {
		t.Errorf("%d are remembered, want 3 at the most", n)
	}
}

func TestInOrderAllocatesNothing(t *testing.T) {
	d := newDesk(t, "a", "b")
	m, n := Message{ws.Text, []byte("x")}, int64(0)
	if got := testing.AllocsPerRun(1000, func() {
		n++
		d.now += time.Millisecond
		d.a.Number(d.lines["a"], n, m, d.now)
		d.a.Number(d.lines["b"], n, m, d.now)
	}); got > 0 {
		t.Errorf("a number that two lines deliver allocates %v times", got)
	}
}
