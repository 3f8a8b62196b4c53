package health

import "time"

const (
	buckets = 6
	bucket  = 10 * time.Second
)

// Ends counts sessions that have ended.
type Ends struct {
	All      uint64
	Abnormal uint64 // of them, those of AbnormalEnd
}

// AbnormalEnd tells whether a session that ended with code speaks against the
// instance: its connection broke without a close, or it closed because of an
// error of its own. All else is how sessions end (RFC 6455, section 7.4.1).
func AbnormalEnd(code uint16) bool { return code == 1006 || code == 1011 }

func (e Ends) plus(f Ends) Ends { return Ends{e.All + f.All, e.Abnormal + f.Abnormal} }

func (e Ends) minus(f Ends) Ends { return Ends{e.All - f.All, e.Abnormal - f.Abnormal} }

// share is that of the abnormal among all; 0 where there are none.
func (e Ends) share() float64 {
	if e.All == 0 {
		return 0
	}
	return float64(e.Abnormal) / float64(e.All)
}

// window counts the ends of the last minute, to a bucket.
type window struct {
	ends [buckets]Ends
	at   int64 // the bucket that is filled, counted from time 0
}

func (w *window) add(e Ends, now time.Duration) {
	w.turn(now)
	b := &w.ends[w.at%buckets]
	*b = b.plus(e)
}

func (w *window) sum(now time.Duration) (sum Ends) {
	w.turn(now)
	for _, e := range w.ends {
		sum = sum.plus(e)
	}
	return sum
}

// turn empties the buckets whose time has passed.
func (w *window) turn(now time.Duration) {
	at := int64(now / bucket)
	if at >= w.at+buckets {
		w.at = at - buckets
	}
	for w.at < at {
		w.at++
		w.ends[w.at%buckets] = Ends{}
	}
}
