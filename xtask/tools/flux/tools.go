//go:build tools

// Package tools names the programs that `cargo xtask` builds of Flux.
package tools

import (
	_ "github.com/fluxcd/flux2/v2/cmd/flux"
	_ "github.com/fluxcd/kustomize-controller"
	_ "github.com/fluxcd/source-controller"
)
