// The load of `npm run bench`: closed loops of clients against an etcd endpoint or a kube-apiserver, one JSON line on stdout
// per measurement. Every reply is checked; a wrong one counts as an error.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

const usage = "usage: client phase|pages|everything|compact|fan-out|idle|apiserver|users [flags]"

// objectsPrefix is where the objects of walks are.
const objectsPrefix = "/registry/bench.harikube.info/pages/"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	endpoint := flags.String("endpoint", "", "host:port of the etcd API, or URL of the kube-apiserver")
	duration := flags.Duration("duration", 3*time.Second, "how long to measure")
	clients := flags.Int("clients", 1, "closed loops")
	switch args[0] {
	case "phase":
		load := phase{}
		flags.StringVar(&load.kind, "kind", "create", "create, put, get or list")
		flags.StringVar(&load.prefix, "prefix", "/registry/bench.harikube.info/items/", "prefix of all keys; by default shaped as those of a custom resource")
		flags.IntVar(&load.keys, "keys", 0, "keys that are there already, numbered from 0: what get and list read")
		flags.IntVar(&load.count, "count", 0, "create exactly so many keys, however long it takes; 0: as many as fit into -duration")
		flags.IntVar(&load.valueSize, "value-size", 1500, "bytes of a value")
		flags.IntVar(&load.pageSize, "page-size", 500, "keys of a list")
		flags.BoolVar(&load.grpcGo, "grpc-go", false, "ask by grpc-go instead of by a client that takes little processor time")
		flags.BoolVar(&load.walks, "walks", false, "lists are walks through all keys, page by page")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		load.clients, load.duration = *clients, *duration
		return report(load.run(*endpoint))
	case "everything", "compact":
		other := aside{pageSize: 500}
		flags.StringVar(&other.prefix, "prefix", objectsPrefix, "prefix of all keys")
		flags.IntVar(&other.objects, "objects", 200_000, "objects that are there")
		flags.IntVar(&other.valueSize, "value-size", 1500, "bytes of a value")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return report(other.run(*endpoint, func(ctx context.Context) (read, error) {
			if args[0] == "compact" {
				return compact(ctx, *endpoint)
			}
			return everything(ctx, *endpoint, other.prefix, other.objects)
		}))
	case "fan-out":
		load := fanOut{prefix: "/registry/bench.harikube.info/watched/"}
		flags.IntVar(&load.rate, "rate", 1000, "puts a second")
		flags.IntVar(&load.valueSize, "value-size", 1000, "bytes of a value")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		load.watchers, load.duration = *clients, *duration
		return report(load.run(*endpoint))
	case "idle":
		load := idle{}
		flags.IntVar(&load.watches, "watches", 10_000, "watches, each of a prefix of its own")
		flags.IntVar(&load.streams, "streams", 10_000, "streams that they are spread over")
		flags.IntVar(&load.pid, "pid", 0, "process whose memory is told")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return report(load.run(*endpoint))
	case "pages":
		walk := pages{}
		flags.StringVar(&walk.prefix, "prefix", objectsPrefix, "prefix of all keys; by default shaped as those of a custom resource")
		flags.IntVar(&walk.objects, "objects", 200_000, "objects to load")
		flags.IntVar(&walk.valueSize, "value-size", 1500, "bytes of a value")
		flags.IntVar(&walk.pageSize, "page-size", 500, "objects of a page")
		flags.BoolVar(&walk.load, "load", true, "create the objects first; false: they are there")
		flags.IntVar(&walk.walks, "walks", 3, "how often they are walked: a page that is slow by itself is so each time, noise of the machine is not")
		flags.IntVar(&walk.anywhere, "anywhere", 0, "pages at latest from random keys on, after the walks")
		flags.IntVar(&walk.writes, "writes", 0, "objects that are put again each second meanwhile")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		walk.clients = *clients
		return report(walk.run(*endpoint))
	case "apiserver":
		load := apiserver{}
		load.flags(flags)
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		load.clients, load.duration = *clients, *duration
		return report(load.run(*endpoint))
	case "users":
		load := users{}
		load.flags(flags)
		flags.StringVar(&load.definition, "definition", "", "file with the CustomResourceDefinition of the users")
		flags.IntVar(&load.objects, "objects", 100_000, "users")
		flags.BoolVar(&load.load, "load", true, "make the users first; false: they are there")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		load.clients = *clients
		return report(load.run(*endpoint))
	default:
		return fmt.Errorf("unknown command %q; %s", args[0], usage)
	}
}

func report(result any, err error) error {
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
