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

const (
	rangeMethod = "/etcdserverpb.KV/Range"
	txnMethod   = "/etcdserverpb.KV/Txn"
	putMethod   = "/etcdserverpb.KV/Put"
)

// store is an etcd endpoint over a few connections; client n always uses the same one.
type store []*grpc.ClientConn

func dial(endpoint string, clients int) (store, func(), error) {
	return connect(endpoint, min(connections, clients))
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

func (s store) of(client int) *grpc.ClientConn {
	return s[client%len(s)]
}

func (s store) kv(client int) pb.KVClient {
	return pb.NewKVClient(s.of(client))
}

// call is one request, where its reply goes, and the judgement on that reply.
type call struct {
	method  string
	request marshaler
	reply   unmarshaler
	check   func() error
}

type marshaler interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}
type unmarshaler interface{ Unmarshal([]byte) error }

func (c call) over(ctx context.Context, conn *grpc.ClientConn) error {
	if err := conn.Invoke(ctx, c.method, c.request, c.reply); err != nil {
		return err
	}
	return c.check()
}

// create is kube-apiserver's: the key must not be there yet.
func create(key, value []byte) call {
	reply := &pb.TxnResponse{}
	return call{txnMethod, &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key:         key,
			Target:      pb.Compare_MOD,
			Result:      pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: 0},
		}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: value}}}},
	}, reply, func() error {
		switch {
		case !reply.Succeeded:
			return fmt.Errorf("create of %s did not succeed", key)
		case reply.Header.GetRevision() < 2 || len(reply.Responses) != 1 || reply.Responses[0].GetResponsePut() == nil:
			return fmt.Errorf("create of %s: incomplete reply %v", key, reply)
		}
		return nil
	}}
}

func get(key []byte, valueSize int) call {
	reply := &pb.RangeResponse{}
	return call{rangeMethod, &pb.RangeRequest{Key: key}, reply, func() error {
		if len(reply.Kvs) != 1 || reply.Count != 1 || string(reply.Kvs[0].Key) != string(key) || len(reply.Kvs[0].Value) != valueSize {
			return fmt.Errorf("get of %s: wrong reply (%d records, count %d)", key, len(reply.Kvs), reply.Count)
		}
		return nil
	}}
}

func put(key, value []byte) call {
	reply := &pb.PutResponse{}
	return call{putMethod, &pb.PutRequest{Key: key, Value: value}, reply, func() error {
		if reply.Header.GetRevision() < 2 {
			return fmt.Errorf("put of %s: incomplete reply %v", key, reply)
		}
		return nil
	}}
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
	// grpcGo asks by grpc-go, which takes more processor time than most stores, instead of by lightConnection.
	grpcGo bool
}

func (p phase) run(endpoint string) (summary, error) {
	if p.kind != "create" && p.keys <= 0 {
		return summary{}, fmt.Errorf("-keys is needed for %s", p.kind)
	}
	duration := p.duration
	if p.count > 0 {
		duration = 10 * time.Minute
	}
	var next atomic.Int64
	next.Store(int64(p.keys))
	deadline := time.Now().Add(duration)
	loops := make([]loop, p.clients)
	for client := range loops {
		calls, err := p.calls(client, &next)
		if err != nil {
			return summary{}, err
		}
		loops[client] = func() (call, bool) {
			if time.Now().After(deadline) {
				return call{}, false
			}
			return calls()
		}
	}
	if !p.grpcGo {
		return lightLoops(endpoint, loops, duration+time.Minute)
	}

	store, closeAll, err := dial(endpoint, p.clients)
	if err != nil {
		return summary{}, err
	}
	defer closeAll()
	ctx, cancel := context.WithTimeout(context.Background(), duration+time.Minute)
	defer cancel()
	// Connecting is no part of any request.
	for client := range min(connections, p.clients) {
		if _, err := store.kv(client).Range(ctx, &pb.RangeRequest{Key: []byte("/is-it-there")}, grpc.WaitForReady(true)); err != nil {
			return summary{}, err
		}
	}
	return closedLoops(p.clients, func(client int, record *samples) {
		for next, more := loops[client](); more; next, more = loops[client]() {
			record.add(time.Now(), next.over(ctx, store.of(client)))
		}
	}), nil
}

// calls are those of one client; numbers of keys that are written are shared by all.
func (p phase) calls(client int, next *atomic.Int64) (loop, error) {
	value := newValue(p.valueSize, uint64(client))
	random := rand.New(rand.NewPCG(uint64(client), 1))
	walker := newWalk(p.prefix, p.keys, p.valueSize, p.pageSize)
	write := func(made func(number int) call) loop {
		return func() (call, bool) {
			number := int(next.Add(1)) - 1
			if p.count > 0 && number >= p.keys+p.count {
				return call{}, false
			}
			return made(number), true
		}
	}
	switch p.kind {
	case "create":
		return write(func(number int) call { return create(keyOf(p.prefix, number), value) }), nil
	case "put":
		return write(func(number int) call { return put(keyOf(p.prefix, number*putStep%p.keys), value) }), nil
	case "get":
		return func() (call, bool) { return get(keyOf(p.prefix, random.IntN(p.keys)), p.valueSize), true }, nil
	case "list":
		return func() (call, bool) {
			if !p.walks {
				walker = newWalk(p.prefix, p.keys, p.valueSize, p.pageSize)
			}
			return walker.page(), true
		}, nil
	default:
		return nil, fmt.Errorf("unknown -kind %q", p.kind)
	}
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
