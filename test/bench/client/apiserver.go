package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

const (
	group = "bench.harikube.info"
	kinds = 6
)

// apiserver creates one object of each of six cluster-scoped kinds, then finds each of them again by its label, over and over.
type apiserver struct {
	ca, cert, key string
	clients       int
	duration      time.Duration
}

func (a *apiserver) flags(set *flag.FlagSet) {
	set.StringVar(&a.ca, "ca", "", "file with the certificate authority")
	set.StringVar(&a.cert, "cert", "", "file with the client certificate")
	set.StringVar(&a.key, "key", "", "file with its key")
}

type object struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   metadata       `json:"metadata"`
	Spec       map[string]any `json:"spec,omitempty"`
}

type metadata struct {
	Name            string            `json:"name"`
	Labels          map[string]string `json:"labels,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
}

type loaded struct {
	All    summary `json:"all"`
	Create summary `json:"create"`
	List   summary `json:"list"`
}

func (a apiserver) run(endpoint string) (loaded, error) {
	transport, err := a.transport()
	if err != nil {
		return loaded{}, err
	}
	api := kubeAPI{endpoint: endpoint, http: &http.Client{Transport: transport}}
	ctx, cancel := context.WithTimeout(context.Background(), a.duration+5*time.Minute)
	defer cancel()
	if err := installKinds(ctx, api); err != nil {
		return loaded{}, err
	}

	creates, lists := make([]samples, a.clients), make([]samples, a.clients)
	value := string(newValue(800, 3))
	began := time.Now()
	deadline := began.Add(a.duration)
	all := closedLoops(a.clients, func(client int, record *samples) {
		for round := 0; time.Now().Before(deadline); round++ {
			name := fmt.Sprintf("item-%d-%d", client, round)
			for kind := range kinds {
				start := time.Now()
				err := api.createItem(ctx, kind, name, value)
				creates[client].add(start, err)
				record.add(start, err)
			}
			for kind := range kinds {
				start := time.Now()
				err := api.findItem(ctx, kind, name)
				lists[client].add(start, err)
				record.add(start, err)
			}
		}
	})
	took := time.Since(began)
	return loaded{All: all, Create: summarise(creates, took), List: summarise(lists, took)}, nil
}

func (a apiserver) transport() (*http.Transport, error) {
	authority, err := os.ReadFile(a.ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", a.ca)
	}
	pair, err := tls.LoadX509KeyPair(a.cert, a.key)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: a.clients,
	}, nil
}

// kubeAPI speaks to a kube-apiserver in JSON.
type kubeAPI struct {
	endpoint string
	http     *http.Client
}

func (api kubeAPI) createItem(ctx context.Context, kind int, name, value string) error {
	item := object{
		APIVersion: group + "/v1",
		Kind:       kindName(kind),
		Metadata:   metadata{Name: name, Labels: map[string]string{"item": name}},
		Spec:       map[string]any{"text": value, "number": kind},
	}
	var answer object
	if err := api.do(ctx, http.MethodPost, itemsPath(kind), item, http.StatusCreated, &answer); err != nil {
		return err
	}
	if answer.Metadata.Name != name || answer.Metadata.ResourceVersion == "" {
		return fmt.Errorf("create of %s: the answer is %q at %q", name, answer.Metadata.Name, answer.Metadata.ResourceVersion)
	}
	return nil
}

func (api kubeAPI) findItem(ctx context.Context, kind int, name string) error {
	var answer struct {
		Items []object `json:"items"`
	}
	path := itemsPath(kind) + "?labelSelector=" + url.QueryEscape("item="+name)
	if err := api.do(ctx, http.MethodGet, path, nil, http.StatusOK, &answer); err != nil {
		return err
	}
	if len(answer.Items) != 1 || answer.Items[0].Metadata.Name != name {
		return fmt.Errorf("list for %s: %d items", name, len(answer.Items))
	}
	return nil
}

func (api kubeAPI) do(ctx context.Context, method, path string, body any, want int, answer any) error {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, api.endpoint+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	reply, err := api.http.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return err
	}
	if reply.StatusCode != want {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, reply.Status, text)
	}
	return json.Unmarshal(text, answer)
}

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

// until asks again until there is no error.
func until(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// installKinds makes the kinds and returns when each of them can be listed.
func installKinds(ctx context.Context, api kubeAPI) error {
	for kind := range kinds {
		plural := kindPlural(kind)
		definition := map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1",
			"kind":       "CustomResourceDefinition",
			"metadata":   map[string]any{"name": plural + "." + group},
			"spec": map[string]any{
				"group": group,
				"scope": "Cluster",
				"names": map[string]any{"plural": plural, "singular": plural[:len(plural)-1], "kind": kindName(kind), "listKind": kindName(kind) + "List"},
				"versions": []any{map[string]any{
					"name": "v1", "served": true, "storage": true,
					"schema": map[string]any{"openAPIV3Schema": map[string]any{
						"type": "object",
						"properties": map[string]any{"spec": map[string]any{
							"type":       "object",
							"properties": map[string]any{"text": map[string]any{"type": "string"}, "number": map[string]any{"type": "integer"}},
						}},
					}},
				}},
			},
		}
		var created object
		if err := api.do(ctx, http.MethodPost, definitions, definition, http.StatusCreated, &created); err != nil {
			return err
		}
	}
	for kind := range kinds {
		if err := until(ctx, func() error {
			var list map[string]any
			return api.do(ctx, http.MethodGet, itemsPath(kind), nil, http.StatusOK, &list)
		}); err != nil {
			return err
		}
	}
	return nil
}

func kindName(kind int) string   { return fmt.Sprintf("Sort%d", kind) }
func kindPlural(kind int) string { return fmt.Sprintf("sort%ds", kind) }
func itemsPath(kind int) string {
	return fmt.Sprintf("/apis/%s/v1/%s", group, kindPlural(kind))
}
