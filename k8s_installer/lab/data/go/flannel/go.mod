// Which flannel the lab builds; go.sum says what its archive must be. Its own go.mod and go.sum say with what.
module k8s-installer/lab/flannel

go 1.19

require github.com/flannel-io/flannel v0.21.3
