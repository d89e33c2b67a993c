package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// aside is a load with somebody else beside it, who gets single keys and lists pages.
type aside struct {
	prefix    string
	objects   int
	valueSize int
	pageSize  int
}

type besides struct {
	Seconds float64 `json:"seconds"`
	// What the other one was told: without the load, and while it lasted.
	AloneGet  summary `json:"aloneGet"`
	AloneList summary `json:"aloneList"`
	WithGet   summary `json:"withGet"`
	WithList  summary `json:"withList"`
	Read      read    `json:"read"`
}

// read is one answer of everything, as it came over the wire.
type read struct {
	Records int     `json:"records"`
	Bytes   int64   `json:"bytes"`
	FirstMs float64 `json:"firstMs"`
}

const aloneFor = 3 * time.Second

func (a aside) run(endpoint string, load func(ctx context.Context) (read, error)) (besides, error) {
	var result besides
	alone, cancel := context.WithTimeout(context.Background(), aloneFor)
	defer cancel()
	var err error
	if result.AloneGet, result.AloneList, err = a.ask(alone, endpoint); err != nil {
		return result, err
	}
	with, stop := context.WithTimeout(context.Background(), 20*time.Minute)
	defer stop()
	var other sync.WaitGroup
	var otherErr error
	other.Go(func() { result.WithGet, result.WithList, otherErr = a.ask(with, endpoint) })
	began := time.Now()
	result.Read, err = load(with)
	result.Seconds = time.Since(began).Seconds()
	stop()
	other.Wait()
	if err == nil {
		err = otherErr
	}
	return result, err
}

// ask gets and lists in turn until the context ends.
func (a aside) ask(ctx context.Context, endpoint string) (gets, lists summary, err error) {
	store, closeAll, err := dial(endpoint, 1)
	if err != nil {
		return summary{}, summary{}, err
	}
	defer closeAll()
	walker := newWalk(a.prefix, a.objects, a.valueSize, a.pageSize)
	getSamples, listSamples := make([]samples, 1), make([]samples, 1)
	began := time.Now()
	for number := 0; ctx.Err() == nil; number++ {
		start := time.Now()
		err := get(keyOf(a.prefix, number*putStep%a.objects), a.valueSize).over(ctx, store.of(0))
		if ctx.Err() != nil {
			break
		}
		getSamples[0].add(start, err)
		start = time.Now()
		err = walker.page().over(ctx, store.of(0))
		if ctx.Err() != nil {
			break
		}
		listSamples[0].add(start, err)
		time.Sleep(2 * time.Millisecond)
	}
	took := time.Since(began)
	return summarise(getSamples, took), summarise(listSamples, took), nil
}

// everything asks for all objects in one Range without a limit and forgets them as they come: a client of gRPC's own would hold them all.
func everything(ctx context.Context, endpoint, prefix string, objects int) (read, error) {
	request, err := (&pb.RangeRequest{Key: []byte(prefix), RangeEnd: prefixEnd(prefix)}).Marshal()
	if err != nil {
		return read{}, err
	}
	message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+endpoint+"/etcdserverpb.KV/Range", bytes.NewReader(message))
	if err != nil {
		return read{}, err
	}
	post.Header.Set("Content-Type", "application/grpc")
	post.Header.Set("Te", "trailers")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	began := time.Now()
	reply, err := transport.RoundTrip(post)
	if err != nil {
		return read{}, err
	}
	defer reply.Body.Close()
	result, err := readEverything(bufio.NewReaderSize(reply.Body, 1<<20), began)
	if err != nil {
		return result, fmt.Errorf("%w (grpc-status %q, %s)", err, reply.Header.Get("Grpc-Status"), reply.Header.Get("Grpc-Message"))
	}
	if status := reply.Trailer.Get("Grpc-Status"); status != "0" {
		return result, fmt.Errorf("everything: grpc-status %q: %s", status, reply.Trailer.Get("Grpc-Message"))
	}
	if result.Records != objects {
		return result, fmt.Errorf("everything: %d records, wanted %d", result.Records, objects)
	}
	return result, nil
}

const (
	fieldKvs   = 2
	fieldCount = 4
)

// readEverything reads a framed RangeResponse, record by record, and checks their order and their number.
func readEverything(body *bufio.Reader, began time.Time) (read, error) {
	var result read
	var prefix [5]byte
	if _, err := io.ReadFull(body, prefix[:]); err != nil {
		return result, err
	}
	result.FirstMs = milliseconds(time.Since(began))
	result.Bytes = int64(binary.BigEndian.Uint32(prefix[1:]))
	limited := &countingReader{body: body}
	var record, last []byte
	var count uint64
	for limited.read < result.Bytes {
		tag, err := binary.ReadUvarint(limited)
		if err != nil {
			return result, err
		}
		number, err := binary.ReadUvarint(limited)
		if err != nil {
			return result, err
		}
		if tag>>3 == fieldCount {
			count = number
		}
		if tag&7 == 0 {
			continue
		}
		if uint64(cap(record)) < number {
			record = make([]byte, number)
		}
		record = record[:number]
		if _, err := io.ReadFull(limited, record); err != nil {
			return result, err
		}
		if tag>>3 != fieldKvs {
			continue
		}
		result.Records++
		key := keyIn(record)
		if bytes.Compare(key, last) <= 0 {
			return result, fmt.Errorf("everything: %q came behind %q", key, last)
		}
		last = append(last[:0], key...)
	}
	if count != uint64(result.Records) {
		return result, fmt.Errorf("everything: count says %d, there are %d records", count, result.Records)
	}
	_, err := body.ReadByte()
	if err != io.EOF {
		return result, fmt.Errorf("everything: more than one message (%v)", err)
	}
	return result, nil
}

// keyIn is the first field of an encoded KeyValue.
func keyIn(record []byte) []byte {
	length, size := binary.Uvarint(record[1:])
	return record[1+size : 1+size+int(length)]
}

type countingReader struct {
	body *bufio.Reader
	read int64
}

func (r *countingReader) Read(into []byte) (int, error) {
	n, err := r.body.Read(into)
	r.read += int64(n)
	return n, err
}

func (r *countingReader) ReadByte() (byte, error) {
	b, err := r.body.ReadByte()
	if err == nil {
		r.read++
	}
	return b, err
}

// compact compacts everything that was before now, and returns when it is removed.
func compact(ctx context.Context, endpoint string) (read, error) {
	store, closeAll, err := dial(endpoint, 1)
	if err != nil {
		return read{}, err
	}
	defer closeAll()
	reply, err := store.kv(0).Range(ctx, &pb.RangeRequest{Key: []byte("/is-it-there")})
	if err != nil {
		return read{}, err
	}
	_, err = store.kv(0).Compact(ctx, &pb.CompactionRequest{Revision: reply.Header.Revision, Physical: true})
	return read{}, err
}
