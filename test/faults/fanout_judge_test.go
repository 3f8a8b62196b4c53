package faults_test

import (
	"strconv"
	"strings"
)

// verdicts hold what lives heard against what there was.
type verdicts struct {
	u      *run
	places map[[2]int]int   // of each message in the stream, by connection and number
	total  int              // messages of the stream
	bases  map[string]int64 // of each epoch: the place of its number 0
	keys   []string         // by place
}

// judge holds every life against that of the witness, who heard all.
func (u *run) judge(truth *life) {
	v := &verdicts{u: u, places: map[[2]int]int{}, bases: map[string]int64{}}
	last := heard{c: -1}
	for _, h := range truth.got {
		if h.c == last.c && h.n != last.n+1 || h.c != last.c && (h.n != 0 || h.c < last.c) || h.notice {
			u.t.Fatalf("the witness hears %+v behind %+v", h, last)
		}
		v.places[[2]int{h.c, h.n}] = v.total
		v.keys = append(v.keys, h.key)
		v.total++
		last = h
	}
	for _, s := range u.feed.sent {
		if _, ok := v.places[[2]int{s.conn, s.n}]; !ok && u.feed.whole[s.conn] && !u.feed.struck(s.conn) {
			u.t.Fatalf("message %d of connection %d, which ended in good order, was lost", s.n, s.conn)
		}
	}
	if truth.code != over {
		u.t.Fatalf("the witness ends with %d", truth.code)
	}
	for _, f := range append(u.lives, truth) { // what offsets mean, where that is plain to see
		for k, h := range f.got {
			if k == 0 && !h.notice {
				v.means(f, f.offset, v.places[[2]int{h.c, h.n}])
			}
			if !h.notice && h.offset != "" {
				v.means(f, h.offset, v.places[[2]int{h.c, h.n}])
			}
		}
	}
	for _, f := range u.lives {
		v.judge(f)
	}
}

// means notes that an offset is a place, or finds that it was another.
func (v *verdicts) means(f *life, offset string, place int) {
	epoch, number, _ := strings.Cut(offset, "-")
	n, err := strconv.ParseInt(number, 10, 64)
	base, known := v.bases[epoch]
	switch {
	case err != nil || epoch == "":
		v.u.t.Errorf("%s: %q is not an offset", f.name, offset)
	case known && base != int64(place)-n:
		v.u.t.Errorf("%s: %s is place %d, and was %d", f.name, offset, place, base+n)
	default:
		v.bases[epoch] = int64(place) - n
	}
}

// judge goes through one life.
func (v *verdicts) judge(f *life) {
	t := v.u.t
	first := -1
	for _, h := range f.got {
		if h.notice {
			continue
		}
		p, ok := v.places[[2]int{h.c, h.n}]
		if !ok {
			t.Errorf("%s: message %d of connection %d is one that the witness has not", f.name, h.n, h.c)
			return
		}
		if first < 0 {
			first = p
		}
	}
	if first < 0 {
		return
	}
	if f.got[0].notice { // it lost what came before its first
		epoch, number, _ := strings.Cut(f.offset, "-")
		n, _ := strconv.ParseInt(number, 10, 64)
		base, known := v.bases[epoch]
		if !known {
			return
		}
		first = int(base + n)
	}
	v.beginning(f, first)
	v.order(f, first)
}

// beginning judges where a life begins.
func (v *verdicts) beginning(f *life, first int) {
	t := v.u.t
	if !f.asked {
		if least := f.least - v.u.plan.backlog; f.kind == plainFrames && first < least {
			t.Errorf("%s: it begins with %d, when %d had passed by already", f.name, first, f.least)
		}
		return
	}
	gap := uint64(0)
	if f.gap != nil {
		gap = *f.gap
	}
	want := v.places[[2]int{f.after.c, f.after.n}] + 1 + int(f.owed)
	if first != want+int(gap) {
		t.Errorf("%s: it goes on with %d and was told of a gap of %d behind %d", f.name, first, gap, want)
	}
	if f.near && gap > 0 {
		t.Errorf("%s: it was told of a gap of %d, which the history must have had", f.name, gap)
	}
}

// order judges what a life heard: nothing twice, nothing in another order, and
// nothing missing that no notice told of.
func (v *verdicts) order(f *life, first int) {
	t := v.u.t
	next, told := first, uint64(0) // notices', of all so far
	missing := uint64(0)
	for _, h := range f.got {
		if h.notice {
			if told += h.lost; v.u.plan.policy == "close" || h.lost == 0 {
				t.Errorf("%s: a notice of %d messages", f.name, h.lost)
			}
			continue
		}
		p := v.places[[2]int{h.c, h.n}]
		if p < next {
			t.Errorf("%s: message %d when %d is next", f.name, p, next)
			return
		}
		missing += uint64(p - next)
		if v.u.plan.policy != "latest" && missing != told {
			t.Errorf("%s: before message %d %d are missing, it was told of %d", f.name, p, missing, told)
			return
		}
		next = p + 1
	}
	if f.code != over {
		if f.code != 0 && f.code != 1013 {
			t.Errorf("%s: closed with %d", f.name, f.code)
		}
		return
	}
	if missing += uint64(v.total - next); missing != told {
		t.Errorf("%s: %d messages are missing at the end, it was told of %d", f.name, missing, told)
	}
	v.latest(f, first)
}

// latest wants that what is missing was superseded.
func (v *verdicts) latest(f *life, first int) {
	if v.u.plan.policy != "latest" {
		return
	}
	got := map[string]int{}
	for _, h := range f.got {
		if !h.notice {
			got[h.key] = v.places[[2]int{h.c, h.n}]
		}
	}
	for p := first; p < v.total; p++ {
		if g, ok := got[v.keys[p]]; !ok || g < p {
			v.u.t.Errorf("%s: message %d is the latest of %s, and did not come", f.name, p, v.keys[p])
		}
	}
}
