package health

import (
	"fmt"
	"time"
)

const (
	inARow        = 3   // failures in a row that eject
	leastAbnormal = 5   // abnormal ends in the window, under which a share says nothing
	shareAbove    = 0.3 // by how much a share stands out, and
	shareTimes    = 2   // how many times the others' it is at least
	ejectFirst    = 10 * time.Second
	ejectMost     = 5 * time.Minute
	mostDoublings = 6           // with which ejectMost is reached
	forgetEvery   = time.Minute // of good behaviour takes one doubling back
)

// The reasons for which an instance is ejected, as metrics name them.
const (
	OutlierDials  = "dial_errors"
	OutlierPings  = "missed_pings"
	OutlierCloses = "closes"
)

// OutlierReasons are all of them.
var OutlierReasons = []string{OutlierDials, OutlierPings, OutlierCloses}

// Signs are what the traffic of an instance tells of it, by the time it is
// judged.
type Signs struct {
	Down  bool   // a probe has it down
	Dials int    // dials or handshakes that came to nothing, and
	Pings int    // pings without an answer, in a row: a sign of life makes both 0
	Fault string // what the last dial came to
	Open  uint64 // sessions that it has
	Ends         // since it was judged last
}

// Outlier is what is held against one instance. The zero Outlier has done
// nothing; it is owned by whoever calls JudgeOutliers.
type Outlier struct {
	Ejected bool          // new sessions are to go elsewhere
	Until   time.Duration // when it will come back
	Reason  string        // one of OutlierReasons, and
	Why     string        // the same in words

	signs  Signs
	ends   window
	times  int           // ejections that are not forgotten
	forget time.Duration // when one of them is
}

// Note takes the signs at now. Those of an instance that is down are not held
// against it when it is up again: the probe has dealt with them.
func (o *Outlier) Note(s Signs, now time.Duration) {
	if s.Down {
		s = Signs{Down: true}
		o.ends = window{}
	}
	o.signs = s
	o.ends.add(s.Ends, now)
}

// JudgeOutliers brings back whose time is up, and ejects who fails in a row or
// stands out from the others of its pools. An instance may be in several pools.
// In none are more ejected than half, and none is ejected where half of a pool
// is ejected or down already.
func JudgeOutliers(pools [][]*Outlier, now time.Duration) {
	for _, pool := range pools {
		for _, o := range pool {
			o.pass(now)
		}
	}
	for _, pool := range pools {
		release(pool, now)
	}
	f := newField(pools, now)
	for _, cause := range []func(*Outlier, time.Duration) (reason, why string){f.fails, f.standsOut} {
		for _, pool := range pools {
			for _, o := range pool {
				if o.Ejected || o.signs.Down || !f.room(o) {
					continue
				}
				if reason, why := cause(o, now); reason != "" {
					o.eject(reason, why, now)
					f.count(o)
				}
			}
		}
	}
}

// pass brings an instance back when its time is up, or when a probe has taken
// it down, whose verdict is the stronger one. It forgets the past bit by bit.
func (o *Outlier) pass(now time.Duration) {
	switch {
	case o.Ejected && (o.signs.Down || now >= o.Until):
		o.back(now)
	case !o.Ejected && o.times > 0 && now >= o.forget:
		o.times--
		o.forget = now + forgetEvery
	}
}

// back ends an ejection. What led to it is not held against the instance twice.
func (o *Outlier) back(now time.Duration) {
	*o = Outlier{signs: Signs{Down: o.signs.Down}, times: o.times, forget: now + forgetEvery}
}

func (o *Outlier) eject(reason, why string, now time.Duration) {
	o.Ejected, o.Reason, o.Why = true, reason, why
	o.Until = now + min(ejectFirst<<o.times, ejectMost)
	o.times = min(o.times+1, mostDoublings)
}

// release brings back those who are nearest to it, where a pool has become so
// small that too many of it are ejected.
func release(pool []*Outlier, now time.Duration) {
	for {
		var first *Outlier
		ejected := 0
		for _, o := range pool {
			if !o.Ejected {
				continue
			}
			if ejected++; first == nil || o.Until < first.Until {
				first = o
			}
		}
		if ejected <= len(pool)/2 {
			return
		}
		first.back(now)
	}
}

// field is all pools as they are judged.
type field struct {
	pools []standing
	in    map[*Outlier][]int // the pools that an instance is in
}

// standing is what the instances of a pool come to.
type standing struct {
	size int
	out  int // ejected or down
	open uint64
	ends Ends
}

func newField(pools [][]*Outlier, now time.Duration) *field {
	f := &field{make([]standing, len(pools)), map[*Outlier][]int{}}
	for k, pool := range pools {
		p := &f.pools[k]
		p.size = len(pool)
		for _, o := range pool {
			f.in[o] = append(f.in[o], k)
			p.ends = p.ends.plus(o.ends.sum(now))
			p.open += o.signs.Open
			if o.Ejected || o.signs.Down {
				p.out++
			}
		}
	}
	return f
}

// room tells whether all pools of o can do without it.
func (f *field) room(o *Outlier) bool {
	for _, k := range f.in[o] {
		if f.pools[k].out >= f.pools[k].size/2 {
			return false
		}
	}
	return true
}

// count takes o as ejected in all its pools.
func (f *field) count(o *Outlier) {
	for _, k := range f.in[o] {
		f.pools[k].out++
	}
}

// fails tells whether o has failed in a row.
func (f *field) fails(o *Outlier, _ time.Duration) (reason, why string) {
	s := &o.signs
	dials, pings := plural(s.Dials, "dial error"), plural(s.Pings, "missed ping")
	switch {
	case s.Dials+s.Pings < inARow:
		return "", ""
	case s.Dials == 0:
		return OutlierPings, pings + " in a row"
	case s.Pings == 0:
		return OutlierDials, dials + " in a row: " + s.Fault
	case s.Pings > s.Dials:
		reason = OutlierPings
	default:
		reason = OutlierDials
	}
	return reason, dials + " and " + pings + " in a row: " + s.Fault
}

// standsOut tells whether more of o's sessions end abnormally than elsewhere, in
// each of its pools where others have had sessions: if those fail as well, it is
// not the instance. Where none of theirs has ended, those that they have speak
// for them: an instance that ends each at once is the least loaded, and would
// get all that come.
func (f *field) standsOut(o *Outlier, now time.Duration) (reason, why string) {
	own := o.ends.sum(now)
	if own.Abnormal < leastAbnormal {
		return "", ""
	}
	for _, k := range f.in[o] {
		others := f.pools[k].ends.minus(own)
		if others.All == 0 {
			others.All = f.pools[k].open - o.signs.Open
		}
		if others.All == 0 {
			continue
		}
		if own.share() < others.share()+shareAbove || own.share() < others.share()*shareTimes {
			return "", ""
		}
		reason = OutlierCloses
		why = fmt.Sprintf("%d of %d sessions ended abnormally (1006 or 1011); the other instances %d of %d",
			own.Abnormal, own.All, others.Abnormal, others.All)
	}
	return reason, why
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
