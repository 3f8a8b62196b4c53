// Package content reads of a JSON message what a proxy needs of it.
package content
