// Package testserver runs the server under test as a process of its own for Kubernetes' storage tests. The runner
// (test/src/conformance) puts it in the place of k8s.io/apiserver's package of the same name, which embeds etcd, so it
// keeps that package's two functions and their types.
package testserver

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// A server that has not answered a read by then fails the test.
const startLimit = 30 * time.Second

// NewTestConfig returns the part of an etcd configuration that the tests change and RunEtcd reads: client URLs, client
// TLS, progress interval and an empty folder.
func NewTestConfig(t testing.TB) *embed.Config {
	t.Helper()
	client, peer := freePorts(t)
	cfg := embed.NewConfig()
	cfg.ListenClientUrls = []url.URL{loopback(client)}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = []url.URL{loopback(peer)}
	cfg.AdvertisePeerUrls = cfg.ListenPeerUrls
	cfg.Dir = t.TempDir()
	if err := os.Chmod(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("CONFORMANCE_TLS") != "" {
		secure(t, cfg)
	}
	return cfg
}

// RunEtcd starts $SERVER_CMD by a shell (it has to end in an exec, so that the process is the server), with PORT, PEER_PORT, DIR, SCHEME, CERT, KEY, CA (the three empty without TLS)
// and PROGRESS (a duration, or empty) in its environment, and returns a client once the server answers a read. The
// process is killed when the test ends; its log stays in the folder for temporary files when the test fails.
func RunEtcd(t testing.TB, cfg *embed.Config) *kubernetes.Client {
	t.Helper()
	if cfg == nil {
		cfg = NewTestConfig(t)
	}
	address := cfg.ListenClientUrls[0]
	progress := ""
	if interval := cfg.WatchProgressNotifyInterval; interval > 0 {
		progress = interval.String()
	}

	name := strings.Map(fileNameRune, t.Name())
	log, err := os.Create(filepath.Join(os.TempDir(), fmt.Sprintf("%s.%s.log", name, address.Port())))
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command("sh", "-c", os.Getenv("SERVER_CMD"))
	server.Stdout, server.Stderr = log, log
	server.Env = append(os.Environ(),
		"PORT="+address.Port(),
		"PEER_PORT="+cfg.ListenPeerUrls[0].Port(),
		"DIR="+cfg.Dir,
		"SCHEME="+address.Scheme,
		"CERT="+cfg.ClientTLSInfo.CertFile,
		"KEY="+cfg.ClientTLSInfo.KeyFile,
		"CA="+cfg.ClientTLSInfo.TrustedCAFile,
		"PROGRESS="+progress,
	)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Kill()
		select {
		case <-exited:
		case <-time.After(startLimit):
			t.Errorf("server %d does not end", server.Process.Pid)
		}
		_ = log.Close()
		if !t.Failed() {
			_ = os.Remove(log.Name())
		}
	})

	client, err := connect(t, cfg, address, exited)
	if err != nil {
		t.Fatalf("%v (log: %s)", err, log.Name())
	}
	record(client)
	return client
}

func connect(t testing.TB, cfg *embed.Config, address url.URL, exited chan error) (*kubernetes.Client, error) {
	deadline := time.Now().Add(startLimit)
	for {
		conn, err := net.DialTimeout("tcp", address.Host, time.Second)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case end := <-exited:
			exited <- end
			return nil, fmt.Errorf("the server ended before it listened: %v", end)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the server does not listen: %w", err)
		}
	}

	tlsConfig, err := cfg.ClientTLSInfo.ClientConfig()
	if err != nil {
		return nil, err
	}
	if address.Scheme != "https" {
		tlsConfig = nil
	}
	client, err := kubernetes.New(clientv3.Config{
		Endpoints:   []string{address.String()},
		TLS:         tlsConfig,
		DialTimeout: 10 * time.Second,
		Logger:      zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for {
		// Not yet through the recorders, whose counts the tests compare.
		if _, err = client.KV.Get(ctx, "/is-it-there"); err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the server does not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// freePorts binds both ports before it gives either back, so that they differ.
func freePorts(t testing.TB) (int, int) {
	t.Helper()
	var ports [2]int
	for i := range ports {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1]
}

func loopback(port int) url.URL {
	return url.URL{Scheme: "http", Host: net.JoinHostPort("localhost", strconv.Itoa(port))}
}

func fileNameRune(r rune) rune {
	if strings.ContainsRune("/\\: *?", r) {
		return '_'
	}
	return r
}
