package main

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// walks is how often the objects are walked: a page that is slow by itself is so each time, noise of the machine is not.
const walks = 3

// pages loads objects and walks them as kube-apiserver lists: the first page at latest, each further one at the first
// page's revision from behind the last key.
type pages struct {
	prefix    string
	objects   int
	valueSize int
	pageSize  int
	clients   int
}

type walked struct {
	Loading summary `json:"loading"`
	// Latency of each page, in order, of each walk.
	WalksMs [][]float64 `json:"walksMs"`
}

func (w pages) run(endpoint string) (walked, error) {
	kvs, closeAll, err := dial(endpoint, w.clients)
	if err != nil {
		return walked{}, err
	}
	defer closeAll()
	ctx := context.Background()
	if _, err := kvs.of(0).Range(ctx, &pb.RangeRequest{Key: []byte("/is-it-there")}, grpc.WaitForReady(true)); err != nil {
		return walked{}, err
	}

	var next atomic.Int64
	result := walked{Loading: closedLoops(w.clients, func(client int, record *samples) {
		kv, value := kvs.of(client), newValue(w.valueSize, uint64(client))
		for number := int(next.Add(1)) - 1; number < w.objects; number = int(next.Add(1)) - 1 {
			began := time.Now()
			record.add(began, create(ctx, kv, keyOf(w.prefix, number), value))
		}
	})}
	if result.Loading.Errors > 0 {
		return result, fmt.Errorf("loading: %d errors, the first: %s", result.Loading.Errors, result.Loading.FirstError)
	}

	if err := w.warmUp(ctx); err != nil {
		return result, fmt.Errorf("warming the client up: %w", err)
	}
	for range walks {
		var record samples
		if err := w.walk(ctx, kvs.of(0), &record); err != nil {
			return result, err
		}
		var latencies []float64
		for _, latency := range record.latencies {
			latencies = append(latencies, milliseconds(latency))
		}
		result.WalksMs = append(result.WalksMs, latencies)
	}
	return result, nil
}

func (w pages) walk(ctx context.Context, kv pb.KVClient, record *samples) error {
	request := &pb.RangeRequest{Key: []byte(w.prefix), RangeEnd: prefixEnd(w.prefix), Limit: int64(w.pageSize)}
	for seen := 0; seen < w.objects; {
		began := time.Now()
		reply, err := kv.Range(ctx, request)
		record.add(began, err)
		if err != nil {
			return err
		}
		left := w.objects - seen
		want := min(w.pageSize, left)
		if reply.Count != int64(left) || len(reply.Kvs) != want || reply.More != (left > want) {
			return fmt.Errorf("page behind %d objects: %d records, count %d, more %t; wanted %d of %d",
				seen, len(reply.Kvs), reply.Count, reply.More, want, left)
		}
		for i, each := range reply.Kvs {
			if string(each.Key) != string(keyOf(w.prefix, seen+i)) || len(each.Value) != w.valueSize {
				return fmt.Errorf("page behind %d objects: record %d is %s", seen, i, each.Key)
			}
		}
		seen += want
		if request.Revision == 0 {
			request.Revision = reply.Header.Revision
		}
		request.Key = append(reply.Kvs[want-1].Key, 0)
	}
	return nil
}

// warmUp takes some pages from a server of its own. A client that has never taken one spends some milliseconds on its first,
// on memory that the system has to give it: that is nothing of the store's (etcd's first page took 2.1 to 4.5 times its median).
func (w pages) warmUp(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	page := &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 1}}
	value := newValue(w.valueSize, 0)
	for number := range w.pageSize {
		page.Kvs = append(page.Kvs, &mvccpb.KeyValue{Key: keyOf(w.prefix, number), Value: value})
	}
	server := grpc.NewServer()
	pb.RegisterKVServer(server, &samePage{page: page})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	kvs, closeAll, err := dial(listener.Addr().String(), 1)
	if err != nil {
		return err
	}
	defer closeAll()
	for range 10 {
		if _, err := kvs.of(0).Range(ctx, &pb.RangeRequest{Key: []byte(w.prefix)}, grpc.WaitForReady(true)); err != nil {
			return err
		}
	}
	return nil
}

// samePage answers every Range with one page.
type samePage struct {
	pb.UnimplementedKVServer
	page *pb.RangeResponse
}

func (s *samePage) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return s.page, nil
}
