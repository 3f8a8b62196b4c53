package content

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

func TestAPathLeadsToAValue(t *testing.T) {
	for _, c := range []struct{ what, msg, path, want string }{
		{"a member", `{"id":7}`, `id`, `7`},
		{"behind others", `{"a":{"id":1},"b":["id",{"id":2}],"c":"id","id":3}`, `id`, `3`},
		{"in an object inside", `{"user":{"name":"x","id":7}}`, `user.id`, `7`},
		{"through white space", " { \"a\" : [ 1 , { \"b\" :\t2 } ] } ", `a.1.b`, `2`},
		{"a text, as it stands", `{"a":"\u0061\"b"}`, `a`, `"\u0061\"b"`},
		{"a whole object", `{"a":{"b":[1,"}"]},"c":0}`, `a`, `{"b":[1,"}"]}`},
		{"a word", `{"a":false}`, `a`, `false`},
		{"the first of a list", `[5,6]`, `0`, `5`},
		{"one inside of lists", `{"a":[[1],[2,[3]]]}`, `a.1.1.0`, `3`},
		{"a number is a name in an object", `{"0":{"1":2}}`, `0.1`, `2`},
		{"a name with a dot", `{"a":{"b":1},"a.b":2}`, `a\.b`, `2`},
		{"a name with what gjson would ask by", `{"#":1,"@type":2}`, `\@type`, `2`},
		{"a name that is written with an escape", `{"\u0069d":7}`, `id`, `7`},
		{"with more of them", `{"\u00e9\uD83D\uDE00\/":7}`, `é😀/`, `7`},
		{`a name of a \`, `{"\\":7}`, `\\`, `7`},
		{`two of them are another name`, `{"\\":6,"\\\\":7}`, `\\\\`, `7`},
		{"a name that begins like it", `{"idx":1,"i":2,"id":3}`, `id`, `3`},
		{"an empty name is passed by", `{"":1,"id":2}`, `id`, `2`},
	} {
		got, ok := path(t, c.path).Find([]byte(c.msg))
		if !ok || got.Raw != c.want {
			t.Errorf("%s: %s of %s is %q, %v; want %s", c.what, c.path, c.msg, got.Raw, ok, c.want)
		}
	}
}

func TestAPathLeadsNowhere(t *testing.T) {
	for _, c := range []struct{ what, msg, path string }{
		{"there is no such member", `{"a":1}`, `b`},
		{"nor any", `{}`, `a`},
		{"nor an element", `[]`, `0`},
		{"it is null", `{"a":null}`, `a`},
		{"there is null on its way", `{"a":null}`, `a.b`},
		{"a list has no names", `[{"a":1}]`, `a`},
		{"a list is not long enough", `[1,2]`, `2`},
		{"or by far", `[1,2]`, `99999999999999999999`},
		{"places are not counted from the end", `[1,2]`, `-1`},
		{"nor written with zeros", `[1,2]`, `01`},
		{"a text has no members", `{"a":"b"}`, `a.b`},
		{"the message is a number", `5`, `a`},
		{"a name in other letters", `{"ID":1}`, `id`},
		{"a value that reads like it", `{"a":"id"}`, `id`},
	} {
		if got, ok := path(t, c.path).Find([]byte(c.msg)); ok {
			t.Errorf("%s: %s of %s is %q", c.what, c.path, c.msg, got.Raw)
		}
	}
	if _, ok := (Path{}).Find([]byte(`{"":1}`)); ok {
		t.Error("the zero Path has found something")
	}
}

// TestGJSONFindsTheSame: users know the paths of slow.key, which is gjson's.
func TestGJSONFindsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		msg := value(t, 3)
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "a.b", "@a", "0", "1"}), 1, 3).Draw(t, "steps")
		p := Path{strings.Join(steps, between)}
		got, ok := p.Find([]byte(msg))
		want := gjson.Get(msg, p.String())
		if ok != (want.Exists() && want.Type != gjson.Null) || ok && got.Raw != want.Raw {
			t.Fatalf("%s of %s is %q, %v; gjson finds %q", p, msg, got.Raw, ok, want.Raw)
		}
	})
}

// value draws a value of JSON that is at most so deep.
func value(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0, 1, 2, 3:
		return []string{"1", `"a"`, "null", "true"}[kind]
	case 4:
		var list []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			list = append(list, value(t, depth-1))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	var list []string
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "a.b", "@a", "0", "1"}), 0, 4, rapid.ID).Draw(t, "names")
	for _, name := range names {
		list = append(list, `"`+name+`": `+value(t, depth-1))
	}
	return "{" + strings.Join(list, ", ") + "}"
}
