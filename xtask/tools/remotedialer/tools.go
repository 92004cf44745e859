//go:build tools

// Package tools names the programs that `cargo xtask` builds from github.com/rancher/remotedialer, of
// the last version that Go 1.26 builds.
package tools

import (
	_ "github.com/rancher/remotedialer/client"
	_ "github.com/rancher/remotedialer/server"
)
