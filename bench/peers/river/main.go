// Measures riverqueue as bench/run measures Piton: durable commits, jobs that do nothing or call a target.
//
//	river queue URL default|tuned JOBS FINISHED [TARGET]
//	river latency URL default|tuned JOBS
//
// "default" are the library's defaults with the 100 workers of its documentation, "tuned" fetches as often as it
// allows with 500 workers. Both print one line of JSON.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// Since is when the job should begin, in microseconds; Request is delivered to the target.
type Noop struct {
	Since   int64           `json:"since"`
	Request json.RawMessage `json:"request,omitempty"`
}

const request = `{"employee": {"fullName": "John Doe", "workEmail": "jdoe@example.com", "department": "Engineering",
	"jobTitle": "Engineer"}, "applications": {"google": true, "microsoft": true}}`

func (Noop) Kind() string { return "noop" }

type worker struct {
	river.WorkerDefaults[Noop]
	done  *atomic.Int64
	mutex *sync.Mutex
	waits *[]float64

	target string
	client http.Client
}

// Delivers a request over connections that stay open, and reads the answer.
func (w *worker) deliver(ctx context.Context, job *river.Job[Noop]) error {
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, w.target, bytes.NewReader(job.Args.Request))
	if err != nil {
		return err
	}
	call.Header.Set("Content-Type", "application/json")
	call.Header.Set("Idempotency-Key", strconv.FormatInt(job.ID, 10))
	answer, err := w.client.Do(call)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err = io.Copy(io.Discard, answer.Body); err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	return err
}

func (w *worker) Work(ctx context.Context, job *river.Job[Noop]) error {
	if job.Args.Request != nil {
		if err := w.deliver(ctx, job); err != nil {
			return err
		}
	}
	if job.Args.Since > 0 {
		wait := float64(time.Now().UnixMicro()-job.Args.Since) / 1000
		w.mutex.Lock()
		*w.waits = append(*w.waits, wait)
		w.mutex.Unlock()
	}
	w.done.Add(1)
	return nil
}

type bench struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	worker *worker
	tuned  bool
}

func open(ctx context.Context, url string, tuned bool) (*bench, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	b := &bench{pool: pool, tuned: tuned, worker: &worker{done: &atomic.Int64{}, mutex: &sync.Mutex{}, waits: &[]float64{}}}
	b.worker.client.Transport = &http.Transport{MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16}
	return b, b.renew()
}

// A client is started once, so each round has its own.
func (b *bench) renew() error {
	workers := river.NewWorkers()
	river.AddWorker(workers, b.worker)
	config := &river.Config{
		Logger:  slog.New(slog.NewTextHandler(io.Discard, nil)),
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}},
		Workers: workers,
	}
	if b.tuned {
		config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 500}}
		config.FetchCooldown = time.Millisecond
		config.FetchPollInterval = 10 * time.Millisecond
	}
	client, err := river.NewClient(riverpgxv5.New(b.pool), config)
	b.client = client
	return err
}

func (b *bench) insert(ctx context.Context, jobs int, args Noop) error {
	for left := jobs; left > 0; left -= 1000 {
		params := make([]river.InsertManyParams, min(left, 1000))
		for i := range params {
			params[i] = river.InsertManyParams{Args: args}
		}
		if _, err := b.client.InsertManyFast(ctx, params); err != nil {
			return err
		}
	}
	return nil
}

// Until the last job is completed in the database, not only called.
func (b *bench) completed(ctx context.Context, jobs int64) error {
	for b.worker.done.Load() < jobs {
		time.Sleep(time.Millisecond)
	}
	for {
		var open bool
		query := "SELECT EXISTS (SELECT 1 FROM river_job WHERE state IN ('available', 'running'))"
		if err := b.pool.QueryRow(ctx, query).Scan(&open); err != nil {
			return err
		}
		if !open {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

func (b *bench) round(ctx context.Context, jobs int, args Noop) (inserts, rate float64, err error) {
	begun := time.Now()
	if err = b.insert(ctx, jobs, args); err != nil {
		return
	}
	inserts = float64(jobs) / time.Since(begun).Seconds()
	b.worker.done.Store(0)
	begun = time.Now()
	if err = b.client.Start(ctx); err != nil {
		return
	}
	if err = b.completed(ctx, int64(jobs)); err != nil {
		return
	}
	rate = float64(jobs) / time.Since(begun).Seconds()
	if err = b.client.Stop(ctx); err != nil {
		return
	}
	err = b.renew()
	return
}

func queue(ctx context.Context, b *bench, jobs, finished int) (any, error) {
	args := Noop{}
	if b.worker.target != "" {
		args.Request = json.RawMessage(request)
	}
	inserts, rate, err := b.round(ctx, jobs, args)
	if err != nil {
		return nil, err
	}
	result := map[string]any{"inserts_per_s": inserts, "jobs_per_s": rate}
	if finished > 0 {
		for left := finished; left > 0; left -= 50000 {
			if _, _, err := b.round(ctx, min(left, 50000), Noop{}); err != nil {
				return nil, err
			}
		}
		_, after, err := b.round(ctx, jobs, args)
		if err != nil {
			return nil, err
		}
		result["after_finished_per_s"] = after
	}
	return result, nil
}

func latency(ctx context.Context, b *bench, jobs int) (any, error) {
	if err := b.client.Start(ctx); err != nil {
		return nil, err
	}
	first := time.Now().Add(3 * time.Second)
	var params []river.InsertManyParams
	for i := range jobs {
		due := first.Add(time.Duration(i) * 20 * time.Millisecond)
		params = append(params, river.InsertManyParams{Args: Noop{Since: due.UnixMicro()}, InsertOpts: &river.InsertOpts{ScheduledAt: due}})
	}
	if _, err := b.client.InsertManyFast(ctx, params); err != nil {
		return nil, err
	}
	for b.worker.done.Load() < int64(jobs) {
		time.Sleep(time.Millisecond)
	}
	due := *b.worker.waits
	b.worker.mutex.Lock()
	*b.worker.waits = nil
	b.worker.mutex.Unlock()
	for range jobs {
		begun := time.Now()
		if _, err := b.client.Insert(ctx, Noop{Since: begun.UnixMicro()}, nil); err != nil {
			return nil, err
		}
		time.Sleep(time.Until(begun.Add(15 * time.Millisecond)))
	}
	for b.worker.done.Load() < int64(2*jobs) {
		time.Sleep(time.Millisecond)
	}
	return map[string]any{"due_ms": due, "immediate_ms": *b.worker.waits}, b.client.Stop(ctx)
}

func run() error {
	if len(os.Args) < 5 {
		return fmt.Errorf("usage: river queue|latency URL default|tuned JOBS [FINISHED [TARGET]]")
	}
	ctx := context.Background()
	b, err := open(ctx, os.Args[2], os.Args[3] == "tuned")
	if err != nil {
		return err
	}
	jobs, err := strconv.Atoi(os.Args[4])
	if err != nil {
		return err
	}
	var result any
	if os.Args[1] == "queue" {
		finished := 0
		if len(os.Args) > 5 {
			if finished, err = strconv.Atoi(os.Args[5]); err != nil {
				return err
			}
		}
		if len(os.Args) > 6 {
			b.worker.target = os.Args[6]
		}
		result, err = queue(ctx, b, jobs, finished)
	} else {
		result, err = latency(ctx, b, jobs)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
