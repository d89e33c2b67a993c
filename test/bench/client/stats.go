package main

import (
	"slices"
	"sync"
	"time"
)

// summary is what one measurement tells.
type summary struct {
	Requests   int     `json:"requests"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"firstError,omitempty"`
	Seconds    float64 `json:"seconds"`
	PerSecond  float64 `json:"perSecond"`
	MeanMs     float64 `json:"meanMs"`
	P50Ms      float64 `json:"p50Ms"`
	P90Ms      float64 `json:"p90Ms"`
	P95Ms      float64 `json:"p95Ms"`
	P99Ms      float64 `json:"p99Ms"`
	MaxMs      float64 `json:"maxMs"`
}

// samples is one loop's own record, so that loops share nothing while they run.
type samples struct {
	latencies []time.Duration
	errors    int
	first     error
}

func (s *samples) add(began time.Time, err error) {
	s.latencies = append(s.latencies, time.Since(began))
	if err == nil {
		return
	}
	s.errors++
	if s.first == nil {
		s.first = err
	}
}

// closedLoops runs one loop per client until each of them returns, and summarises them together.
func closedLoops(clients int, loop func(client int, record *samples)) summary {
	records := make([]samples, clients)
	began := time.Now()
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() { loop(client, &records[client]) })
	}
	group.Wait()
	return summarise(records, time.Since(began))
}

func summarise(records []samples, took time.Duration) summary {
	var all []time.Duration
	result := summary{Seconds: took.Seconds()}
	for _, record := range records {
		all = append(all, record.latencies...)
		result.Errors += record.errors
		if record.first != nil && result.FirstError == "" {
			result.FirstError = record.first.Error()
		}
	}
	result.Requests = len(all)
	result.PerSecond = float64(len(all)) / took.Seconds()
	if len(all) == 0 {
		return result
	}
	slices.Sort(all)
	var total time.Duration
	for _, latency := range all {
		total += latency
	}
	result.MeanMs = milliseconds(total) / float64(len(all))
	result.P50Ms = milliseconds(quantile(all, 0.50))
	result.P90Ms = milliseconds(quantile(all, 0.90))
	result.P95Ms = milliseconds(quantile(all, 0.95))
	result.P99Ms = milliseconds(quantile(all, 0.99))
	result.MaxMs = milliseconds(all[len(all)-1])
	return result
}

// quantile takes the nearest rank of sorted values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func milliseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Millisecond)
}

func inMilliseconds(durations []time.Duration) []float64 {
	var result []float64
	for _, duration := range durations {
		result = append(result, milliseconds(duration))
	}
	return result
}
