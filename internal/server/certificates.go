package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sluice-proxy/sluice/internal/config"
)

// Certificates is a certificate chain and key that are read again when their
// files change.
type Certificates struct {
	// Set once, then read-only.
	log   *slog.Logger
	moved chan struct{} // has a token when the files are others

	files atomic.Pointer[config.TLSFiles] // swapped, never changed
	now   atomic.Pointer[tls.Certificate]
	said  string // the last error, which need not be said again; Watch's own
}

// LoadCertificates reads the files; PEM.
func LoadCertificates(files *config.TLSFiles, log *slog.Logger) (*Certificates, error) {
	c := &Certificates{log: log, moved: make(chan struct{}, 1)}
	c.files.Store(files)
	return c, c.load()
}

// Prepare reads these files. commit has them take the place of the present ones.
func (c *Certificates) Prepare(files *config.TLSFiles) (commit func(), err error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, err
	}
	return func() {
		was := c.files.Swap(files)
		if old := c.now.Swap(&pair); !equal(old, &pair) {
			c.log.Info("certificate reloaded", "cert", files.Cert)
		}
		if *was != *files {
			select {
			case c.moved <- struct{}{}:
			default:
			}
		}
	}, nil
}

func (c *Certificates) load() error {
	files := c.files.Load()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
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
	if err := c.watchFolders(w); err != nil {
		return err
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
		case <-c.moved:
			if err := c.watchFolders(w); err != nil {
				c.log.Warn("certificate files not watched", "err", err)
			}
			c.reload() // they may have changed before, or the old ones been read meanwhile
		case err := <-w.Errors:
			c.log.Warn("certificate files not watched", "err", err)
		case <-settled:
			settled = nil
			c.reload()
		}
	}
}

func (c *Certificates) watchFolders(w *fsnotify.Watcher) error {
	files := c.files.Load()
	return errors.Join(w.Add(filepath.Dir(files.Cert)), w.Add(filepath.Dir(files.Key)))
}

// concerns tells whether a change of a file may be one of ours: of the file
// itself, or of the link by which a folder of secrets is renewed as a whole.
func (c *Certificates) concerns(file string) bool {
	name := filepath.Base(file)
	files := c.files.Load()
	return name == filepath.Base(files.Cert) || name == filepath.Base(files.Key) || name == "..data"
}

func (c *Certificates) reload() {
	old := c.now.Load()
	if err := c.load(); err != nil {
		if said := err.Error(); said != c.said {
			c.said = said
			c.log.Error("certificate not reloaded; the old one stays", "cert", c.files.Load().Cert, "err", err)
		}
		return
	}
	c.said = ""
	if now := c.now.Load(); !equal(old, now) {
		c.log.Info("certificate reloaded", "cert", c.files.Load().Cert)
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
