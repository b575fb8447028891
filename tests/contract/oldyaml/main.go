// Parses the files it is given as programs of Kubernetes 1.5 to 1.9 do: gopkg.in/yaml.v2 of 2017 by ghodss/yaml.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/ghodss/yaml"
)

func main() {
	failed := false
	for _, path := range os.Args[1:] {
		data, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		for _, document := range strings.Split("\n"+string(data), "\n---") {
			if _, err := yaml.YAMLToJSON([]byte(document)); err != nil {
				fmt.Printf("%s: %v\n", path, err)
				failed = true
			}
		}
	}
	if failed {
		os.Exit(1)
	}
}
