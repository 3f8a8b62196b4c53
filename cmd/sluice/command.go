package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// running says which Sluice a command is for.
type running struct {
	Admin string `help:"Its admin listener." default:"http://localhost:9090" placeholder:"URL"`
	Token string `help:"Its admin.token; needed from another machine." env:"SLUICE_TOKEN" placeholder:"TOKEN"`
}

// commandTime is what a command may take: names may have to be resolved.
const commandTime = time.Minute

// post asks for path, and gives the answer.
func (r *running) post(ctx context.Context, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	base := strings.TrimRight(r.Admin, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if r.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.Token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

type reloadCmd struct{ running }

// Run has the configuration read again, and prints what changed.
func (c *reloadCmd) Run(ctx context.Context) error {
	status, body, err := c.post(ctx, "/api/reload")
	if err != nil {
		return err
	}
	var out struct {
		Changed []string
		Restart []string `json:"restart_needed"`
		Errors  []struct {
			File, Key, Message string
			Line, Column       int
		}
	}
	if json.Unmarshal(body, &out) != nil {
		return refused(status, body)
	}
	for _, e := range out.Errors {
		at := ""
		if e.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d: %s: ", e.File, e.Line, e.Column, e.Key)
		}
		fmt.Fprintln(os.Stderr, at+e.Message)
	}
	if status != http.StatusOK {
		return errors.New("not reloaded; nothing has changed")
	}
	for _, what := range out.Changed {
		fmt.Println(what)
	}
	if len(out.Changed) == 0 {
		fmt.Println("nothing has changed")
	}
	if len(out.Restart) > 0 {
		fmt.Println("restart to apply: " + strings.Join(out.Restart, ", "))
	}
	return nil
}

func refused(status int, body []byte) error {
	return fmt.Errorf("%d %s: %s", status, http.StatusText(status), strings.TrimSpace(string(body)))
}

type drainCmd struct {
	Instance string `arg:"" help:"Its name, as /api has it: ws://10.0.0.1:9000."`
	Wait     bool   `help:"Come back when it has no session left."`
	running
}

// waitEvery is the time between two looks for sessions that are still there.
const waitEvery = 250 * time.Millisecond

// Run drains an instance.
func (c *drainCmd) Run(ctx context.Context) error {
	left, err := c.command(ctx, "drain", c.Instance)
	t := time.NewTicker(waitEvery)
	defer t.Stop()
	for c.Wait && left > 0 && err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if left, err = c.ask(ctx, "drain", c.Instance); left == 0 && err == nil {
			fmt.Printf("%s: drained\n", c.Instance)
		}
	}
	return err
}

type undrainCmd struct {
	Instance string `arg:"" help:"Its name, as /api has it: ws://10.0.0.1:9000."`
	running
}

// Run uses a drained instance again.
func (c *undrainCmd) Run(ctx context.Context) error {
	_, err := c.command(ctx, "undrain", c.Instance)
	return err
}

// command has something done to an instance, and prints what came of it.
func (r *running) command(ctx context.Context, what, instance string) (sessions int, err error) {
	out, err := r.told(ctx, what, instance)
	if err == nil {
		fmt.Printf("%s: %s, %d session(s) there\n", instance, out.State, out.Sessions)
	}
	return out.Sessions, err
}

// ask is command without a word.
func (r *running) ask(ctx context.Context, what, instance string) (sessions int, err error) {
	out, err := r.told(ctx, what, instance)
	return out.Sessions, err
}

// told is the API's answer to a command.
type told struct {
	State, Error string
	Sessions     int
}

func (r *running) told(ctx context.Context, what, instance string) (out told, err error) {
	status, body, err := r.post(ctx, "/api/"+what+"?instance="+url.QueryEscape(instance))
	switch {
	case err != nil:
		return out, err
	case json.Unmarshal(body, &out) != nil:
		return out, refused(status, body)
	case out.Error != "":
		return out, errors.New(out.Error)
	}
	return out, nil
}
