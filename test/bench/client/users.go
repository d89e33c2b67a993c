package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

// users makes objects of the kind User and reads them as clients of Kubernetes do.
type users struct {
	apiserver
	// definition is the file of the kind's CustomResourceDefinition.
	definition string
	objects    int
	// load makes the objects; without it they are there.
	load bool
}

type usersRead struct {
	Creating summary `json:"creating"`
	Gets     summary `json:"gets"`
	// Pages of 500 that go on with a token, which kube-apiserver takes from the store.
	Pages summary `json:"pages"`
	// One list of everything, which it takes from its watch cache.
	ListSeconds   float64 `json:"listSeconds"`
	ListMegabytes float64 `json:"listMegabytes"`
}

const (
	usersPerNamespace = 1000
	usersPage         = 500
	userGets          = 500
	usersOfAll        = "/apis/product.webshop.harikube.info/v1/users"
)

func (u users) run(endpoint string) (usersRead, error) {
	transport, err := u.transport()
	if err != nil {
		return usersRead{}, err
	}
	api := kubeAPI{endpoint: endpoint, http: &http.Client{Transport: transport}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	var result usersRead
	if u.load {
		if err := u.install(ctx, api); err != nil {
			return result, err
		}
		if result.Creating = u.create(ctx, api); result.Creating.Errors > 0 {
			return result, fmt.Errorf("creating users: %d errors, the first: %s", result.Creating.Errors, result.Creating.FirstError)
		}
	}
	if err := until(ctx, func() error {
		var first userList
		return api.do(ctx, http.MethodGet, usersOfAll+"?limit=1", nil, http.StatusOK, &first)
	}); err != nil {
		return result, err
	}
	if result.Gets, err = u.get(ctx, api); err != nil {
		return result, err
	}
	if result.Pages, err = u.walk(ctx, api); err != nil {
		return result, err
	}
	return result, u.list(ctx, api, &result)
}

func (u users) install(ctx context.Context, api kubeAPI) error {
	text, err := os.ReadFile(u.definition)
	if err != nil {
		return err
	}
	var answer object
	if err := api.do(ctx, http.MethodPost, definitions, json.RawMessage(text), http.StatusCreated, &answer); err != nil {
		return err
	}
	for number := 0; number*usersPerNamespace < u.objects; number++ {
		namespace := object{APIVersion: "v1", Kind: "Namespace", Metadata: metadata{Name: namespaceOf(number * usersPerNamespace)}}
		if err := api.do(ctx, http.MethodPost, "/api/v1/namespaces", namespace, http.StatusCreated, &answer); err != nil {
			return err
		}
	}
	return until(ctx, func() error { return api.do(ctx, http.MethodGet, usersOfAll, nil, http.StatusOK, &answer) })
}

func (u users) create(ctx context.Context, api kubeAPI) summary {
	var next atomic.Int64
	return closedLoops(u.clients, func(_ int, record *samples) {
		for number := int(next.Add(1)) - 1; number < u.objects; number = int(next.Add(1)) - 1 {
			user := object{
				APIVersion: "product.webshop.harikube.info/v1",
				Kind:       "User",
				Metadata:   metadata{Name: userName(number), Labels: map[string]string{"batch": fmt.Sprint(number % 100)}},
				Spec: map[string]any{
					"firstName": "Jane", "lastName": "Doe", "email": fmt.Sprintf("user-%d@example.com", number), "phoneNumber": "+3612345678",
				},
			}
			var answer object
			began := time.Now()
			record.add(began, api.do(ctx, http.MethodPost, usersIn(number), user, http.StatusCreated, &answer))
		}
	})
}

func (u users) get(ctx context.Context, api kubeAPI) (summary, error) {
	gets := closedLoops(1, func(_ int, record *samples) {
		for number := range userGets {
			one := number * putStep % u.objects
			var answer object
			began := time.Now()
			err := api.do(ctx, http.MethodGet, usersIn(one)+"/"+userName(one), nil, http.StatusOK, &answer)
			if err == nil && answer.Metadata.Name != userName(one) {
				err = fmt.Errorf("get of %s: the answer is %q", userName(one), answer.Metadata.Name)
			}
			record.add(began, err)
		}
	})
	if gets.Errors > 0 {
		return gets, fmt.Errorf("getting users: %d errors, the first: %s", gets.Errors, gets.FirstError)
	}
	return gets, nil
}

type userList struct {
	Metadata struct {
		Continue string `json:"continue"`
	} `json:"metadata"`
	Items []struct {
		Metadata metadata `json:"metadata"`
	} `json:"items"`
}

func (u users) walk(ctx context.Context, api kubeAPI) (summary, error) {
	seen, token := 0, ""
	var failure error
	pages := closedLoops(1, func(_ int, record *samples) {
		for first := true; first || token != ""; first = false {
			var page userList
			began := time.Now()
			path := fmt.Sprintf("%s?limit=%d&continue=%s", usersOfAll, usersPage, url.QueryEscape(token))
			failure = api.do(ctx, http.MethodGet, path, nil, http.StatusOK, &page)
			record.add(began, failure)
			if failure != nil {
				return
			}
			seen += len(page.Items)
			token = page.Metadata.Continue
		}
	})
	if failure == nil && seen != u.objects {
		failure = fmt.Errorf("walk of users: %d, wanted %d", seen, u.objects)
	}
	return pages, failure
}

// list counts the users of one answer; the time is until its last byte.
func (u users) list(ctx context.Context, api kubeAPI, result *usersRead) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api.endpoint+usersOfAll, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	// The answer as it is: unpacking it is no part of what is measured.
	request.Header.Set("Accept-Encoding", "identity")
	began := time.Now()
	reply, err := api.http.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return err
	}
	result.ListSeconds, result.ListMegabytes = time.Since(began).Seconds(), float64(len(text))/1e6
	if found := bytes.Count(text, []byte(`"kind":"User"`)); found != u.objects {
		return fmt.Errorf("list of users: %s, %d, wanted %d", reply.Status, found, u.objects)
	}
	return nil
}

func namespaceOf(user int) string { return fmt.Sprintf("users-%d", user/usersPerNamespace) }
func userName(user int) string    { return fmt.Sprintf("user-%d", user) }
func usersIn(user int) string {
	return fmt.Sprintf("/apis/product.webshop.harikube.info/v1/namespaces/%s/users", namespaceOf(user))
}
