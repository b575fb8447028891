module oldyaml

go 1.19

require (
	github.com/ghodss/yaml v1.0.0
	gopkg.in/yaml.v2 v2.0.0
)
