package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A way is how a client reaches the server.
type way struct {
	direct    bool
	transport string
	tls       bool
}

var (
	direct    = way{direct: true}
	raw       = way{transport: "raw"}
	stream    = way{transport: "stream"}
	rawTLS    = way{transport: "raw", tls: true}
	streamTLS = way{transport: "stream", tls: true}
)

func (w way) String() string {
	switch {
	case w.direct:
		return "direct"
	case w.tls:
		return w.transport + "+tls"
	default:
		return w.transport
	}
}

// ways gives the quick set, or all in a full run, or the direct one where
// there is no proxy.
func ways(quick ...way) []way {
	switch {
	case !proxied:
		return []way{direct}
	case full:
		return []way{raw, stream, rawTLS, streamTLS}
	default:
		return quick
	}
}

var listening = regexp.MustCompile(`msg=listening .*address=(127\.0\.0\.1:\d+)`)

// reach gives the URL under which clients reach the servers that way, without
// a path.
func reach(t *testing.T, w way, upstreams []string, flags ...string) string {
	t.Helper()
	return front(t, w, "balance", upstreams, flags...)
}

// front does that in the mode of its name.
func front(t *testing.T, w way, mode string, upstreams []string, flags ...string) string {
	t.Helper()
	if w.direct {
		return upstreams[0]
	}
	args := []string{mode, "--listen", "127.0.0.1:0", "--admin", "off", "--transport", w.transport}
	scheme := "ws://"
	if w.tls {
		scheme = "wss://"
		certificate := certificate(t)
		args = append(args, "--tls-cert", certificate.cert, "--tls-key", certificate.key)
	}
	address, _ := launch(t, append(append(args, flags...), upstreams...)...)
	return scheme + address
}

// launch starts a proxy and gives the address where it listens. It ends with
// the test; it must not have panicked, and its log goes into the report of a
// failed test.
func launch(t *testing.T, args ...string) (string, *process) {
	t.Helper()
	address := make(chan string, 1)
	p := mustStart(t, "the proxy", exec.Command(binary, args...), func(line string) {
		if found := listening.FindStringSubmatch(line); found != nil {
			select {
			case address <- found[1]:
			default: // a second listener
			}
		}
	})
	t.Cleanup(func() { endProxy(t, p) })
	select {
	case a := <-address:
		return a, p
	case <-p.ended:
		t.Fatalf("the proxy ended: sluice %s\n%s", strings.Join(args, " "), p.log)
	case <-time.After(20 * time.Second):
		t.Fatalf("the proxy does not say where it listens: %s", p.log)
	}
	return "", nil
}

// endProxy stops a proxy whose clients have all gone. A session that outlived
// its two ends would hold it up for timeouts.close, which is 5 s.
func endProxy(t *testing.T, p *process) {
	asked := time.Now()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if took := time.Since(asked); took > 4*time.Second {
			t.Errorf("the proxy took %v to stop, so sessions were left of clients that had gone", took.Round(time.Millisecond))
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("the proxy ended with %d after SIGTERM, want 0", code)
		}
	case <-time.After(20 * time.Second): // its drain is 10 s
		t.Errorf("the proxy is still there 20 s after SIGTERM")
	}
	log := p.log.String()
	if strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		t.Errorf("the proxy panicked or raced")
	}
	if t.Failed() {
		t.Logf("the proxy's log:\n%s", worthReading(log))
	}
}

// worthReading leaves out the lines of ordinary ends, but for the last.
func worthReading(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	var kept []string
	for i, line := range lines {
		if len(lines)-i <= 10 || !strings.Contains(line, "level=INFO") || cutShort.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-80):], "\n")
}

var cutShort = regexp.MustCompile(` code=(0|1006|101[1-4]) `)

// keyPair names files in PEM. The certificate is its own authority.
type keyPair struct{ cert, key string }

var makeCertificate = sync.OnceValues(func() (keyPair, error) {
	pair := keyPair{filepath.Join(scratch, "cert.pem"), filepath.Join(scratch, "key.pem")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "conformance"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return pair, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair, err
	}
	if err := os.WriteFile(pair.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return pair, err
	}
	return pair, os.WriteFile(pair.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
})

func certificate(t *testing.T) keyPair {
	t.Helper()
	pair, err := makeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
