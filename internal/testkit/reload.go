package testkit

import (
	"context"
	"os"
	"testing"

	"github.com/sluice-proxy/sluice/internal/config"
)

// Reload has the App go on by another configuration, and gives what changed.
func (a *App) Reload(t testing.TB, yaml string) config.Changes {
	t.Helper()
	changes, err := a.TryReload(t, yaml)
	if err != nil {
		t.Fatalf("reload: %v\n%s", err, yaml)
	}
	return changes
}

// TryReload is Reload for a configuration that may not be taken.
func (a *App) TryReload(t testing.TB, yaml string) (config.Changes, error) {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(yaml), os.LookupEnv)
	if err != nil {
		t.Fatalf("the test's own configuration: %v\n%s", err, yaml)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return a.App.Reload(ctx, cfg)
}
