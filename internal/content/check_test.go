package content

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func TestAMessageIsOneValue(t *testing.T) {
	for _, c := range []struct{ what, msg string }{
		{"an object", `{"id":1,"user":{"name":"a"},"tags":["x",2,null,true,false]}`},
		{"any value will do", `"text"`},
		{"a number", `-0.5e-10`},
		{"an empty object", `{}`},
		{"an empty list", `[ ]`},
		{"white space goes anywhere between", " \t\r\n{ \"a\" : [ 1 , 2 ] }\n"},
		{"each escape", `"\" \\ \/ \b \f \n \r \t \u00e9 \uD83D\uDE00"`},
		{"what needs no escape has none", `"é価😀/` + "\x7f\"" + ``},
		{"a zero character, escaped", `"\u0000"`},
		{"an empty name is a name", `{"":1}`},
		{"one name in two objects", `{"a":{"a":1},"b":{"a":2}}`},
		{"names that begin alike", `{"a":1,"aa":2,"aaa":3,"A":4}`},
		{"a number that no float holds", `1e999999999`},
	} {
		if err := Check([]byte(c.msg)); err != nil {
			t.Errorf("%s: %s is refused: %v", c.what, c.msg, err)
		}
	}
}

func TestWhatIsNoneIsToldWithItsPlace(t *testing.T) {
	for _, c := range []struct {
		what, msg string
		want      Invalid
	}{
		{"nothing", ``, Invalid{"it ends too early", 0}},
		{"white space alone", ` `, Invalid{"it ends too early", 1}},
		{"two values", `1 2`, Invalid{"more than one value", 2}},
		{"a mark of byte order", "\ufeff1", Invalid{"no value", 0}},
		{"other white space", "\f1", Invalid{"no value", 0}},
		{"half an object", `{"a":1`, Invalid{"it ends too early", 6}},
		{"half a name", `{"a`, Invalid{"it ends too early", 3}},
		{"a comma too many in an object", `{"a":1,}`, Invalid{"no name of a member", 7}},
		{"a name without quotes", `{a:1}`, Invalid{"no name of a member", 1}},
		{"no colon", `{"a" 1}`, Invalid{"no colon behind a name", 5}},
		{"no comma in an object", `{"a":1 "b":2}`, Invalid{"neither a comma nor the end of an object", 7}},
		{"a comma too many in a list", `[1,]`, Invalid{"no value", 3}},
		{"no comma in a list", `[1 2]`, Invalid{"neither a comma nor the end of a list", 3}},
		{"an object closed as a list", `{"a":1]`, Invalid{"neither a comma nor the end of an object", 6}},
		{"a comment", `[1,/* */2]`, Invalid{"no value", 3}},
		{"quotes of another kind", `'a'`, Invalid{"no value", 0}},
		{"a word that is none of the three", `nul`, Invalid{"it ends too early", 3}},
		{"in other letters", `True`, Invalid{"no value", 0}},
		{"a word with more behind it", `nulll`, Invalid{"more than one value", 4}},
		{"no number at all", `NaN`, Invalid{"no value", 0}},
		{"a plus before a number", `+1`, Invalid{"no value", 0}},
		{"a zero before a number", `-01`, Invalid{"a zero before a number", 1}},
		{"no digit before the point", `.5`, Invalid{"no value", 0}},
		{"none behind it", `[5.]`, Invalid{"no digit where a number needs one", 3}},
		{"none behind the sign", `-a`, Invalid{"no digit where a number needs one", 1}},
		{"none in the exponent", `1e+`, Invalid{"it ends too early", 3}},
		{"a line's end in a string", "\"a\nb\"", Invalid{"a control character in a string", 2}},
		{"an escape that is none", `"a\x"`, Invalid{"an escape that there is not", 2}},
		{"three digits of four", `"\u12"`, Invalid{"an escape that there is not", 1}},
		{"the first half of a pair alone", `"\ud83d"`, Invalid{"half of a surrogate pair", 1}},
		{"the second alone", `"a\ude00"`, Invalid{"half of a surrogate pair", 2}},
		{"two first halves", `"\ud83d\ud83d"`, Invalid{"half of a surrogate pair", 1}},
		{"bytes that are not UTF-8", "\"a\xff\"", Invalid{"not UTF-8", 2}},
		{"a surrogate in UTF-8", "\"\xed\xa0\x80\"", Invalid{"not UTF-8", 1}},
	} {
		wantInvalid(t, c.what, []byte(c.msg), c.want)
	}
}

