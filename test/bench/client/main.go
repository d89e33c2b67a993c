// The load of `npm run bench`: closed loops of clients against an etcd endpoint or a kube-apiserver, one JSON line on stdout
// per measurement. Every reply is checked; a wrong one counts as an error.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

const usage = "usage: client phase|pages|apiserver [flags]"

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
		flags.StringVar(&load.kind, "kind", "create", "create, get or list")
		flags.StringVar(&load.prefix, "prefix", "/registry/bench.harikube.info/items/", "prefix of all keys; by default shaped as those of a custom resource")
		flags.IntVar(&load.keys, "keys", 0, "keys that are there already, numbered from 0: what get and list read")
		flags.IntVar(&load.count, "count", 0, "create exactly so many keys, however long it takes; 0: as many as fit into -duration")
		flags.IntVar(&load.valueSize, "value-size", 1500, "bytes of a value")
		flags.IntVar(&load.pageSize, "page-size", 500, "keys of a list")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		load.clients, load.duration = *clients, *duration
		return report(load.run(*endpoint))
	case "pages":
		walk := pages{}
		flags.StringVar(&walk.prefix, "prefix", "/registry/bench.harikube.info/pages/", "prefix of all keys; by default shaped as those of a custom resource")
		flags.IntVar(&walk.objects, "objects", 200_000, "objects to load")
		flags.IntVar(&walk.valueSize, "value-size", 1500, "bytes of a value")
		flags.IntVar(&walk.pageSize, "page-size", 500, "objects of a page")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		walk.clients = *clients
		return report(walk.run(*endpoint))
	case "apiserver":
		load := apiserver{}
		flags.StringVar(&load.ca, "ca", "", "file with the certificate authority")
		flags.StringVar(&load.cert, "cert", "", "file with the client certificate")
		flags.StringVar(&load.key, "key", "", "file with its key")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		load.clients, load.duration = *clients, *duration
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
