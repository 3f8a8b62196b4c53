package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxDuration = 20 * 24 * time.Hour // what the loops' timer wheel can hold
	minDuration = time.Millisecond
	maxCount    = 1_000_000_000
	maxSize     = 1 << 40
)

// text decodes a scalar as it stands.
func text(dst *string) func(value) {
	return func(v value) {
		if s, ok := v.text(); ok {
			*dst = s
		}
	}
}

// parsed decodes a scalar with parse.
func parsed[T any](dst *T, parse func(string) (T, error)) func(value) {
	return func(v value) {
		s, ok := v.text()
		if !ok {
			return
		}
		if t, err := parse(s); v.report(err) {
			*dst = t
		}
	}
}

// list decodes a list, or a list of one, with parse. What parse gives twice is
// an error.
func list[T comparable](dst *[]T, parse func(string) (T, error)) func(value) {
	return func(v value) {
		var ts []T
		for _, item := range v.items() {
			s, ok := item.text()
			if !ok {
				continue
			}
			t, err := parse(s)
			if err == nil && slices.Contains(ts, t) {
				err = fmt.Errorf("%q is listed twice", s)
			}
			if item.report(err) {
				ts = append(ts, t)
			}
		}
		*dst = ts
	}
}

// message decodes the text of a message.
func message(dst *string) func(value) {
	return func(v value) {
		if s, ok := v.message(); ok {
			*dst = s
		}
	}
}

// messages decodes a list of messages, or a list of one. They may repeat.
func messages(dst *[]string) func(value) {
	return func(v value) {
		var texts []string
		for _, item := range v.items() {
			if s, ok := item.message(); ok && item.report(someText(s)) {
				texts = append(texts, s)
			}
		}
		*dst = texts
	}
}

func someText(s string) error {
	switch {
	case s == "":
		return errors.New("is an empty text")
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8, which a text message must be")
	}
	return nil
}

// word accepts one of a few words.
func word(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if slices.Contains(words, s) {
			return s, nil
		}
		return "", fmt.Errorf("%q is not %s", s, either(words))
	}
}

// either joins words to "a, b or c".
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// offDuration accepts a duration that 0 switches off.
func offDuration(s string) (time.Duration, error) {
	return parseDuration(s, "20s, 500ms or 0 for off")
}

// someDuration accepts a duration that can't be off.
func someDuration(s string) (time.Duration, error) {
	const examples = "20s or 500ms"
	d, err := parseDuration(s, examples)
	if err == nil && d == 0 {
		err = errors.New("can't be off; write " + examples)
	}
	return d, err
}

var days = regexp.MustCompile(`^(\d{1,3})d$`)

func parseDuration(s, examples string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err == nil:
		return d, checkDuration(s, d)
	case days.MatchString(s):
		n, _ := strconv.Atoi(strings.TrimSuffix(s, "d"))
		return 0, fmt.Errorf("%q is not a duration: the largest unit is h; write %dh", s, 24*n)
	case digits.MatchString(s):
		return 0, fmt.Errorf("%q has no unit; write %ss or %sms", s, s, s)
	}
	return 0, fmt.Errorf("%q is not a duration; write %s", s, examples)
}

func checkDuration(s string, d time.Duration) error {
	switch {
	case d < 0:
		return fmt.Errorf("%q is negative", s)
	case d > maxDuration:
		return fmt.Errorf("%q is too long; the longest is 20 days, 480h", s)
	case d > 0 && d < minDuration:
		return fmt.Errorf("%q is too short; the shortest is 1ms", s)
	}
	return nil
}

var digits = regexp.MustCompile(`^[0-9]+$`)

// count accepts a whole number from low on.
func count(low int) func(string) (int, error) { return between(low, maxCount) }

// between accepts a whole number in a range.
func between(low, high int) func(string) (int, error) {
	return func(s string) (int, error) {
		unsigned, negative := strings.CutPrefix(s, "-")
		n, err := strconv.Atoi(unsigned)
		switch {
		case !digits.MatchString(unsigned):
			return 0, fmt.Errorf("%q is not a whole number", s)
		case negative:
			return 0, fmt.Errorf("%s is negative", s)
		case err == nil && n < low:
			return 0, fmt.Errorf("%s is too small; the least is %d", s, low)
		case err != nil || n > high:
			return 0, fmt.Errorf("%s is too large; the most is %d", s, high)
		}
		return n, nil
	}
}

var units = map[string]int64{
	"": 1, "B": 1,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	"KB": 1e3, "MB": 1e6, "GB": 1e9,
}

var sizeForm = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)

// parseSize accepts a number of bytes, with or without a unit.
func parseSize(s string) (int64, error) {
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("%q is negative", s)
	}
	form := sizeForm.FindStringSubmatch(s)
	if form == nil || units[form[2]] == 0 {
		return 0, fmt.Errorf("%q is not a size; write 64KiB, 16MiB, a number of bytes or 0 for off", s)
	}
	n, err := strconv.ParseInt(form[1], 10, 64)
	if unit := units[form[2]]; err != nil || n > maxSize/unit {
		return 0, fmt.Errorf("%q is too large; the most is 1024GiB", s)
	} else {
		return n * unit, nil
	}
}

// formatSize is the shortest exact form that parseSize takes.
func formatSize(n int64) string {
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if u := units[unit]; n > 0 && n%u == 0 {
			return strconv.FormatInt(n/u, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

var rateForm = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

// parseRate accepts so many a second.
func parseRate(s string) (float64, error) {
	const least, most = 0.001, 1e6
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case !rateForm.MatchString(strings.TrimPrefix(s, "-")):
		return 0, fmt.Errorf("%q is not a number; write 50, 0.5 or 0 for off", s)
	case math.Signbit(f):
		return 0, fmt.Errorf("%s is negative", s)
	case err != nil || f > most || f != 0 && f < least:
		return 0, fmt.Errorf("%s is out of range; write 0.001 to 1000000, or 0 for off", s)
	}
	return f, nil
}

// parseFlag accepts a truth value.
func parseFlag(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is not true or false", s)
}
