package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// recordsPerCollection is after how many records of a walk the client collects its garbage.
const recordsPerCollection = 25_000

// walkLimit is how long all walks together may take.
const walkLimit = 10 * time.Minute

// pages walks objects that are there, and loads them first if it is told to.
type pages struct {
	prefix    string
	objects   int
	load      bool
	valueSize int
	pageSize  int
	walks     int
	clients   int
	// anywhere is how many pages are asked for beside the walks, each at latest from a random key on.
	anywhere int
	// writes is how many objects are put again each second meanwhile, in random places.
	writes int
}

type walked struct {
	Loading summary `json:"loading"`
	// Latency of each page, in order, of each walk.
	WalksMs    [][]float64 `json:"walksMs"`
	AnywhereMs []float64   `json:"anywhereMs"`
}

func (w pages) run(endpoint string) (walked, error) {
	store, closeAll, err := dial(endpoint, w.clients)
	if err != nil {
		return walked{}, err
	}
	defer closeAll()
	ctx := context.Background()
	if _, err := store.kv(0).Range(ctx, &pb.RangeRequest{Key: []byte("/is-it-there")}, grpc.WaitForReady(true)); err != nil {
		return walked{}, err
	}
	var result walked
	// A client that has never taken a page spends some milliseconds on its first, on memory that the system has to give it: that is
	// nothing of the store's (etcd's first page took 2.1 to 4.5 times its median).
	source, err := w.newPageSource()
	if err != nil {
		return result, err
	}
	defer source.stop()
	if err := source.take(10); err != nil {
		return result, err
	}
	connection, err := dialLight(endpoint, walkLimit)
	if err != nil {
		return result, err
	}
	defer connection.socket.Close()
	if w.load {
		result.Loading = w.fill(ctx, store)
	}
	if result.Loading.Errors > 0 {
		return result, fmt.Errorf("loading: %d errors, the first: %s", result.Loading.Errors, result.Loading.FirstError)
	}

	writing, stop := context.WithCancel(ctx)
	defer stop()
	written := make(chan error, 1)
	go func() { written <- w.write(writing, store.kv(1)) }()
	// A collection takes a processor for some milliseconds, more than a page: the client's wait until no page is under way.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	// What the load has put out of the processors' caches costs the client as much as a page. Few, so that the walk follows the last create
	// almost at once: processors that have rested take some 20 ms to be as fast as before, and the first pages would tell that.
	if err := source.take(3); err != nil {
		return result, err
	}
	for range w.walks {
		var record samples
		walker := newWalk(w.prefix, w.objects, w.valueSize, w.pageSize)
		for page := 1; page == 1 || walker.seen > 0; page++ {
			if page%max(1, recordsPerCollection/w.pageSize) == 0 {
				runtime.GC()
			}
			began := time.Now()
			err := connection.one(walker.page())
			record.add(began, err)
			if err != nil {
				return result, err
			}
		}
		result.WalksMs = append(result.WalksMs, inMilliseconds(record.latencies))
	}
	if result.AnywhereMs, err = w.askAnywhere(connection); err != nil {
		return result, err
	}
	stop()
	return result, <-written
}

func (w pages) fill(ctx context.Context, store store) summary {
	var next atomic.Int64
	return closedLoops(w.clients, func(client int, record *samples) {
		conn, value := store.of(client), newValue(w.valueSize, uint64(client))
		for number := int(next.Add(1)) - 1; number < w.objects; number = int(next.Add(1)) - 1 {
			began := time.Now()
			record.add(began, create(keyOf(w.prefix, number), value).over(ctx, conn))
		}
	})
}

