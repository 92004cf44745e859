//go:build tools

// Package tools names the programs that `cargo xtask` builds from helm.sh/helm/v4.
package tools

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
