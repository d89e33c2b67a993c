package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// fanOut has many watchers of one prefix, and writes to it at a steady rate.
type fanOut struct {
	prefix    string
	watchers  int
	rate      int
	valueSize int
	duration  time.Duration
}

type fannedOut struct {
	// Puts by themselves, and how late the last one of them was sent: a store that is too slow for the rate falls behind.
	Puts   summary `json:"puts"`
	LateMs float64 `json:"lateMs"`
	// From the sending of a put to its event, each event at each watcher.
	Lag summary `json:"lag"`
}

const (
	fanOutKeys    = 1000
	fanOutWriters = 64
	fanOutWarmUp  = 2 * time.Second
)

func (f fanOut) run(endpoint string) (fannedOut, error) {
	conns, closeAll, err := connect(endpoint, connections)
	if err != nil {
		return fannedOut{}, err
	}
	defer closeAll()
	ctx, cancel := context.WithTimeout(context.Background(), f.duration+5*time.Minute)
	defer cancel()

	warm := int64(fanOutWarmUp.Seconds() * float64(f.rate))
	all := warm + int64(f.duration.Seconds()*float64(f.rate))
	origin := time.Now()
	lags, failures := make([]samples, f.watchers), make([]error, f.watchers)
	var watching, watched sync.WaitGroup
	watching.Add(f.watchers)
	for watcher := range f.watchers {
		watched.Go(func() {
			ready := sync.OnceFunc(watching.Done)
			defer ready()
			failures[watcher] = f.watch(ctx, conns[watcher%len(conns)], ready, all, func(number int64, sent time.Duration) {
				if number >= warm {
					lags[watcher].add(origin.Add(sent), nil)
				}
			})
		})
	}
	watching.Wait()

	var next atomic.Int64
	began := time.Now()
	var late atomic.Int64
	puts := closedLoops(fanOutWriters, func(client int, record *samples) {
		kv, value := pb.NewKVClient(conns[client%len(conns)]), newValue(f.valueSize, uint64(client))
		for number := next.Add(1) - 1; number < all; number = next.Add(1) - 1 {
			due := began.Add(time.Duration(number) * time.Second / time.Duration(f.rate))
			time.Sleep(time.Until(due))
			sent := time.Now()
			late.Store(int64(sent.Sub(due)))
			stamp(value, number, sent.Sub(origin))
			_, err := kv.Put(ctx, &pb.PutRequest{Key: keyOf(f.prefix, int(number%fanOutKeys)), Value: value})
			record.add(sent, err)
		}
	})
	watched.Wait()
	took := time.Since(began) - fanOutWarmUp
	return fannedOut{Puts: puts, LateMs: milliseconds(time.Duration(late.Load())), Lag: summarise(lags, took)}, firstOf(failures)
}

func firstOf(failures []error) error {
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// watch returns when it has seen so many events, each exactly once and in the order of their revisions.
func (f fanOut) watch(ctx context.Context, conn *grpc.ClientConn, ready func(), events int64, seen func(number int64, sent time.Duration)) error {
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(watchOf(f.prefix)); err != nil {
		return err
	}
	var revision int64
	for count := int64(0); count < events; {
		reply, err := stream.Recv()
		switch {
		case err != nil:
			return fmt.Errorf("watch after %d of %d events: %w", count, events, err)
		case reply.Canceled:
			return fmt.Errorf("watch was cancelled: %s", reply.CancelReason)
		case reply.Created:
			ready()
		}
		for _, event := range reply.Events {
			if event.Type != mvccpb.PUT || event.Kv.ModRevision <= revision {
				return fmt.Errorf("watch: %s at revision %d came after revision %d", event.Type, event.Kv.ModRevision, revision)
			}
			revision = event.Kv.ModRevision
			number, sent := readStamp(event.Kv.Value)
			seen(number, sent)
			count++
		}
	}
	return nil
}

func watchOf(prefix string) *pb.WatchRequest {
	create := &pb.WatchCreateRequest{Key: []byte(prefix), RangeEnd: prefixEnd(prefix)}
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: create}}
}

