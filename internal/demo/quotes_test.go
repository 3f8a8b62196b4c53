package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-proxy/sluice/internal/config"
	"github.com/sluice-proxy/sluice/internal/ws"
)

// asker asks over one connection, as the page does.
type asker struct {
	t    *testing.T
	talk *talk
	n    int
}

func asks(t *testing.T, addr, target string) *asker {
	t.Helper()
	c, err := dial(t.Context(), addr, target)
	if err != nil {
		t.Fatalf("a session at %s%s: %v", addr, target, err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return &asker{t: t, talk: c}
}

// ask asks for a price; the answer is to be to this question.
func (a *asker) ask(symbol string, into any) {
	a.t.Helper()
	a.n++
	err := a.talk.send(ws.Text, []byte(`{"id":`+strconv.Itoa(a.n)+`,"symbol":"`+symbol+`"}`))
	var text []byte
	if err == nil {
		text, err = a.talk.next()
	}
	var id struct{ ID int }
	if err == nil {
		err = errors.Join(json.Unmarshal(text, &id), json.Unmarshal(text, into))
	}
	if err != nil || id.ID != a.n {
		a.t.Fatalf("question %d is answered with %s, %v", a.n, text, err)
	}
}

// price asks for the first answer, again where a busy machine has none in time.
func (a *asker) price(symbol string) (q quote) {
	a.t.Helper()
	for a.ask(symbol, &q); q.Error == "no answer in time"; a.ask(symbol, &q) {
		q = quote{}
	}
	return q
}

// collected is the answer of all.
type collected struct {
	Replies []quote
	Missing []string
}

// until asks all until an answer is as it is to be.
func (a *asker) until(what string, ok func(c *collected) bool) {
	a.t.Helper()
	for {
		c := &collected{}
		a.ask("BTC", c)
		if len(c.Replies)+len(c.Missing) != 3 {
			a.t.Fatalf("three instances answer or are missing: %+v", c)
		}
		if ok(c) {
			return
		}
		if a.n > 2000 {
			a.t.Fatalf("the answers never show that %s: %+v", what, c)
		}
	}
}

func (c *collected) has(name string) bool {
	return slices.ContainsFunc(c.Replies, func(q quote) bool { return q.From == name })
}

// pricersOf gives the instances, which nobody looks at.
func pricersOf(t *testing.T, at string) (all []pricerView) {
	t.Helper()
	resp, err := http.Get("http://" + at + "/demo/quotes")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil || len(all) != 3 {
		t.Fatalf("three instances are shown: %+v, %v", all, err)
	}
	return all
}

// pressQuotes presses a button of the quotes' page, without a look at it.
func pressQuotes(t *testing.T, at, what string) {
	t.Helper()
	(&watcher[[]pricerView]{t: t, show: "http://" + at + "/demo/quotes/"}).press(what)
}

func TestTheQuotesAreAskedOfAll(t *testing.T) {
	at, _ := show(t, 0)
	first, all := asks(t, at, "/quotes/first"), asks(t, at, "/quotes/all")
	pressQuotes(t, at, "quick/b")
	for range 20 {
		q := first.price("ETH")
		if q.Symbol != "ETH" || q.Bid <= 0 || q.Ask <= q.Bid || !strings.Contains("abc", q.From) || q.Error != "" {
			t.Fatalf("the first answer names a price and who gives it: %+v", q)
		}
	}
	all.until("all three answer, in order", func(c *collected) bool {
		return len(c.Replies) == 3 && c.Replies[0].From == "a" && c.Replies[1].From == "b" && c.Replies[2].From == "c"
	})
	if q := first.price("TULIP"); q.Error == "" || q.Bid != 0 {
		t.Errorf("nobody trades tulips any more: %+v", q)
	}
	for _, p := range pricersOf(t, at) {
		if p.Asked < 22 || !p.Running || p.Kills != 0 {
			t.Errorf("each is told every question, and nobody dies unseen: %+v", p)
		}
	}
}

func TestTheSlowOneIsMissing(t *testing.T) {
	at, _ := show(t, 0)
	all := asks(t, at, "/quotes/all")
	slow := pricersOf(t, at)[1]
	if !slow.Slow {
		t.Fatalf("b begins as the slow one: %+v", slow)
	}
	all.until("b is missing, by its address", func(c *collected) bool {
		return c.has("a") && !c.has("b") && slices.Contains(c.Missing, slow.Address)
	})
	first := asks(t, at, "/quotes/first")
	for first.price("BTC").From == "b" {
		if first.n > 20 {
			t.Fatal("the first answer is always b's, which is slow")
		}
	}
	pressQuotes(t, at, "quick/b")
	all.until("b answers in time", func(c *collected) bool { return len(c.Missing) == 0 })
}

func TestADeadOneTakesNoClientWithIt(t *testing.T) {
	at, _ := show(t, 0)
	first, all := asks(t, at, "/quotes/first"), asks(t, at, "/quotes/all")
	pressQuotes(t, at, "quick/b")
	answered := func(what string, ok func(c *collected) bool) {
		t.Helper()
		all.until(what, func(c *collected) bool {
			if q := first.price("SOL"); q.Error != "" || q.From == "" {
				t.Fatalf("%s, and another answers first: %+v", what, q)
			}
			return ok(c)
		})
	}
	for _, name := range []string{"a", "b", "c"} { // among them home, whichever that is
		pressQuotes(t, at, "kill/"+name)
		answered(name+" is missing", func(c *collected) bool { return !c.has(name) && len(c.Replies) == 2 })
		pressQuotes(t, at, "start/"+name)
		answered(name+" is back", func(c *collected) bool { return len(c.Replies) == 3 })
	}
}

func TestOneDiesWhileSomebodyLooks(t *testing.T) {
	at, logged := show(t, 0)
	all := asks(t, at, "/quotes/all")
	w := watch[[]pricerView](t, at, "quotes")
	w.until("c has died", func(v *[]pricerView) bool { return (*v)[2].Mortal && (*v)[2].Kills > 0 && !(*v)[2].Running })
	w.until("c is back", func(v *[]pricerView) bool { return (*v)[2].Running })
	all.until("c answers again, to the same client", func(c *collected) bool { return c.has("c") })
	if logged.has(pricersOf(t, at)[2].Address) {
		t.Error("the log is full of what is meant to happen")
	}
}

// lives opens instances without Sluice, of which one lives as shortly as can be.
func lives(t *testing.T) *quotes {
	t.Helper()
	q, err := openQuotes()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.close)
	q.life, q.death = time.Nanosecond, time.Nanosecond
	return q
}

func TestTheMortalOneResetsItsClients(t *testing.T) {
	t.Parallel()
	q := lives(t)
	c := asks(t, q.mortal.addr, "/").talk
	q.look()
	if err := c.read(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("it dies as a killed process does; here: %v", err)
	}
	q.lookAway()
	q.works.Wait()
	if !q.mortal.running() {
		t.Error("nobody looks any more, and it stays dead")
	}
	if err := q.mortal.press("kill"); err != nil {
		t.Fatal(err)
	}
	if q.mortal.revive(); q.mortal.running() {
		t.Error("what the visitor killed, the visitor starts")
	}
}

func TestNoPricerRunsAfterTheEnd(t *testing.T) {
	t.Parallel()
	q := lives(t)
	q.look()
	q.look()
	q.close()
	q.lookAway()
	q.look()
	q.works.Wait()
	for _, p := range q.pricers {
		if err := p.press("start"); err != nil || p.view().Running {
			t.Errorf("after the end: %+v, %v", p.view(), err)
		}
	}
}

func TestPricesWalkWithTime(t *testing.T) {
	p := newPrices()
	bid, ask, ok := p.quote("LTC", at(0))
	if !ok || bid >= ask {
		t.Fatalf("it buys for %v and sells for %v", bid, ask)
	}
	for k := range 1000 { // an hour later, and before that
		b, a, _ := p.quote("LTC", at(float64(3600*(k%2))))
		if b >= a || b < bid*0.5 || a > ask*2 {
			t.Fatalf("a price walks, it doesn't leap: %v and %v, then %v and %v", bid, ask, b, a)
		}
	}
}

func TestTheQuotesPageShowsAConfigurationThatHolds(t *testing.T) {
	at, _ := show(t, 0)
	for path, want := range map[string]string{"quotes": "<title>Sluice demo: quotes", "demo/quotes/config": "gather: {policy: collect, id: id"} {
		resp, err := http.Get("http://" + at + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Contains(text, []byte(want)) {
			t.Fatalf("%s is %.100s", path, text)
		}
		if path != "quotes" {
			if _, err := config.Parse("shown", text, func(string) (string, bool) { return "", false }); err != nil {
				t.Errorf("what is shown could be run: %v", err)
			}
		}
	}
	resp, err := http.Post("http://"+at+"/demo/quotes/kill/a", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || !pricersOf(t, at)[0].Running {
		t.Errorf("another site's page can't press a button: %s", resp.Status)
	}
}
