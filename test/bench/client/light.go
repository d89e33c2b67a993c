package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// lightConnection is gRPC's unary calls over HTTP/2 with as little processor time as a client can do with (RFC 9113 and gRPC's
// "gRPC over HTTP2"): client and store share the processors, so that what the client takes is missing to the store. A grpc-go
// client takes 56 to 75 µs a create, more than most stores; this one 26. One goroutine serves all clients of a connection:
// it takes what has come, asks each client that was answered for its next call, and writes those calls in one go.
type lightConnection struct {
	socket  net.Conn
	framer  *http2.Framer
	in      *bufio.Reader
	out     *bufio.Writer
	fields  bytes.Buffer
	encoder *hpack.Encoder
	decoder *hpack.Decoder

	streams map[uint32]*lightStream
	next    uint32
	// What the store still takes: of the connection, and of a stream that begins now.
	window, streamWindow int64
	maxFrame             int
	// Received since the store was last told that there is room again.
	taken uint32
	// Calls that wait for room.
	waiting []*lightStream
	failed  error
}

// lightStream is one call under way.
type lightStream struct {
	client int
	began  time.Time
	call   call
	body   []byte
	reply  []byte
	// gRPC's, or "reset".
	status, message string
}

const (
	lightStreamWindow     = 4 << 20
	lightConnectionWindow = 16 << 20
	grpcPrefix            = 5
)

// dialLight connects; within is how long everything that the connection is for may take.
func dialLight(endpoint string, within time.Duration) (*lightConnection, error) {
	// Memory is cheaper here than the collector's time.
	debug.SetGCPercent(1000)
	socket, err := net.Dial("tcp", endpoint)
	if err != nil {
		return nil, err
	}
	if err := socket.SetDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	c := &lightConnection{
		socket: socket, in: bufio.NewReaderSize(socket, 256<<10), out: bufio.NewWriterSize(socket, 256<<10),
		streams: map[uint32]*lightStream{}, next: 1, window: 65_535, streamWindow: 65_535, maxFrame: 16 << 10,
	}
	c.framer = http2.NewFramer(c.out, c.in)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(1 << 20)
	c.encoder = hpack.NewEncoder(&c.fields)
	c.decoder = hpack.NewDecoder(4096, nil)
	if _, err := c.out.WriteString(http2.ClientPreface); err != nil {
		return nil, err
	}
	err = errors.Join(
		c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: lightStreamWindow}),
		c.framer.WriteWindowUpdate(0, lightConnectionWindow-65_535),
		c.out.Flush(),
	)
	return c, err
}

// loop gives one client's calls, one after another; false: there are no more.
type loop func() (call, bool)

// run serves the loops until none of them has a call left. Each sample is one call, from its making to the check of its reply.
func (c *lightConnection) run(loops []loop, records []*samples) error {
	for client := range loops {
		c.ask(client, loops[client])
	}
	for len(c.streams)+len(c.waiting) > 0 && c.failed == nil {
		// All that has come is taken before anything is sent: one write answers one read.
		if c.in.Buffered() == 0 {
			if err := c.out.Flush(); err != nil {
				return err
			}
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return fmt.Errorf("%s: %w", c.socket.RemoteAddr(), err)
		}
		ended, err := c.take(frame)
		if err != nil {
			return err
		}
		if ended == nil {
			continue
		}
		records[ended.client].add(ended.began, ended.judge())
		c.ask(ended.client, loops[ended.client])
	}
	return c.failed
}

// one sends a call and checks its reply.
func (c *lightConnection) one(made call) error {
	var record samples
	isSent := false
	err := c.run([]loop{func() (call, bool) {
		if isSent {
			return call{}, false
		}
		isSent = true
		return made, true
	}}, []*samples{&record})
	return errors.Join(err, record.first)
}

func (c *lightConnection) ask(client int, next loop) {
	made, more := next()
	if !more {
		return
	}
	stream := &lightStream{client: client, began: time.Now(), call: made}
	size := made.request.Size()
	stream.body = make([]byte, grpcPrefix+size)
	binary.BigEndian.PutUint32(stream.body[1:], uint32(size))
	if _, err := made.request.MarshalToSizedBuffer(stream.body[grpcPrefix:]); err != nil {
		c.failed = err
		return
	}
	c.waiting = append(c.waiting, stream)
	c.send()
}

// send writes the calls that there is room for; each goes as a whole.
func (c *lightConnection) send() {
	for len(c.waiting) > 0 && c.failed == nil {
		stream := c.waiting[0]
		size := int64(len(stream.body))
		if size > c.streamWindow {
			c.failed = fmt.Errorf("a call of %d bytes is above the window of a stream, %d", size, c.streamWindow)
			return
		}
		if size > c.window {
			return
		}
		c.waiting = c.waiting[1:]
		c.window -= size
		id := c.next
		c.next += 2
		c.streams[id] = stream
		c.failed = c.write(id, stream)
	}
}

