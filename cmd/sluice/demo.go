package main

import (
	"context"
	"os"

	"github.com/sluice-proxy/sluice/internal/demo"
)

type demoCmd struct {
	Listen string `help:"Where the page and Sluice are." default:"localhost:8080"`
	Admin  string `help:"Where metrics and the API are." default:"localhost:9090"`
	transport
}

// Run shows the demo.
func (c *demoCmd) Run(ctx context.Context) error {
	return demo.Run(ctx, demo.Options{
		Listen: c.Listen, Admin: c.Admin, Stream: c.Transport == "stream", Out: os.Stdout, Log: os.Stderr, Version: version,
	})
}
