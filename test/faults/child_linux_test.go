package faults_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-proxy/sluice/internal/testkit"
	"github.com/sluice-proxy/sluice/internal/ws"
)

const childEnv = "SLUICE_FAULTS_ECHO"

// child is an instance in a process of its own, which can be stopped as a
// whole.
type child struct {
	cmd *exec.Cmd
	url string
}

func startChild(t *testing.T) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd}
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child says no address: %v", err)
	}
	c.url = "ws://" + strings.TrimSpace(line)
	return c
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// echoForEver is the child: it serves until it is killed.
func echoForEver() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go echoOne(c)
	}
}

func echoOne(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	r, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	fmt.Fprint(c, testkit.AnswerTo(r.Header.Get("Sec-WebSocket-Key")))
	in := ws.Parser{Masked: true}
	var buf []byte
	for {
		piece, err := in.Next(buf)
		if err != nil {
			return
		}
		if piece.Kind == ws.Control || piece.End {
			payload := buf[piece.Head:piece.N]
			h := in.Header
			ws.Mask(payload, h.Key, 0)
			if h.Masked = false; h.Opcode == ws.Ping {
				h.Opcode = ws.Pong
			}
			if _, err := c.Write(ws.AppendFrame(nil, h, payload)); err != nil || h.Opcode == ws.CloseFrame {
				return
			}
			buf = buf[piece.N:]
			continue
		}
		var room [4096]byte
		n, err := br.Read(room[:])
		if err != nil {
			return
		}
		buf = append(buf, room[:n]...)
		in = ws.Parser{Masked: true} // frames here are small and whole: begin again
	}
}

// An instance that is frozen, as by SIGSTOP, is found by pings: its sessions
// are closed to come back, and new ones go elsewhere.
func TestFrozenInstance(t *testing.T) {
	c := startChild(t)
	for _, tr := range testkit.Transports {
		t.Run(string(tr), func(t *testing.T) {
			a := testkit.Start(t, tr, testkit.Config{Upstreams: []string{c.url}, Timeouts: quick}.String())
			first := a.Dial(t)
			first.SendString(testkit.Upgrade("/"))
			first.WantUpgraded("the child answers")
			first.Reset()
			a.WantNoSessions(t, "the first session is over")
			before := testkit.Now()
			client := a.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			client.WantUpgraded("the child answers")
			p := newPair(t, client)
			p.say("the child echoes", "hello")
			c.signal(t, syscall.SIGSTOP)
			p.wantClose("the frozen instance is given up", 1012)
			late := a.Dial(t)
			late.SendString(testkit.Upgrade("/"))
			late.WantRefusal("a new client is told to come again", 504)
			late.Close()
			c.signal(t, syscall.SIGCONT)
			again := a.Dial(t)
			again.SendString(testkit.Upgrade("/"))
			again.WantUpgraded("the thawed instance serves on")
			p = newPair(t, again)
			p.say("and echoes", "again")
			again.Reset()
			for range p.got {
			}
			a.WantNoSessions(t, "no session is left")
			before.WantBack(t, "no descriptor and no goroutine is left")
		})
	}
}

// An instance that is killed resets its sessions, or hangs up.
func TestKilledInstance(t *testing.T) {
	for _, tr := range testkit.Transports {
		t.Run(string(tr), func(t *testing.T) {
			c := startChild(t)
			a := testkit.Start(t, tr, testkit.Config{Upstreams: []string{c.url}, Timeouts: quick}.String())
			client := a.Dial(t)
			client.SendString(testkit.Upgrade("/"))
			client.WantUpgraded("the child answers")
			p := newPair(t, client)
			p.say("the child echoes", "hello")
			c.kill()
			p.wantClose("its client is asked to come back", 1012)
			late := a.Dial(t)
			late.SendString(testkit.Upgrade("/"))
			late.WantRefusal("a new client is told to come again", 502)
			late.Close()
			a.WantNoSessions(t, "no session is left")
		})
	}
}
