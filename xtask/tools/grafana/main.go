// Command grafana-reads reads dashboards as Grafana's own types describe them, and prints a line for each field that they do not know, that
// is of another type, or that is missing. Most of what is missing Grafana fills in when it takes a dashboard; its reader judges.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		read := dashboard.Dashboard{}
		if err := read.UnmarshalJSONStrict(text); err != nil {
			fmt.Println(err)
		}
		if err := read.Validate(); err != nil {
			fmt.Println(err)
		}
	}
}
