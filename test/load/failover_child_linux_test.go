//go:build !race

package load_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-proxy/sluice/internal/ws"
)

// Variables that make the test's binary an instance.
const (
	childAddress = "SLUICE_LOAD_INSTANCE"
	childIndex   = "SLUICE_LOAD_INDEX"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(childAddress); address != "" {
		answerForEver(address)
	}
	os.Exit(m.Run())
}

// child is an instance in a process of its own, which can be killed, stopped and
// started again at the same address.
type child struct {
	index   int
	address string
	cmd     *exec.Cmd
	alive   io.Closer // the child ends with it
	ledger  *ledger
	told    chan struct{} // closed when all that it has read is in the ledger
}

// startChildren starts instances. Each has an address that no outgoing
// connection takes while it is down.
func startChildren(t *testing.T, n int, l *ledger) (all []*child) {
	t.Helper()
	for k := range n {
		c := &child{index: k, address: fmt.Sprintf("127.0.0.%d:0", 2+k), ledger: l}
		c.start(t)
		t.Cleanup(c.kill)
		all = append(all, c)
	}
	return all
}

func (c *child) url() string { return "ws://" + c.address }

func (c *child) start(t *testing.T) {
	t.Helper()
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childAddress+"="+c.address, childIndex+"="+strconv.Itoa(c.index))
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.alive, c.told = in, make(chan struct{})
	br := bufio.NewReader(out)
	line, err := br.ReadString('\n')
	go c.listen(br)
	if err != nil {
		t.Fatalf("instance %d says no address: %v", c.index, err)
	}
	c.address = strings.TrimSpace(line)
}

// listen enters what the child has read, until its end.
func (c *child) listen(br *bufio.Reader) {
	defer close(c.told)
	var r [3]uint32
	for binary.Read(br, binary.LittleEndian, &r) == nil {
		c.ledger.enter(r[0], r[1], r[2])
	}
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// kill ends it with SIGKILL and waits until all that it has read is known.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	c.end()
}

// end waits for its end.
func (c *child) end() {
	<-c.told
	_ = c.cmd.Wait()
	c.alive.Close()
}

// answerForEver is the child. It says what it has read before it answers, and
// answers before it reads the next.
func answerForEver(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go answerOne(c)
	}
}

// answerOne serves a leg: each request is answered with its number, the leg's
// and the instance's.
func answerOne(c net.Conn) {
	defer c.Close()
	var w wire
	w.begin(c, true)
	head, err := w.upTo("\r\n\r\n")
	if err != nil {
		return
	}
	_, id, _ := strings.Cut(head, "/s/")
	id, _, _ = strings.Cut(id, " ")
	session, _ := strconv.ParseUint(id, 10, 32)
	_, resume, _ := strings.Cut(head, "Sluice-Resume: ")
	resume, _, _ = strings.Cut(resume, "\r\n")
	leg, _ := strconv.ParseUint("0"+resume, 10, 32)
	tail := fmt.Sprintf(" %d %s", leg, os.Getenv(childIndex))
	if _, err := io.WriteString(c, answer(head)); err != nil {
		return
	}
	_ = w.conn.SetDeadline(noDeadline)
	var record [12]byte
	binary.LittleEndian.PutUint32(record[:], uint32(session))
	binary.LittleEndian.PutUint32(record[4:], uint32(leg))
	for {
		op, p, err := w.next()
		switch {
		case err != nil:
			return
		case op == ws.CloseFrame:
			_ = w.send(op, string(p))
			return
		}
		n, _ := strconv.ParseUint(string(p), 10, 32)
		binary.LittleEndian.PutUint32(record[8:], uint32(n))
		_, _ = os.Stdout.Write(record[:])
		if w.send(ws.Text, string(p)+tail) != nil {
			return
		}
	}
}