// write puts objects again until it is stopped.
func (w pages) write(ctx context.Context, kv pb.KVClient) error {
	if w.writes == 0 {
		return nil
	}
	random, value := rand.New(rand.NewPCG(3, 1)), newValue(w.valueSize, 3)
	ticker := time.NewTicker(time.Second / time.Duration(w.writes))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if _, err := kv.Put(ctx, &pb.PutRequest{Key: keyOf(w.prefix, random.IntN(w.objects)), Value: value}); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// askAnywhere asks for pages that no page comes before, so that a store cannot know how many objects are left.
func (w pages) askAnywhere(connection *lightConnection) ([]float64, error) {
	var record samples
	random := rand.New(rand.NewPCG(4, 1))
	for range w.anywhere {
		walker := newWalk(w.prefix, w.objects, w.valueSize, w.pageSize)
		walker.startAt(random.IntN(w.objects))
		began := time.Now()
		err := connection.one(walker.page())
		record.add(began, err)
		if err != nil {
			return nil, err
		}
	}
	return inMilliseconds(record.latencies), nil
}

// walk asks for pages as kube-apiserver does: the first at latest, each further one at the first one's revision from behind the
// last key. A page that is not exactly right is an error. Behind the last page it begins again.
type walk struct {
	prefix    string
	objects   int
	valueSize int
	pageSize  int
	request   *pb.RangeRequest
	seen      int
}

func newWalk(prefix string, objects, valueSize, pageSize int) *walk {
	w := &walk{prefix: prefix, objects: objects, valueSize: valueSize, pageSize: pageSize}
	if objects > 0 {
		w.startAt(0)
	}
	return w
}

func (w *walk) startAt(object int) {
	w.seen = object
	w.request = &pb.RangeRequest{Key: keyOf(w.prefix, object), RangeEnd: prefixEnd(w.prefix), Limit: int64(w.pageSize)}
	if object == 0 {
		w.request.Key = []byte(w.prefix)
	}
}

func (w *walk) page() call {
	reply := &pb.RangeResponse{}
	return call{rangeMethod, w.request, reply, func() error { return w.take(reply) }}
}

func (w *walk) take(reply *pb.RangeResponse) error {
	left := w.objects - w.seen
	want := min(w.pageSize, left)
	if reply.Count != int64(left) || len(reply.Kvs) != want || reply.More != (left > want) {
		return fmt.Errorf("page behind %d objects: %d records, count %d, more %t; wanted %d of %d",
			w.seen, len(reply.Kvs), reply.Count, reply.More, want, left)
	}
	for i, each := range reply.Kvs {
		if string(each.Key) != string(keyOf(w.prefix, w.seen+i)) || len(each.Value) != w.valueSize {
			return fmt.Errorf("page behind %d objects: record %d is %s", w.seen, i, each.Key)
		}
	}
	if left == want {
		w.startAt(0)
		return nil
	}
	w.seen += want
	if w.request.Revision == 0 {
		w.request.Revision = reply.Header.Revision
	}
	w.request.Key = append(reply.Kvs[want-1].Key, 0)
	return nil
}

// pageSource is a server of the client's own that gives it pages, so that its first page of a store costs it no more than later ones.
type pageSource struct {
	connection *lightConnection
	want       int
	server     *grpc.Server
}

func (w pages) newPageSource() (*pageSource, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	page := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}
	value := newValue(w.valueSize, 0)
	for number := range w.pageSize {
		page.Kvs = append(page.Kvs, &mvccpb.KeyValue{Key: keyOf(w.prefix, number), Value: value})
	}
	server := grpc.NewServer()
	pb.RegisterKVServer(server, &samePage{page: page})
	go func() { _ = server.Serve(listener) }()
	connection, err := dialLight(listener.Addr().String(), walkLimit)
	if err != nil {
		server.Stop()
		return nil, err
	}
	return &pageSource{connection: connection, want: w.pageSize, server: server}, nil
}

func (s *pageSource) take(pages int) error {
	for range pages {
		reply := &pb.RangeResponse{}
		taken := func() error {
			if len(reply.Kvs) != s.want {
				return fmt.Errorf("%d records of %d", len(reply.Kvs), s.want)
			}
			return nil
		}
		if err := s.connection.one(call{rangeMethod, &pb.RangeRequest{Key: []byte("/")}, reply, taken}); err != nil {
			return fmt.Errorf("warming the client up: %w", err)
		}
	}
	return nil
}

func (s *pageSource) stop() {
	s.connection.socket.Close()
	s.server.Stop()
}

// samePage answers every Range with one page.
type samePage struct {
	pb.UnimplementedKVServer
	page *pb.RangeResponse
}

func (s *samePage) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return s.page, nil
}
