// Package demo shows Sluice's main job in one process: three WebSocket servers,
// Sluice in front of them, and a page that opens sessions through it.
//
// Run does all of it and returns when its context ends. It may be called once
// at a time.
package demo
