package content

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAValueHasOneNameHoweverItIsWritten(t *testing.T) {
	for _, c := range []struct {
		key string
		of  []string
	}{
		{`5`, []string{`5`, `5.0`, `5e0`, `0.5E+1`, `50e-1`, `500.00e-02`, `"5"`, `"\u0035"`}},
		{`-5`, []string{`-5`, `-5.0`}},
		{`0`, []string{`0`, `-0`, `0.000`, `0e5`, `0e-99999999999999999999`, `-0.0E999999999`}},
		{`12.5`, []string{`12.5`, `12.50`, `125e-1`, `0.125e2`}},
		{`0.001`, []string{`0.001`, `1e-3`, `10e-4`}},
		{`-0.015`, []string{`-0.015`, `-15e-3`}},
		{`1000000`, []string{`1000000`, `1e6`, `1.000E6`}},
		{`9007199254740993`, []string{`9007199254740993`, `9007199254740993.0`}},
		{`123456789012345678901234567890.5`, []string{`123456789012345678901234567890.5`}},
		{`1000000000000000000000`, []string{`1e21`}},
		{`1e22`, []string{`1e22`, `10000000000000000000000`, `0.1e23`}},
		{`0.0000000000000000000001`, []string{`1e-22`}},
		{`1e-23`, []string{`1e-23`, `0.00000000000000000000001`}},
		{`12e999999998`, []string{`1.2e999999999`, `120e999999997`}},
		{`true`, []string{`true`, `"true"`}},
		{`false`, []string{`false`}},
		{``, []string{`""`}},
		{`é"😀`, []string{`"é\"😀"`, `"\u00e9\u0022\ud83d\ude00"`}},
	} {
		for _, raw := range c.of {
			got, ok := Value{raw}.Key([]byte("before "))
			if !ok || string(got) != "before "+c.key {
				t.Errorf("%s is named %q, %v; want %q", raw, got, ok, "before "+c.key)
			}
		}
	}
}

func TestAnIDKeepsKindsApart(t *testing.T) {
	for _, c := range []struct{ raw, id string }{
		{`5`, "n5"}, {`5.0`, "n5"}, {`50e-1`, "n5"}, {`"5"`, "s5"}, {`"n5"`, "sn5"}, {`""`, "s"}, {`true`, "btrue"}, {`"true"`, "strue"},
		{`9007199254740993`, "n9007199254740993"},
	} {
		if got, ok := (Value{c.raw}).ID([]byte("before ")); !ok || string(got) != "before "+c.id {
			t.Errorf("%s is the id %q, %v; want %q", c.raw, got, ok, "before "+c.id)
		}
	}
}

func TestWhatHasNoNameAppendsNothing(t *testing.T) {
	for _, raw := range []string{``, `{}`, `["a"]`, `null`, `1e9999999999999999999`, `-15e-1000000000000000000`} {
		key, ok := Value{raw}.Key([]byte("before"))
		if ok || string(key) != "before" {
			t.Errorf("%s has the key %q, %v", raw, key, ok)
		}
		if id, ok := (Value{raw}).ID([]byte("before")); ok || string(id) != "before" {
			t.Errorf("%s has the id %q, %v", raw, id, ok)
		}
	}
}

func TestALongNumberStaysAsLongAsItIs(t *testing.T) {
	digits := strings.Repeat("7", 1<<20)
	for _, c := range []struct{ raw, want string }{
		{digits, digits},
		{digits + strings.Repeat("0", 1<<20), digits + "e1048576"},
		{"0." + digits, "0." + digits},
		{digits + "e-1", digits[1:] + ".7"},
		{digits + "e999999999", digits + "e999999999"},
		{"1" + strings.Repeat("0", 1<<20) + "e-1048576", "1"},
		{"0." + strings.Repeat("0", 1<<20) + "1e1048577", "1"},
	} {
		if got, ok := (Value{c.raw}).Key(nil); !ok || string(got) != c.want {
			t.Errorf("%.9s… of %d bytes is named %.9s… of %d, %v; want %.9s… of %d", c.raw, len(c.raw), got, len(got), ok, c.want, len(c.want))
		}
	}
}

// aNumber draws numbers of which many are the same.
var aNumber = rapid.StringMatching(`-?(0|[15][015]{0,3})(\.[015]{1,4})?([eE][+-]?0{0,2}([0-3]|2[0-9]))?`)

func TestNumbersHaveTheSameNameIfTheyAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := aNumber.Draw(t, "one"), aNumber.Draw(t, "other")
		names := [2]string{}
		for k, raw := range []string{one, other} {
			key, ok := Value{raw}.Key(nil)
			if !ok || !json.Valid(key) || rational(string(key)).Cmp(rational(raw)) != 0 {
				t.Fatalf("%s is named %q, %v, which is not that number", raw, key, ok)
			}
			if again, _ := (Value{string(key)}).Key(nil); string(again) != string(key) {
				t.Fatalf("%s is named %s, and that is named %s", raw, key, again)
			}
			names[k] = string(key)
		}
		if same := rational(one).Cmp(rational(other)) == 0; same != (names[0] == names[1]) {
			t.Fatalf("%s is named %s and %s is %s", one, names[0], other, names[1])
		}
	})
}

func TestANumberIsNamedAlikeWhereverItsPointIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[1-9][0-9]{0,40}`).Draw(t, "digits")
		want, _ := Value{digits}.ID(nil)
		at := rapid.IntRange(1, len(digits)).Draw(t, "point")
		spelt := digits[:at] + "." + digits[at:] + strings.Repeat("0", rapid.IntRange(1, 5).Draw(t, "zeros")) + "e" + big.NewInt(int64(len(digits)-at)).String()
		if got, ok := (Value{spelt}).ID(nil); !ok || string(got) != string(want) {
			t.Fatalf("%s is the id %s, %v; %s is %s", spelt, got, ok, digits, want)
		}
	})
}

func rational(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s + " is no number")
	}
	return r
}
