package testserver

import (
	"go.etcd.io/etcd/client/v3/kubernetes"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

// record counts the client's calls as the tests expect it, from Kubernetes 1.37 on: both recorders see lists.
func record(client *kubernetes.Client) {
	lists := storagetesting.NewKubernetesRecorder(client.Kubernetes)
	client.KV = storagetesting.NewKVRecorder(client.KV, lists)
	client.Kubernetes = lists
}
