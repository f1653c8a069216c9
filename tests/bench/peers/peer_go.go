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
	sides    int // senders, and receivers; clauses of a select
	capacity int
	take     func(f *figure, n int) float64
}

var figures = map[string]*figure{
	"yield":                    {"ns", 1, 2000000, 0, 0, takeYield},
	"spawn_join_1000":          {"ns", 1, 300, 0, 0, takeSpawn},
	"coro_rendezvous_rtt":      {"ns", 1, 1000000, 0, 0, takeRtt},
	"coro_pool_rendezvous_rtt": {"ns", 2, 1000000, 0, 0, takeRtt},
	"select_ready_2":           {"ns", 1, 1000000, 2, 1, takeSelect},
	"select_ready_8":           {"ns", 1, 1000000, 8, 1, takeSelect},
	"select_ready_64":          {"ns", 1, 1000000, 64, 1, takeSelect},
	"select_block_2":           {"ns", 1, 300000, 2, 0, takeSelect},
	"select_block_8":           {"ns", 1, 300000, 8, 0, takeSelect},
	"select_block_64":          {"ns", 1, 300000, 64, 0, takeSelect},
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

// One select over 2; which one it was.
func recvAny2(c []chan uint64) int {
	select {
	case <-c[0]:
		return 0
	case <-c[1]:
		return 1
	}
}

// One select over 8; which one it was.
func recvAny8(c []chan uint64) int {
	select {
	case <-c[0]:
		return 0
	case <-c[1]:
		return 1
	case <-c[2]:
		return 2
	case <-c[3]:
		return 3
	case <-c[4]:
		return 4
	case <-c[5]:
		return 5
	case <-c[6]:
		return 6
	case <-c[7]:
		return 7
	}
}

// One select over 64; which one it was.
func recvAny64(c []chan uint64) int {
	select {
	case <-c[0]:
		return 0
	case <-c[1]:
		return 1
	case <-c[2]:
		return 2
	case <-c[3]:
		return 3
	case <-c[4]:
		return 4
	case <-c[5]:
		return 5
	case <-c[6]:
		return 6
	case <-c[7]:
		return 7
	case <-c[8]:
		return 8
	case <-c[9]:
		return 9
	case <-c[10]:
		return 10
	case <-c[11]:
		return 11
	case <-c[12]:
		return 12
	case <-c[13]:
		return 13
	case <-c[14]:
		return 14
	case <-c[15]:
		return 15
	case <-c[16]:
		return 16
	case <-c[17]:
		return 17
	case <-c[18]:
		return 18
	case <-c[19]:
		return 19
	case <-c[20]:
		return 20
	case <-c[21]:
		return 21
	case <-c[22]:
		return 22
	case <-c[23]:
		return 23
	case <-c[24]:
		return 24
	case <-c[25]:
		return 25
	case <-c[26]:
		return 26
	case <-c[27]:
		return 27
	case <-c[28]:
		return 28
	case <-c[29]:
		return 29
	case <-c[30]:
		return 30
	case <-c[31]:
		return 31
	case <-c[32]:
		return 32
	case <-c[33]:
		return 33
	case <-c[34]:
		return 34
	case <-c[35]:
		return 35
	case <-c[36]:
		return 36
	case <-c[37]:
		return 37
	case <-c[38]:
		return 38
	case <-c[39]:
		return 39
	case <-c[40]:
		return 40
	case <-c[41]:
		return 41
	case <-c[42]:
		return 42
	case <-c[43]:
		return 43
	case <-c[44]:
		return 44
	case <-c[45]:
		return 45
	case <-c[46]:
		return 46
	case <-c[47]:
		return 47
	case <-c[48]:
		return 48
	case <-c[49]:
		return 49
	case <-c[50]:
		return 50
	case <-c[51]:
		return 51
	case <-c[52]:
		return 52
	case <-c[53]:
		return 53
	case <-c[54]:
		return 54
	case <-c[55]:
		return 55
	case <-c[56]:
		return 56
	case <-c[57]:
		return 57
	case <-c[58]:
		return 58
	case <-c[59]:
		return 59
	case <-c[60]:
		return 60
	case <-c[61]:
		return 61
	case <-c[62]:
		return 62
	case <-c[63]:
		return 63
	}
}

// As ours: with places, all channels hold an element, and a round is a select and the send that
// fills up again; without, a round is a select that waits, a send that finds it, and a yield.
func takeSelect(f *figure, n int) float64 {
	recvAny := map[int]func([]chan uint64) int{2: recvAny2, 8: recvAny8, 64: recvAny64}[f.sides]
	channels := make([]chan uint64, f.sides)
	for i := range channels {
		channels[i] = make(chan uint64, f.capacity)
	}
	warm := n/10 + 1
	ns := make(chan float64)
	var done sync.WaitGroup
	if f.capacity == 0 {
		done.Add(1)
	}
	go func() {
		var start time.Time
		for i := range channels {
			if f.capacity > 0 {
				channels[i] <- 1
			}
		}
		for i := 0; i < warm+n; i++ {
			if i == warm {
				start = time.Now()
			}
			at := recvAny(channels)
			if f.capacity > 0 {
				channels[at] <- 1
			}
		}
		value := each(start, n)
		done.Wait()
		ns <- value
	}()
	if f.capacity == 0 {
		go func() {
			at := 0
			for i := 0; i < warm+n; i++ {
				channels[at] <- 1
				at++
				if at == f.sides {
					at = 0
				}
			}
			done.Done()
		}()
	}
	return <-ns
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
