//go:build tools

// Package tools names the older kubectl that `cargo xtask` builds where a machine has none.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kubectl"
)
