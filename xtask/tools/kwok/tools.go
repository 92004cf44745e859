//go:build tools

// Package tools names the programs that `cargo xtask` builds from sigs.k8s.io/kwok.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
