package config

import "github.com/sluice-proxy/sluice/internal/content"

// parsePath accepts where in a JSON message a value stands.
func parsePath(s string) (string, error) {
	_, err := content.ParsePath(s)
	return s, err
}
