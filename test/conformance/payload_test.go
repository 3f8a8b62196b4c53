package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A payload is a message's content, in a file because its senders are written
// in three languages.
type payload struct {
	File string
	Text bool
	Seen seen
}

// seen is a message as its receiver describes it.
type seen struct {
	Text   bool   `json:"text"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

func (s seen) String() string {
	kind := "binary"
	if s.Text {
		kind = "text"
	}
	return fmt.Sprintf("%s of %d bytes %.8s", kind, s.Size, s.SHA256)
}

func describe(data []byte, text bool) seen {
	sum := sha256.Sum256(data)
	return seen{Text: text, Size: len(data), SHA256: hex.EncodeToString(sum[:])}
}

var payloads = struct {
	sync.Mutex
	made map[string]payload
}{made: map[string]payload{}}

// content makes a message of that size: of letters from several alphabets,
// which deflate shrinks, or of noise, which it can't.
func content(t *testing.T, text bool, size int) payload {
	t.Helper()
	if text {
		return stored(t, fmt.Sprintf("text-%d", size), words(size), true)
	}
	return stored(t, fmt.Sprintf("noise-%d", size), noise(size), false)
}

// literal makes a text message of these very words.
func literal(t *testing.T, words string) payload {
	t.Helper()
	return stored(t, "literal-"+describe([]byte(words), true).SHA256, []byte(words), true)
}

func stored(t *testing.T, name string, data []byte, text bool) payload {
	t.Helper()
	payloads.Lock()
	defer payloads.Unlock()
	if p, ok := payloads.made[name]; ok {
		return p
	}
	p := payload{File: filepath.Join(payloadFolder(), name), Text: text, Seen: describe(data, text)}
	if err := os.MkdirAll(payloadFolder(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.File, data, 0o600); err != nil {
		t.Fatal(err)
	}
	payloads.made[name] = p
	return p
}

func payloadFolder() string { return filepath.Join(scratch, "payloads") }

// words gives valid UTF-8 of exactly that many bytes, with characters of one
// to four bytes, so that frames and reads cut some of them.
func words(size int) []byte {
	letters := []string{"sluice ", "Schleuse äöü ", "шлюз ", "水門 ", "🚪"}
	order := rand.New(rand.NewPCG(uint64(size), 7))
	var b bytes.Buffer
	for {
		word := letters[order.IntN(len(letters))]
		if b.Len()+len(word) > size {
			break
		}
		b.WriteString(word)
	}
	for b.Len() < size {
		b.WriteByte('.')
	}
	return b.Bytes()
}

func noise(size int) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprint(size))
	data := make([]byte, size)
	rand.NewChaCha8(seed).Read(data)
	return data
}
