package config

import (
	"reflect"
	"testing"
	"time"
)

func TestScatteredIsTheFileItStandsFor(t *testing.T) {
	for _, c := range []struct {
		q    QuickScatter
		file string
	}{
		{QuickScatter{}, `routes: {scatter: {upstreams: ["ws://a", "ws://b"]}}`},
		{QuickScatter{Send: "least_load", Gather: "interleave", Timeout: ptr(2 * time.Second)}, `routes: {scatter: {upstreams: ["ws://a", "ws://b"]}}`},
		{QuickScatter{Send: "hash:data.symbol", ID: "id"}, `routes: {scatter: {upstreams: ["ws://a", "ws://b"], send: {hash: data.symbol}, gather: {id: id}}}`},
		{
			QuickScatter{Send: "all", Gather: "collect", ID: "id", Timeout: ptr(time.Duration(0))},
			`routes: {scatter: {upstreams: ["ws://a", "ws://b"], send: all, gather: {policy: collect, id: id, timeout: 0}}}`,
		},
		{
			QuickScatter{QuickServer: QuickServer{Admin: "off"}, Send: "round_robin", Gather: "first", ID: "id", HedgeAfter: ptr(50 * time.Millisecond)},
			`{admin: "off", routes: {scatter: {upstreams: ["ws://a", "ws://b"], send: round_robin, gather: {policy: first, id: id, hedge_after: 50ms}}}}`,
		},
	} {
		c.q.Upstreams = []string{"ws://a", "ws://b"}
		got, err := Scattered(c.q)
		if err != nil {
			t.Fatal(err)
		}
		if want := parse(t, c.file); !reflect.DeepEqual(got, want) {
			t.Errorf("the command line gives\n%s\nthe file\n%s", got.YAML(), want.YAML())
		}
		wantRoundTrip(t, got)
	}
}

func TestScatteredNamesTheFlag(t *testing.T) {
	up := []string{"ws://a"}
	for _, c := range []struct {
		q    QuickScatter
		want string
	}{
		{QuickScatter{}, "needs at least one upstream; write ws://localhost:9000"},
		{QuickScatter{Upstreams: []string{"ws://a", "ws://a"}}, "argument 2: ws://a is listed twice (first: argument 1). An upstream with a greater share has a greater weight"},
		{QuickScatter{Upstreams: up, Send: "random"}, `--send: "random" is not round_robin, least_load, all or hash:PATH`},
		{QuickScatter{Upstreams: up, Send: "hash"}, `--send: "hash" is not round_robin, least_load, all or hash:PATH`},
		{QuickScatter{Upstreams: up, Send: "hash:"}, "--send: an empty path leads nowhere; name a member, as in user.id"},
		{QuickScatter{Upstreams: up, Gather: "all"}, `--gather: "all" is not interleave, first or collect`},
		{QuickScatter{Upstreams: up, Gather: "first"}, "--gather: first needs --id PATH, the JSON path of what pairs an answer with its message"},
		{QuickScatter{Upstreams: up, ID: "a."}, `--id: a.: a name is missing beside a dot; write \. if the dot is part of a name`},
		{QuickScatter{Upstreams: up, Timeout: ptr(-time.Second)}, `--timeout: "-1s" is negative`},
		{QuickScatter{Upstreams: up, HedgeAfter: ptr(time.Second)}, "--hedge-after: is for policy first alone; this policy is interleave"},
		{
			QuickScatter{Upstreams: up, Gather: "collect", ID: "id"},
			"--gather: collect needs more than one answer: give --send all",
		},
	} {
		_, err := Scattered(c.q)
		if err == nil || err.Error() != c.want {
			t.Errorf("%+v\ngives %v\nwant  %s", c.q, err, c.want)
		}
	}
}
