package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Certificates is a certificate chain and key that are read again when their
// files change.
type Certificates struct {
	cert, key string
	log       *slog.Logger
	now       atomic.Pointer[tls.Certificate]
	said      string // the last error, which need not be said again; Watch's own
}

// LoadCertificates reads the files; PEM.
func LoadCertificates(cert, key string, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{cert: cert, key: key, log: log}
	return c, c.load()
}

func (c *Certificates) load() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return err
	}
	c.now.Store(&pair)
	return nil
}

// Get is for tls.Config.GetCertificate.
func (c *Certificates) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }

// settleFor is how long after the first change the files are read: the
// certificate and its key are written one after the other.
const settleFor = 200 * time.Millisecond

// Watch reads the files again whenever they change, until ctx ends. Folders
// are watched, not files, because certificates are renewed by renaming. What
// does not load changes nothing, and is said, once.
func (c *Certificates) Watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	for _, dir := range []string{filepath.Dir(c.cert), filepath.Dir(c.key)} {
		if err := w.Add(dir); err != nil {
			return err
		}
	}
	c.reload()                   // what has changed since it was loaded, and before it is watched
	var settled <-chan time.Time // set while a change is under way
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if settled == nil && c.concerns(e.Name) {
				settled = time.After(settleFor)
			}
		case err := <-w.Errors:
			c.log.Warn("certificate files not watched", "err", err)
		case <-settled:
			settled = nil
			c.reload()
		}
	}
}

// concerns tells whether a change of a file may be one of ours: of the file
// itself, or of the link by which a folder of secrets is renewed as a whole.
func (c *Certificates) concerns(file string) bool {
	name := filepath.Base(file)
	return name == filepath.Base(c.cert) || name == filepath.Base(c.key) || name == "..data"
}

func (c *Certificates) reload() {
	old := c.now.Load()
	if err := c.load(); err != nil {
		if said := err.Error(); said != c.said {
			c.said = said
			c.log.Error("certificate not reloaded; the old one stays", "cert", c.cert, "err", err)
		}
		return
	}
	c.said = ""
	if now := c.now.Load(); !equal(old, now) {
		c.log.Info("certificate reloaded", "cert", c.cert)
	}
}

func equal(a, b *tls.Certificate) bool {
	if len(a.Certificate) != len(b.Certificate) {
		return false
	}
	for i := range a.Certificate {
		if string(a.Certificate[i]) != string(b.Certificate[i]) {
			return false
		}
	}
	return true
}
