//go:build tools

// Package tools names the programs that `cargo xtask` builds from github.com/fluxcd/notification-controller.
package tools

import (
	_ "github.com/fluxcd/notification-controller"
)
