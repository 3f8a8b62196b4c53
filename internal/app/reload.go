package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sluice-proxy/sluice/internal/config"
)

var (
	errStopping = errors.New("going away")
	errNoFile   = errors.New("there is no configuration file: it was made on the command line or by a program")
)

// Reload has the App go on by another configuration. On error nothing has
// changed. Any goroutine may call it; reloads wait for each other.
func (a *App) Reload(ctx context.Context, cfg *config.Config) (config.Changes, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.stopping, cancel)()
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if a.draining.Load() {
		return config.Changes{}, errStopping
	}
	old := a.now.Load()
	commits, err := a.certificates(cfg)
	if err != nil {
		return config.Changes{}, err
	}
	next, update, err := a.prepare(ctx, old, cfg)
	if err != nil {
		return config.Changes{}, err
	}
	changes := old.cfg.Diff(cfg)
	changes.Restart = a.first.Diff(cfg).Restart // what runs is what it was started with
	a.level.Set(cfg.Log.Level)
	for _, commit := range commits {
		commit()
	}
	a.commit(old, next, update)
	return changes, nil
}

// certificates reads those of the listeners that there are, from where cfg has
// them.
func (a *App) certificates(cfg *config.Config) (commits []func(), err error) {
	for _, l := range a.listeners {
		next := cfg.Listener(l.cfg.Address)
		if l.certs == nil || next == nil || next.TLS == nil {
			continue
		}
		commit, err := l.certs.Prepare(next.TLS)
		if err != nil {
			return nil, fmt.Errorf("listen %s: tls: %w", next.Address, err)
		}
		commits = append(commits, commit)
	}
	return commits, nil
}

// File is a configuration file.
type File struct {
	Path string
	Text []byte // when it was last read
}

// ReloadFile reads the configuration file again, whatever is in it, and says in
// the log what came of it; by is who asks. It implements admin.Source.
func (a *App) ReloadFile(ctx context.Context, by string) (config.Changes, error) {
	if a.opt.File == nil {
		return config.Changes{}, errNoFile
	}
	text, err := os.ReadFile(a.opt.File.Path)
	return a.reloadText(ctx, by, text, err)
}

// reloadText goes on by the text of the file, unless it could not be read.
func (a *App) reloadText(ctx context.Context, by string, text []byte, err error) (changes config.Changes, _ error) {
	var cfg *config.Config
	if err == nil {
		cfg, err = config.Parse(a.opt.File.Path, text, os.LookupEnv)
	}
	if err == nil {
		changes, err = a.Reload(ctx, cfg)
	}
	a.metrics.Reloaded(err == nil)
	if err != nil {
		a.complain(by, err)
		return config.Changes{}, err
	}
	if changes.Changed == nil {
		changes.Changed = []string{}
	}
	a.log.Info("configuration reloaded", "by", by, "generation", a.now.Load().generation, "changed", strings.Join(changes.Changed, "; "))
	if len(changes.Restart) > 0 {
		a.log.Warn("restart to apply", "keys", strings.Join(changes.Restart, ", "))
	}
	return changes, nil
}

// complain says why a configuration is not taken: a line for each of its
// errors, which begins with its place.
func (a *App) complain(by string, err error) {
	errs := []error{err}
	if places, ok := errors.AsType[config.Errors](err); ok {
		errs = nil
		for _, e := range places {
			errs = append(errs, e)
		}
	}
	for _, e := range errs {
		a.log.Error("configuration not reloaded; nothing has changed", "by", by, "err", e.Error())
	}
}
