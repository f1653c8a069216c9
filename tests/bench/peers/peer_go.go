// SPDX-License-Identifier: BSD-3-Clause

// peer_go - goroutines and channels of Go. What is one worker in ours is GOMAXPROCS=1 here, a pool
// of two workers GOMAXPROCS=2; the same command line and output as peer.h has.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	batch = 1000
	quick = 100 // --quick divides the work by this
)

type figure struct {
	unit     string
	procs    int // 0: all CPUs
	n        int
	sides    int // senders, and receivers
	capacity int
	take     func(f *figure, n int) float64
}

var figures = map[string]*figure{
	"yield":                    {"ns", 1, 2000000, 0, 0, takeYield},
	"spawn_join_1000":          {"ns", 1, 300, 0, 0, takeSpawn},
	"coro_rendezvous_rtt":      {"ns", 1, 1000000, 0, 0, takeRtt},
	"coro_pool_rendezvous_rtt": {"ns", 2, 1000000, 0, 0, takeRtt},
	"coro_1x1_cap64_8":         {"1/s", 1, 2000000, 1, 64, takeStream},
	"coro_4x4_cap64_8":         {"1/s", 1, 2000000, 4, 64, takeStream},
	"coro_pool_4x4_cap1024_8":  {"1/s", 2, 2000000, 4, 1024, takeStream},
	"thread_1x1_8":             {"1/s", 2, 2000000, 1, 1024, takeStream},
	"thread_4x4_8":             {"1/s", 0, 2000000, 4, 1024, takeStream},
}

func each(start time.Time, n int) float64 {
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

func fails(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}

func yieldOften(n int) {
	for i := 0; i < n; i++ {
		runtime.Gosched()
	}
}

func takeYield(_ *figure, n int) float64 {
	ns := make(chan float64)
	go func() {
		var other sync.WaitGroup
		other.Add(1)
		go func() {
			yieldOften(n)
			other.Done()
		}()
		start := time.Now()
		yieldOften(n)
		value := each(start, 2*n)
		other.Wait()
		ns <- value
	}()
	return <-ns
}

func takeSpawn(_ *figure, batches int) float64 {
	var results [batch]int
	var all sync.WaitGroup
	var start time.Time
	sum := 0
	// the first batch makes the stacks
	for i := 0; i <= batches; i++ {
		if i == 1 {
			start = time.Now()
		}
		all.Add(batch)
		for k := 0; k < batch; k++ {
			go func(k int) {
				results[k] = k
				all.Done()
			}(k)
		}
		all.Wait()
		for k := range results {
			sum += results[k]
			results[k] = 0
		}
	}
	ns := each(start, batches*batch)
	if sum != (batches+1)*(batch-1)*batch/2 {
		fails("a result is missing")
	}
	return ns
}

func takeRtt(_ *figure, n int) float64 {
	ping, pong := make(chan uint64), make(chan uint64)
	ns := make(chan float64)
	go func() {
		for ball := range ping {
			pong <- ball
		}
	}()
	go func() {
		var start time.Time
		ball := uint64(1)
		warm := n/10 + 1
		for i := 0; i < warm+n; i++ {
			if i == warm {
				start = time.Now()
			}
			ping <- ball
			ball = <-pong
		}
		value := each(start, n)
		close(ping)
		ns <- value
	}()
	return <-ns
}

// Elements a second, from the first sender's start to the last arrival.
func takeStream(f *figure, count int) float64 {
	ch := make(chan uint64, f.capacity)
	share := count/f.sides + 1
	var senders, receivers sync.WaitGroup
	var lock sync.Mutex
	var begin, end time.Time
	var sent, received, arrived uint64

	start := make(chan struct{})
	for i := 0; i < f.sides; i++ {
		senders.Add(1)
		receivers.Add(1)
		go func() {
			<-start
			now := time.Now()
			sum := uint64(0)
			for left := uint64(share); left > 0; left-- {
				ch <- left
				sum += left
			}
			lock.Lock()
			if begin.IsZero() || now.Before(begin) {
				begin = now
			}
			lock.Unlock()
			atomic.AddUint64(&sent, sum)
			senders.Done()
		}()
		go func() {
			<-start
			var sum, n uint64
			for value := range ch {
				sum += value
				n++
			}
			now := time.Now()
			lock.Lock()
			if now.After(end) {
				end = now
			}
			lock.Unlock()
			atomic.AddUint64(&received, sum)
			atomic.AddUint64(&arrived, n)
			receivers.Done()
		}()
	}
	close(start)
	senders.Wait()
	close(ch)
	receivers.Wait()
	if sent != received || arrived != uint64(share*f.sides) {
		fails("not all arrived as it was sent")
	}
	return float64(arrived) / end.Sub(begin).Seconds()
}

func main() {
	arguments := os.Args[1:]
	divide := 1
	if len(arguments) == 1 && arguments[0] == "--about" {
		fmt.Println("Go", runtime.Version())
		return
	}
	if len(arguments) > 0 && arguments[0] == "--quick" {
		divide = quick
		arguments = arguments[1:]
	}
	var f *figure
	if len(arguments) == 1 {
		f = figures[arguments[0]]
	}
	if f == nil {
		fmt.Fprintf(os.Stderr, "usage: %s [--quick] FIGURE | --about\n", os.Args[0])
		os.Exit(2)
	}
	procs := f.procs
	if procs == 0 {
		procs = runtime.NumCPU()
	}
	runtime.GOMAXPROCS(procs)
	n := f.n / divide
	if n < 1 {
		n = 1
	}
	fmt.Printf("%s\t%.9g\t%s\n", arguments[0], f.take(f, n), f.unit)
}
