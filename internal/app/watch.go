package app

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleFor is how long after the first change the file is read: editors and
// tools write in more than one step.
const settleFor = 200 * time.Millisecond

// watch reloads the file whenever its content changes, until ctx ends. Folders
// are watched, not files, because files are replaced by renaming, and folders
// by a link to another.
func (a *App) watch(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		a.log.Warn("configuration file not watched; send SIGHUP to reload", "err", err)
		return
	}
	defer w.Close()
	names := a.watchFolders(w)
	last := a.opt.File.Text
	a.lookAgain(ctx, &last) // it may have changed since it was read
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.Events:
			if settled == nil && slices.Contains(names, filepath.Base(e.Name)) {
				settled = time.After(settleFor)
			}
		case err := <-w.Errors:
			a.log.Warn("configuration file not watched", "err", err)
		case <-settled:
			settled = nil
			names = a.watchFolders(w)
			a.lookAgain(ctx, &last)
		}
	}
}

// lookAgain reloads the file if its content is not last. One that is not there
// is between two steps of being replaced.
func (a *App) lookAgain(ctx context.Context, last *[]byte) {
	text, err := os.ReadFile(a.opt.File.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(text, *last) {
		return
	}
	*last = text
	_, _ = a.reloadText(ctx, "file", text, err) // it has said what came of it
}

// watchFolders watches the file's folder, and those of the links that lead to
// it. It gives the names in there that matter.
func (a *App) watchFolders(w *fsnotify.Watcher) (names []string) {
	dirs, names := trail(a.opt.File.Path)
	for _, dir := range dirs {
		_ = w.Remove(dir) // it may be another folder of that name by now
		if err := w.Add(dir); err != nil {
			a.log.Warn("configuration file not watched", "folder", dir, "err", err)
		}
	}
	return names
}

// trail gives the folders in which a change may change what path leads to, and
// the names of what may change there: the file, links to it and to its folder,
// and the link by which a folder of a cluster's settings is renewed as a whole.
func trail(path string) (dirs, names []string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, nil
	}
	dirs, names = []string{filepath.Dir(path)}, []string{filepath.Base(path), "..data"}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		dirs, names = append(dirs, filepath.Dir(real)), append(names, filepath.Base(real))
	}
	for at := filepath.Dir(path); filepath.Dir(at) != at; at = filepath.Dir(at) {
		if fi, err := os.Lstat(at); err == nil && fi.Mode()&os.ModeSymlink != 0 {
			dirs, names = append(dirs, filepath.Dir(at)), append(names, filepath.Base(at))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), names
}
