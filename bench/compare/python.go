//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// python has the packages that test/conformance pins, too.
func (l *lab) python() string { return filepath.Join(l.root, ".tools", "python3", "bin", "python") }

func findWebsockets(ctx context.Context, l *lab) error {
	if exec.CommandContext(ctx, l.python(), "-c", "import websockets.asyncio.server").Run() != nil {
		return errors.New("websockets is not installed (bench/setup.sh)")
	}
	return nil
}

// opensslConfig chooses the cipher that all others use: Python's ssl has no way
// to.
const opensslConfig = `openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = default
[default]
Ciphersuites = TLS_AES_128_GCM_SHA256
`

// pythonCommand runs a program of bench/peers, with flags behind its words.
func pythonCommand(l *lab, w *wiring, program, to string, flags ...string) ([]string, error) {
	file := filepath.Join(w.dir, "openssl.cnf")
	if err := os.WriteFile(file, []byte(opensslConfig), 0o600); err != nil {
		return nil, err
	}
	args := []string{"env", "OPENSSL_CONF=" + file, l.python(), filepath.Join(l.root, peersModule, program), w.listen, "ws://" + to}
	if w.tls {
		args = append(args, l.cert, l.key)
	}
	return append(args, flags...), nil
}

func pythonProxy(l *lab, w *wiring) ([]string, error) {
	return pythonCommand(l, w, "proxy.py", w.echo)
}

func pythonHub(l *lab, w *wiring) ([]string, error) {
	if w.compress {
		return pythonCommand(l, w, "broadcast.py", w.source, "--compress")
	}
	return pythonCommand(l, w, "broadcast.py", w.source)
}

func pythonVersion(l *lab) string {
	b, _ := exec.Command(l.python(), "-c", "import sys, websockets; print('of websockets', websockets.__version__ + ', Python', sys.version.split()[0])").Output()
	return strings.TrimSpace(string(b))
}
