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
	"sync"
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

// RunEtcd returns a client of a server with an empty store, once that answers a read. The server is the test's own, and is
// killed when the test ends; with CONFORMANCE_REUSE in the environment, tests that ask for nothing special (cfg is nil) have
// one after another, its store emptied by deletes in between, but for those that count on a new one.
func RunEtcd(t testing.TB, cfg *embed.Config) *kubernetes.Client {
	t.Helper()
	if cfg == nil && os.Getenv("CONFORMANCE_REUSE") != "" && !countsRevisions(t) {
		return reuse(t)
	}
	if cfg == nil {
		cfg = NewTestConfig(t)
	}
	server := start(t, cfg)
	t.Cleanup(func() { server.end(t) })
	client := server.connect(t)
	t.Cleanup(func() { _ = client.Close() })
	record(client)
	return client
}

// countsRevisions tells whether a test names revisions by their numbers in a store that begins with the first.
func countsRevisions(t testing.TB) bool {
	for _, start := range []string{"TestEtcdWatchSemantics", "TestLists", "TestTooLargeResourceVersion", "TestWatchSemantics"} {
		if strings.HasPrefix(t.Name(), start) {
			return true
		}
	}
	return false
}

// idle holds the servers that no test uses at the moment. The runner ends them with the test program, and removes what is named
// "server..." in the folder for temporary files.
var idle struct {
	sync.Mutex
	servers []*process
}

// reuse lends a server to the test. A server whose test has failed, or whose store cannot be emptied, is lent to nobody else.
func reuse(t testing.TB) *kubernetes.Client {
	t.Helper()
	idle.Lock()
	var server *process
	if last := len(idle.servers) - 1; last >= 0 {
		server, idle.servers = idle.servers[last], idle.servers[:last]
	}
	idle.Unlock()
	if server == nil {
		cfg := NewTestConfig(t)
		var err error
		if cfg.Dir, err = os.MkdirTemp("", "server"); err != nil {
			t.Fatal(err)
		}
		server = start(t, cfg)
	}
	client := server.connect(t)
	// Before a test puts something of its own in between.
	kv := client.KV
	t.Cleanup(func() {
		if t.Failed() {
			server.end(t)
		} else if err := empty(kv); err != nil {
			t.Errorf("the store cannot be emptied: %v", err)
			server.end(t)
		} else {
			idle.Lock()
			idle.servers = append(idle.servers, server)
			idle.Unlock()
		}
		_ = client.Close()
	})
	record(client)
	return client
}

// empty deletes every key, one by one: a range may lie in several databases, which are not changed as one.
func empty(kv clientv3.KV) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	found, err := kv.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	for _, each := range found.Kvs {
		if _, err := kv.Delete(ctx, string(each.Key)); err != nil {
			return err
		}
	}
	return nil
}

// process is a server that runs.
type process struct {
	cfg    *embed.Config
	cmd    *exec.Cmd
	exited chan error
	log    *os.File
}

// start runs $SERVER_CMD by a shell (it has to end in an exec, so that the process is the server), with PORT, PEER_PORT, DIR,
// SCHEME, CERT, KEY, CA (the three empty without TLS) and PROGRESS (a duration, or empty) in its environment.
func start(t testing.TB, cfg *embed.Config) *process {
	t.Helper()
	address := cfg.ListenClientUrls[0]
	progress := ""
	if interval := cfg.WatchProgressNotifyInterval; interval > 0 {
		progress = interval.String()
	}
	log, err := os.Create(cfg.Dir + ".log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", os.Getenv("SERVER_CMD"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(),
		"PORT="+address.Port(),
		"PEER_PORT="+cfg.ListenPeerUrls[0].Port(),
		"DIR="+cfg.Dir,
		"SCHEME="+address.Scheme,
		"CERT="+cfg.ClientTLSInfo.CertFile,
		"KEY="+cfg.ClientTLSInfo.KeyFile,
		"CA="+cfg.ClientTLSInfo.TrustedCAFile,
		"PROGRESS="+progress,
	)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	server := &process{cfg: cfg, cmd: cmd, exited: make(chan error, 1), log: log}
	go func() { server.exited <- cmd.Wait() }()
	return server
}

// end kills the server. Its log goes into the folder for temporary files when the test has failed.
func (p *process) end(t testing.TB) {
	_ = p.cmd.Process.Kill()
	select {
	case <-p.exited:
	case <-time.After(startLimit):
		t.Errorf("server %d does not end", p.cmd.Process.Pid)
	}
	_ = p.log.Close()
	if !t.Failed() {
		_ = os.Remove(p.log.Name())
	} else if err := os.Rename(p.log.Name(), p.logOf(t)); err != nil {
		t.Error(err)
	}
}

// logOf names the log of a server whose test has failed.
func (p *process) logOf(t testing.TB) string {
	name := fmt.Sprintf("%s.%s.log", strings.Map(fileNameRune, t.Name()), p.cfg.ListenClientUrls[0].Port())
	return filepath.Join(os.TempDir(), name)
}

// connect returns a client once the server answers a read.
func (p *process) connect(t testing.TB) *kubernetes.Client {
	t.Helper()
	client, err := p.dial()
	if err != nil {
		t.Fatalf("%v (log: %s)", err, p.logOf(t))
	}
	return client
}

func (p *process) dial() (*kubernetes.Client, error) {
	address := p.cfg.ListenClientUrls[0]
	deadline := time.Now().Add(startLimit)
	for {
		conn, err := net.DialTimeout("tcp", address.Host, time.Second)
		if err == nil {
			_ = conn.Close()
			break
		}
		select {
		case end := <-p.exited:
			p.exited <- end
			return nil, fmt.Errorf("the server ended before it listened: %v", end)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the server does not listen: %w", err)
		}
	}

	tlsConfig, err := p.cfg.ClientTLSInfo.ClientConfig()
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
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for {
		// Not yet through the recorders, whose counts the tests compare.
		if _, err = client.KV.Get(ctx, "/is-it-there"); err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			_ = client.Close()
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