func wantInvalid(t *testing.T, what string, msg []byte, want Invalid) {
	t.Helper()
	var got *Invalid
	if err := Check(msg); !errors.As(err, &got) || *got != want {
		t.Errorf("%s: %.40q: %v; want %v", what, msg, err, &want)
	}
}

func TestNoNameIsThereTwice(t *testing.T) {
	const twice = "a name that the object has already"
	for _, c := range []struct {
		what, msg string
		at        int
	}{
		{"the second is told", `{"a":1,"b":2,"a":3}`, 13},
		{"with the same value too", `{"a":1,"a":1}`, 7},
		{"an empty name", `{"":1,"":2}`, 6},
		{"an escape is read before it is compared", `{"id":1,"\u0069d":2}`, 8},
		{"in either order", `{"\u0069d":1,"id":2}`, 13},
		{"two ways to escape", `{"\/":1,"\u002F":2}`, 8},
		{"a pair of surrogates", `{"😀":1,"\ud83d\uDE00":2}`, 10},
		{"in an object inside", `[{"a":1},{"b":{"c":1,"c":2}}]`, 21},
		{"behind an object inside that has the name", `{"a":{"a":1},"a":2}`, 13},
		{"behind one that had an escape", `{"\u0061":{"\u0062":1},"\u0062":1,"a":2}`, 34},
		{"an object that is wrong twice", `{"a":1,"b":1,"b":1,"a":1}`, 13},
	} {
		wantInvalid(t, c.what, []byte(c.msg), Invalid{twice, c.at})
	}
}

// crowd is an object of n members.
func crowd(n int) []byte {
	var b strings.Builder
	for k := range n {
		fmt.Fprintf(&b, `,"%d":1`, k)
	}
	return []byte("{" + b.String()[1:] + "}")
}

func TestOfManyNamesNoneIsThereTwice(t *testing.T) {
	for _, n := range []int{few - 1, few, few + 1, 100, 100_000} {
		msg := crowd(n)
		if err := Check(msg); err != nil {
			t.Errorf("%d names are refused: %v", n, err)
		}
		for _, again := range []int{0, n / 2, n - 1} {
			msg := append(msg[:len(msg)-1:len(msg)-1], `,"`+strconv.Itoa(again)+`":0}`...)
			wantInvalid(t, strconv.Itoa(n)+" names, and one again", msg, Invalid{"a name that the object has already", len(crowd(n))})
		}
	}
}

func TestAHostileMessageIsJudgedLikeAnyOther(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if err := Check(deep(MaxDepth)); err != nil {
		t.Errorf("as deep as it may be: %v", err)
	}
	wantInvalid(t, "one deeper", deep(MaxDepth+1), Invalid{"too deep", MaxDepth})
	wantInvalid(t, "a million deep", deep(1_000_000), Invalid{"too deep", MaxDepth})
	wantInvalid(t, "by objects", []byte(strings.Repeat(`{"a":`, 100_000)), Invalid{"too deep", MaxDepth * len(`{"a":`)})

	long := strings.Repeat("n", 1<<20)
	wantInvalid(t, "names of a mebibyte", []byte(`{"`+long+`a":1,"`+long+`b":1,"`+long+`a":1}`), Invalid{"a name that the object has already", 2*(len(long)+6) + 1})
	if err := Check([]byte(strings.Repeat("9", 1<<20))); err != nil {
		t.Errorf("a mebibyte of digits: %v", err)
	}
	// After a large object, small ones that are hashed all the same.
	mixed := "[" + string(crowd(50_000)) + strings.Repeat(","+string(crowd(few+1)), 5_000) + "]"
	if err := Check([]byte(mixed)); err != nil {
		t.Errorf("many small objects behind a large one: %v", err)
	}
}
