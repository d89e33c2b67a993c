package testserver

import (
	"go.etcd.io/etcd/client/v3/kubernetes"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

// record counts the client's calls as the tests expect it, up to Kubernetes 1.36.
func record(client *kubernetes.Client) {
	client.KV = storagetesting.NewKVRecorder(client.KV)
	client.Kubernetes = storagetesting.NewKubernetesRecorder(client.Kubernetes)
}
