package fanout

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// An offset is read back as it was written, for every message that has one.
func TestOffsetsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e epochs
		at := uint64(0)
		names := map[string]bool{}
		for k := range rapid.IntRange(1, 2*epochsKept).Draw(t, "epochs") {
			name := rapid.StringMatching(`[0-9a-zA-Z_]{1,3}`).Draw(t, "name")
			first := rapid.SampledFrom([]uint64{0, 1, 1 << 40}).Draw(t, "first")
			taken := e.begin(name, first, at)
			if taken == names[name] && len(names) < epochsKept {
				t.Fatalf("epoch %q, the %dth, is taken: %v", name, k, taken)
			}
			if taken {
				names[name] = true
			} else {
				continue
			}
			if got, n := e.name(at); got != name || n != first {
				t.Fatalf("message %d is %s-%d, want %s-%d", at, got, n, name, first)
			}
			at += rapid.SampledFrom([]uint64{0, 1, 100}).Draw(t, "messages")
		}
		oldest := e.list[0].at
		for n := oldest; n <= at; n += 1 + (at-oldest)/50 {
			name, number, ok := parseOffset(e.offset(n))
			if !ok {
				t.Fatalf("%q is not an offset", e.offset(n))
			}
			if back, ok := e.number(name, number); !ok || back != n {
				t.Fatalf("%s is message %d, %v, want %d", e.offset(n), back, ok, n)
			}
		}
	})
}

func TestAnEpochGoesOnForThoseWhoStayed(t *testing.T) {
	var e epochs
	e.begin("a", 10, 0)
	e.begin("b", 0, 5)
	for offset, want := range map[string]uint64{"a-10": 0, "a-14": 4, "a-15": 5, "a-99": 89, "b-0": 5, "b-7": 12} {
		name, number, _ := parseOffset(offset)
		if n, ok := e.number(name, number); !ok || n != want {
			t.Errorf("%s is message %d, %v, want %d", offset, n, ok, want)
		}
	}
	for _, offset := range []string{"a-9", "c-0"} {
		name, number, _ := parseOffset(offset)
		if n, ok := e.number(name, number); ok {
			t.Errorf("%s is message %d, and should not be known", offset, n)
		}
	}
}

func TestAnEpochIsNotBegunTwice(t *testing.T) {
	var e epochs
	if !e.begin("a", 0, 0) || e.begin("a", 0, 7) || e.begin("a", 7, 7) {
		t.Error("a name is taken again: its numbers would mean two things")
	}
	for k := range epochsKept {
		e.begin("x"+strconv.Itoa(k), 0, uint64(k))
	}
	if _, ok := e.number("a", 0); ok || len(e.list) != epochsKept {
		t.Errorf("%d epochs are known, and the first is: %v", len(e.list), ok)
	}
}

func TestWhatIsAnOffset(t *testing.T) {
	for text, want := range map[string]bool{
		"a-0": true, "A_9-18": true, "a-9223372036854775807": true, strings.Repeat("e", 64) + "-1": true,
		"": false, "-": false, "a": false, "a-": false, "-1": false, "a--1": false, "a-+1": false, "a-1x": false, "a- 1": false,
		"a-9223372036854775808": false, "a-99999999999999999999": false, "a-0x1": false, "a-1_0": false,
		strings.Repeat("e", 65) + "-1": false, "ä-1": false, "a b-1": false, "a\n-1": false, "a-b-1": false,
	} {
		if _, _, ok := parseOffset(text); ok != want {
			t.Errorf("%q is an offset: %v, want %v", text, ok, want)
		}
	}
	for range 100 {
		if name := newEpoch(); !validEpoch(name) {
			t.Errorf("%q is no name for an epoch", name)
		}
	}
}

func FuzzParseOffset(f *testing.F) {
	for _, s := range []string{"a-1", "-", "a-", "e_1-9223372036854775807", "a-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, n, ok := parseOffset(s)
		if !ok {
			return
		}
		again := name + "-" + strconv.FormatUint(n, 10)
		if back, m, ok := parseOffset(again); !ok || back != name || m != n {
			t.Errorf("%q is read as %q, and that as %s, %d, %v", s, again, back, m, ok)
		}
	})
}

func TestEpochsAreToldToAnotherSluice(t *testing.T) {
	var e epochs
	e.begin("a", 0, 0)
	e.begin("b", 100, 10)
	e.begin("c", 0, 25)
	for n, want := range map[uint64]string{0: "b-100=10, c-0=25", 9: "b-100=1, c-0=16", 10: "c-0=15", 25: "", 30: ""} {
		told := e.behind(n)
		if told != want {
			t.Errorf("behind %d begin %q, want %q", n, told, want)
		}
		// The other's log has other numbers, but the same names.
		other := epochs{}
		name, first := e.name(n)
		other.begin(name, first, 1000)
		for _, p := range parseEpochs(told, 1000, 0) {
			other.begin(p.name, p.first, p.at)
		}
		for m := n; m < 40; m++ {
			if here, there := e.offset(m), other.offset(1000+m-n); here != there {
				t.Errorf("told of %q from %d on, %d is called %s, want %s", told, n, m, there, here)
			}
		}
	}
	for _, bad := range []string{"", ",", "x", "a-1", "a-1=", "a-1=-1", "a-1=x", "-1=1", "a-1=99999999999999999999", "b-0=9223372036854775807"} {
		if got := parseEpochs(bad, 0, 0); len(got) > 0 {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
	if got := parseEpochs("a-0=5, b-0=3", 0, 0); len(got) != 1 {
		t.Errorf("epochs begin in order: got %v", got)
	}
}