func (c *lightConnection) write(id uint32, stream *lightStream) error {
	c.fields.Reset()
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: stream.call.method},
		{Name: ":authority", Value: c.socket.RemoteAddr().String()},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "bench-client"},
		{Name: "te", Value: "trailers"},
	} {
		if err := c.encoder.WriteField(field); err != nil {
			return err
		}
	}
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.fields.Bytes(), EndHeaders: true}); err != nil {
		return err
	}
	for body := stream.body; ; {
		piece := body[:min(len(body), c.maxFrame)]
		body = body[len(piece):]
		if err := c.framer.WriteData(id, len(body) == 0, piece); err != nil || len(body) == 0 {
			return err
		}
	}
}

// take reads one frame; the stream that it ended, if it did.
func (c *lightConnection) take(frame http2.Frame) (*lightStream, error) {
	stream := c.streams[frame.Header().StreamID]
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if frame.IsAck() {
			return nil, nil
		}
		if value, told := frame.Value(http2.SettingInitialWindowSize); told {
			c.streamWindow = int64(value)
		}
		if value, told := frame.Value(http2.SettingMaxFrameSize); told {
			c.maxFrame = int(value)
		}
		if value, told := frame.Value(http2.SettingHeaderTableSize); told {
			c.encoder.SetMaxDynamicTableSizeLimit(value)
		}
		return nil, c.framer.WriteSettingsAck()
	case *http2.PingFrame:
		if frame.IsAck() {
			return nil, nil
		}
		return nil, c.framer.WritePing(true, frame.Data)
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.window += int64(frame.Increment)
			c.send()
		}
		return nil, nil
	case *http2.HeadersFrame:
		if stream == nil || !frame.HeadersEnded() {
			return nil, fmt.Errorf("%s: unexpected headers of stream %d", c.socket.RemoteAddr(), frame.StreamID)
		}
		c.decoder.SetEmitFunc(stream.field)
		if _, err := c.decoder.Write(frame.HeaderBlockFragment()); err != nil {
			return nil, err
		}
		if err := c.decoder.Close(); err != nil {
			return nil, err
		}
		if !frame.StreamEnded() {
			return nil, nil
		}
		delete(c.streams, frame.StreamID)
		return stream, nil
	case *http2.DataFrame:
		if stream == nil || frame.StreamEnded() {
			return nil, fmt.Errorf("%s: unexpected data of stream %d", c.socket.RemoteAddr(), frame.StreamID)
		}
		stream.grow(frame.Data())
		return nil, c.makeRoom(frame.StreamID, stream, frame.Length)
	case *http2.RSTStreamFrame:
		if stream == nil {
			return nil, nil
		}
		delete(c.streams, frame.StreamID)
		stream.status, stream.message = "reset", frame.ErrCode.String()
		return stream, nil
	case *http2.GoAwayFrame:
		return nil, fmt.Errorf("%s goes away: %v", c.socket.RemoteAddr(), frame.ErrCode)
	default:
		return nil, nil
	}
}

// makeRoom tells the store of bytes that were taken: the connection's at half of its window, a stream's only for a reply that
// is larger than its window.
func (c *lightConnection) makeRoom(id uint32, stream *lightStream, bytes uint32) error {
	c.taken += bytes
	if c.taken > lightConnectionWindow/2 {
		if err := c.framer.WriteWindowUpdate(0, c.taken); err != nil {
			return err
		}
		c.taken = 0
	}
	if bytes > 0 && cap(stream.reply) > lightStreamWindow {
		return c.framer.WriteWindowUpdate(id, bytes)
	}
	return nil
}

func (s *lightStream) field(field hpack.HeaderField) {
	switch field.Name {
	case "grpc-status":
		s.status = field.Value
	case "grpc-message":
		s.message = field.Value
	}
}

// grow keeps the bytes of a reply, in memory of its size once that is known.
func (s *lightStream) grow(data []byte) {
	if s.reply == nil && len(data) >= grpcPrefix {
		s.reply = make([]byte, 0, grpcPrefix+int(binary.BigEndian.Uint32(data[1:])))
	}
	s.reply = append(s.reply, data...)
}

func (s *lightStream) judge() error {
	switch {
	case s.status != "0":
		return fmt.Errorf("%s: status %s: %s", s.call.method, s.status, s.message)
	case len(s.reply) < grpcPrefix || s.reply[0] != 0 || int(binary.BigEndian.Uint32(s.reply[1:])) != len(s.reply)-grpcPrefix:
		return fmt.Errorf("%s: %d bytes are no message", s.call.method, len(s.reply))
	}
	if err := s.call.reply.Unmarshal(s.reply[grpcPrefix:]); err != nil {
		return err
	}
	return s.call.check()
}

// lightLoops spreads the loops over the connections, client n always over the same one.
func lightLoops(endpoint string, loops []loop, within time.Duration) (summary, error) {
	number := min(connections, len(loops))
	opened := make([]*lightConnection, number)
	for i := range opened {
		connection, err := dialLight(endpoint, within)
		if err != nil {
			return summary{}, err
		}
		defer connection.socket.Close()
		opened[i] = connection
	}
	records := make([]samples, len(loops))
	errs := make([]error, number)
	began := time.Now()
	var group sync.WaitGroup
	for i, connection := range opened {
		var own []loop
		var record []*samples
		for client := i; client < len(loops); client += number {
			own, record = append(own, loops[client]), append(record, &records[client])
		}
		group.Go(func() { errs[i] = connection.run(own, record) })
	}
	group.Wait()
	return summarise(records, time.Since(began)), errors.Join(errs...)
}
