package content

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// path reads a path that is right.
func path(t testing.TB, s string) Path {
	t.Helper()
	p, err := ParsePath(s)
	if err != nil {
		t.Fatalf("ParsePath(%s): %v", s, err)
	}
	return p
}

func TestAPathIsNamesJoinedByDots(t *testing.T) {
	for _, c := range []struct{ what, path, steps, text string }{
		{"one name", `id`, "id", `id`},
		{"a name in a name", `user.id`, "user\xffid", `user.id`},
		{"a place in a list is a number", `legs.0.price`, "legs\xff0\xffprice", `legs.0.price`},
		{"a dot that is part of a name", `a\.b.c`, "a.b\xffc", `a\.b.c`},
		{"a dot that ends a name", `a\.`, "a.", `a\.`},
		{`a \ that is part of a name`, `a\\.b`, "a\\\xffb", `a\\.b`},
		{`\ before any other character is nothing`, `\u\s\er`, "user", `user`},
		{"a name that would be a modifier", `\@type.\#`, "@type\xff#", `\@type.\#`},
		{"behind its beginning it is none", `a@b!c{d[e`, "a@b!c{d[e", `a@b!c{d[e`},
		{"a name may be of any letters", `größe.価格`, "größe\xff価格", `größe.価格`},
	} {
		p := path(t, c.path)
		if p.steps != c.steps {
			t.Errorf("%s: %s is read as %q; want %q", c.what, c.path, p.steps, c.steps)
		}
		if p.String() != c.text {
			t.Errorf("%s: %s is written %s; want %s", c.what, c.path, p, c.text)
		}
		if p.Zero() {
			t.Errorf("%s: %s is taken for no path", c.what, c.path)
		}
	}
	if !(Path{}).Zero() || (Path{}).String() != "" {
		t.Error("the zero Path is not without a name")
	}
}

func TestAPathThatSaysNothingClearIsRefused(t *testing.T) {
	for _, c := range []struct{ what, path, want string }{
		{"no path", ``, `leads nowhere`},
		{"a dot too many at the beginning", `.id`, `a name is missing`},
		{"at the end", `id.`, `a name is missing`},
		{"in between", `a..b`, `a name is missing`},
		{`a \ before nothing`, `a\`, `before nothing`},
		{"a wildcard", `a.b*`, `write \*`},
		{"a query", `legs.#(price>3).id`, `write \#`},
		{"the length of a list", `legs.#`, `write \#`},
		{"a pipe", `a|b`, `write \|`},
		{"a modifier", `a.@reverse`, `write \@`},
		{"a choice of several", `{a,b}`, `write \{`},
		{"a literal", `!5`, `write \!`},
		{"no UTF-8", "a\xff", `not UTF-8`},
	} {
		if p, err := ParsePath(c.path); err == nil || !strings.Contains(err.Error(), c.want) || !p.Zero() {
			t.Errorf("%s: ParsePath(%s) gives %q, %v; want an error with %q", c.what, c.path, p.steps, err, c.want)
		}
	}
}

func TestAPathIsReadAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune(`ab0.\*?|#@!{}[]é`)), 1, 4, -1), 1, 4).Draw(t, "names")
		want := Path{strings.Join(names, between)}
		got, err := ParsePath(want.String())
		if err != nil || got != want {
			t.Fatalf("%s is read as %q, %v; it was written of %q", want, got.steps, err, want.steps)
		}
	})
}
