package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const connections = 4

// store is an etcd endpoint over a few connections; client n always uses the same one.
type store []pb.KVClient

func dial(endpoint string, clients int) (store, func(), error) {
	opened, closeAll, err := connect(endpoint, min(connections, clients))
	if err != nil {
		return nil, nil, err
	}
	var kvs store
	for _, conn := range opened {
		kvs = append(kvs, pb.NewKVClient(conn))
	}
	return kvs, closeAll, nil
}

func connect(endpoint string, number int) ([]*grpc.ClientConn, func(), error) {
	var opened []*grpc.ClientConn
	closeAll := func() {
		for _, conn := range opened {
			_ = conn.Close()
		}
	}
	for range number {
		conn, err := grpc.NewClient("passthrough:///"+endpoint,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
			// As large as a connection that lives on makes them by itself: a fresh one takes its first lists in 64 KiB pieces.
			grpc.WithInitialWindowSize(4<<20),
			grpc.WithInitialConnWindowSize(16<<20),
		)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		opened = append(opened, conn)
	}
	return opened, closeAll, nil
}

func (s store) of(client int) pb.KVClient {
	return s[client%len(s)]
}

// create is kube-apiserver's: the key must not be there yet.
func create(ctx context.Context, kv pb.KVClient, key, value []byte) error {
	reply, err := kv.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key:         key,
			Target:      pb.Compare_MOD,
			Result:      pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: 0},
		}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value}}}},
	})
	switch {
	case err != nil:
		return err
	case !reply.Succeeded:
		return fmt.Errorf("create of %s did not succeed", key)
	case reply.Header.GetRevision() < 2 || len(reply.Responses) != 1 || reply.Responses[0].GetResponsePut() == nil:
		return fmt.Errorf("create of %s: incomplete reply %v", key, reply)
	}
	return nil
}

// putStep is a prime: puts go all over the keys, one after another.
const putStep = 7919

// phase is one kind of request from a number of clients for a while.
type phase struct {
	kind      string
	prefix    string
	keys      int
	count     int
	valueSize int
	pageSize  int
	// walks has every client of a list walk all keys in pages, over and over, instead of asking for the first page.
	walks    bool
	clients  int
	duration time.Duration
}

func (p phase) run(endpoint string) (summary, error) {
	kvs, closeAll, err := dial(endpoint, p.clients)
	if err != nil {
		return summary{}, err
	}
	defer closeAll()
	if p.kind != "create" && p.keys <= 0 {
		return summary{}, fmt.Errorf("-keys is needed for %s", p.kind)
	}

	duration := p.duration
	if p.count > 0 {
		duration = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), duration+time.Minute)
	defer cancel()
	// Connecting is no part of any request.
	for client := range min(connections, p.clients) {
		if _, err := kvs.of(client).Range(ctx, &pb.RangeRequest{Key: []byte("/is-it-there")}, grpc.WaitForReady(true)); err != nil {
			return summary{}, err
		}
	}

	var next atomic.Int64
	next.Store(int64(p.keys))
	deadline := time.Now().Add(duration)
	return closedLoops(p.clients, func(client int, record *samples) {
		kv, value := kvs.of(client), newValue(p.valueSize, uint64(client))
		random := rand.New(rand.NewPCG(uint64(client), 1))
		walker := newWalk(p.prefix, p.keys, p.valueSize, p.pageSize)
		for began := time.Now(); began.Before(deadline); began = time.Now() {
			switch p.kind {
			case "create":
				number := int(next.Add(1)) - 1
				if p.count > 0 && number >= p.keys+p.count {
					return
				}
				record.add(began, create(ctx, kv, keyOf(p.prefix, number), value))
			case "put":
				number := int(next.Add(1)) - 1
				if p.count > 0 && number >= p.keys+p.count {
					return
				}
				_, err := kv.Put(ctx, &pb.PutRequest{Key: keyOf(p.prefix, number*putStep%p.keys), Value: value})
				record.add(began, err)
			case "get":
				record.add(began, p.get(ctx, kv, keyOf(p.prefix, random.IntN(p.keys))))
			case "list":
				if !p.walks {
					walker = newWalk(p.prefix, p.keys, p.valueSize, p.pageSize)
				}
				record.add(began, walker.page(ctx, kv))
			default:
				record.add(began, fmt.Errorf("unknown -kind %q", p.kind))
				return
			}
		}
	}), nil
}

func (p phase) get(ctx context.Context, kv pb.KVClient, key []byte) error {
	reply, err := kv.Range(ctx, &pb.RangeRequest{Key: key})
	switch {
	case err != nil:
		return err
	case len(reply.Kvs) != 1 || reply.Count != 1 || string(reply.Kvs[0].Key) != string(key) || len(reply.Kvs[0].Value) != p.valueSize:
		return fmt.Errorf("get of %s: wrong reply (%d records, count %d)", key, len(reply.Kvs), reply.Count)
	}
	return nil
}

// keyOf sorts as its number does.
func keyOf(prefix string, number int) []byte {
	return fmt.Appendf(nil, "%s%012d", prefix, number)
}

func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	end[len(end)-1]++
	return end
}

// newValue is text that neither a database nor a file system can shrink to nothing.
func newValue(size int, seed uint64) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	random := rand.New(rand.NewPCG(seed, 2))
	value := make([]byte, size)
	for i := range value {
		value[i] = letters[random.IntN(len(letters))]
	}
	return value
}