// stamp writes the number of a put and the time of its sending at the begin of its value.
func stamp(value []byte, number int64, sent time.Duration) {
	binary.BigEndian.PutUint64(value, uint64(number))
	binary.BigEndian.PutUint64(value[8:], uint64(sent))
}

func readStamp(value []byte) (number int64, sent time.Duration) {
	return int64(binary.BigEndian.Uint64(value)), time.Duration(binary.BigEndian.Uint64(value[8:]))
}

// idle opens watches, each of a prefix of its own on which nothing happens, and tells how much memory a process takes more for it.
type idle struct {
	watches int
	streams int
	pid     int
}

type idled struct {
	BeforeMegabytes float64 `json:"beforeMegabytes"`
	AfterMegabytes  float64 `json:"afterMegabytes"`
	// Until the last watch was there.
	Seconds float64 `json:"seconds"`
}

// idleRest is how long nothing happens before the memory is read.
const idleRest = 3 * time.Second

func (i idle) run(endpoint string) (idled, error) {
	conns, closeAll, err := connect(endpoint, connections)
	if err != nil {
		return idled{}, err
	}
	defer closeAll()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, conn := range conns {
		if _, err := pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("/is-it-there")}, grpc.WaitForReady(true)); err != nil {
			return idled{}, err
		}
	}
	time.Sleep(idleRest)
	before, err := residentMegabytes(i.pid)
	if err != nil {
		return idled{}, err
	}

	began := time.Now()
	prefix := func(watch int) string { return fmt.Sprintf("/registry/bench.harikube.info/idle/%06d/", watch) }
	streams := make([]pb.Watch_WatchClient, i.streams)
	failures := make([]error, i.streams)
	var opened sync.WaitGroup
	for number := range i.streams {
		// As many at a time as there are connections: this is about the memory, not about a flood.
		if number%len(conns) == 0 {
			opened.Wait()
		}
		opened.Go(func() {
			streams[number], failures[number] = openWatches(ctx, conns[number%len(conns)], number, i.watches, i.streams, prefix)
		})
	}
	opened.Wait()
	took := time.Since(began)
	if err := firstOf(failures); err != nil {
		return idled{}, err
	}
	time.Sleep(idleRest)
	after, err := residentMegabytes(i.pid)
	if err != nil {
		return idled{}, err
	}

	// They have to be alive: one event each for the first and the last.
	for _, watch := range []int{0, i.watches - 1} {
		if _, err := pb.NewKVClient(conns[0]).Put(ctx, &pb.PutRequest{Key: []byte(prefix(watch) + "key"), Value: []byte("here")}); err != nil {
			return idled{}, err
		}
		reply, err := streams[watch%i.streams].Recv()
		if err != nil || len(reply.Events) != 1 {
			return idled{}, fmt.Errorf("watch %d: %v, %w", watch, reply, err)
		}
	}
	return idled{BeforeMegabytes: before, AfterMegabytes: after, Seconds: took.Seconds()}, nil
}

// openWatches opens every streams-th watch from one on, all on one stream, and returns when they are there.
func openWatches(ctx context.Context, conn *grpc.ClientConn, first, watches, streams int, prefix func(int) string) (pb.Watch_WatchClient, error) {
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		return nil, err
	}
	// Requests and answers in pairs, so that neither side fills up.
	for watch := first; watch < watches; watch += streams {
		if err := stream.Send(watchOf(prefix(watch))); err != nil {
			return nil, err
		}
		reply, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if !reply.Created || reply.Canceled {
			return nil, fmt.Errorf("watch %d was not made: %s", watch, reply.CancelReason)
		}
	}
	return stream, nil
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// residentMegabytes is what a process holds in memory at this moment.
func residentMegabytes(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	found := residentLine.FindSubmatch(status)
	if found == nil {
		return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	return float64(kilobytes) / 1024, err
}
