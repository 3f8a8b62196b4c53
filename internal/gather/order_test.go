package gather

import "testing"

// asked takes a message about key down that these legs were asked.
func asked(b *Book, id string, key uint64, legs ...uint32) *Entry {
	e := b.Enter(key, []byte(id), id, 0)
	for k, leg := range legs {
		b.Sent(e, leg, "an instance")
		if k == 0 {
			b.About(e, key)
		}
	}
	return e
}

func wantPinned(t *testing.T, sentence string, b *Book, key uint64, want uint32) {
	t.Helper()
	if leg, ok := b.Pinned(key); ok != (want != free) || ok && leg != want {
		t.Errorf("%s: want leg %d, got %d, %v", sentence, want, leg, ok)
	}
}

// Messages about one thing follow those before them to where these can still be
// answered.
func TestMessagesFollowTheSecondCopy(t *testing.T) {
	b := &Book{Rules: &Rules{Policy: First, Hedge: true, Messages: 10, Bytes: 1000}, Owner: nobody{}}
	first, second := asked(b, "1", 7, 1, 2), asked(b, "2", 7, 1)
	other := asked(b, "3", 8, 1)
	wantPinned(t, "the first copies say where the next one goes", b, 7, 1)
	if b.Ahead(second) != first || b.Ahead(first) != nil || b.Ahead(other) != nil {
		t.Errorf("before the second message about 7 stands the first, and no other has one")
	}
	if orphans := b.Lost(1); len(orphans) != 2 || orphans[0] != second || orphans[1] != other {
		t.Errorf("without leg 1 nobody answers the second about 7 and that about 8: got %v", orphans)
	}
	wantPinned(t, "the next one goes where the first's second copy is", b, 7, 2)
	b.Sent(second, 2, "an instance")
	b.Repin(second)
	if outcome, _ := b.Answered(2, 7, []byte("1"), nil); outcome != Pass {
		t.Errorf("the answer to the first passes: got %v", outcome)
	}
	wantPinned(t, "the second waits yet", b, 7, 2)
	b.Settle(second)
	wantPinned(t, "nothing about 7 waits", b, 7, free)
}

// A message that nobody could be asked holds the place of its thing: others wait
// behind it.
func TestMessagesWaitBehindOneThatWaits(t *testing.T) {
	b := &Book{Rules: &Rules{Messages: 10, Bytes: 1000}, Owner: nobody{}}
	first := b.Enter(7, []byte("1"), "1", 0)
	b.About(first, 7)
	if leg, ok := b.Pinned(7); leg != 0 || !ok {
		t.Errorf("something about 7 waits, and no leg has it: got %d, %v", leg, ok)
	}
	second := asked(b, "2", 7)
	b.About(second, 7)
	b.Sent(first, 3, "an instance")
	b.Repin(first)
	wantPinned(t, "the second follows the first", b, 7, 3)
	b.Settle(first)
	wantPinned(t, "and waits yet", b, 7, 3)
}
