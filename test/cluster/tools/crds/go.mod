// The CRDs of what a cluster has besides Kubernetes; MetalLB's come from its programs' module. Nothing is built: lab/crds.ts reads their YAML.
module home-cluster/test/cluster/tools/crds

go 1.26

require (
	github.com/cert-manager/cert-manager v1.21.2
	// v0.15.4, of K3s 1.25, makes its CRDs while it runs and has no YAML of them; it knows the two fields that are used.
	github.com/k3s-io/helm-controller v0.17.9
	// Of K3s 1.25.16, and the newest; before K3s 1.25.15+k3s2 there was no group traefik.io.
	github.com/traefik/traefik/v2 v2.10.5
	github.com/traefik/traefik/v3 v3.7.13
)
