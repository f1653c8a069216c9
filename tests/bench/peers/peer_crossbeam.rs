// SPDX-License-Identifier: BSD-3-Clause

// peer_crossbeam - channels between threads, and select, of Rust's crossbeam-channel; the same
// command line and output as peer.h has.
use crossbeam_channel::{bounded, Receiver, Select, Sender};
use std::process::exit;
use std::thread;
use std::time::Instant;

const QUICK: usize = 100; // --quick divides the work by this
const STREAM_CAPACITY: usize = 1024;

struct Figure {
    name: &'static str,
    unit: &'static str,
    n: usize,
    sides: usize, // senders, and receivers; clauses of a select
    take: fn(usize, usize) -> f64,
}

const FIGURES: [Figure; 5] = [
    Figure { name: "select_ready_2", unit: "ns", n: 1_000_000, sides: 2, take: take_select },
    Figure { name: "select_ready_8", unit: "ns", n: 1_000_000, sides: 8, take: take_select },
    Figure { name: "select_ready_64", unit: "ns", n: 1_000_000, sides: 64, take: take_select },
    Figure { name: "thread_1x1_8", unit: "1/s", n: 2_000_000, sides: 1, take: take_stream },
    Figure { name: "thread_4x4_8", unit: "1/s", n: 2_000_000, sides: 4, take: take_stream },
];

// All channels hold an element; a round is a select and the send that fills up again. The clauses
// are told once, which is faster here than the macro that tells them each time.
fn take_select(sides: usize, n: usize) -> f64 {
    let channels: Vec<(Sender<u64>, Receiver<u64>)> = (0..sides).map(|_| bounded(1)).collect();
    let mut select = Select::new();
    for (sender, receiver) in &channels {
        sender.send(1).unwrap();
        select.recv(receiver);
    }
    let warm = n / 10 + 1;
    let mut start = Instant::now();
    let mut sum = 0;
    for i in 0..warm + n {
        if i == warm {
            start = Instant::now();
        }
        let chosen = select.select();
        let (sender, receiver) = &channels[chosen.index()];
        sum += chosen.recv(receiver).unwrap();
        sender.send(1).unwrap();
    }
    let ns = start.elapsed().as_nanos() as f64 / n as f64;
    if sum != (warm + n) as u64 {
        fails("an element is missing");
    }
    ns
}

// Elements a second, from the first sender's start to the last arrival.
fn take_stream(sides: usize, count: usize) -> f64 {
    let (sender, receiver) = bounded::<u64>(STREAM_CAPACITY);
    let (start, started) = bounded::<()>(0);
    let share = (count / sides + 1) as u64;
    let senders: Vec<_> = (0..sides)
        .map(|_| {
            let (sender, started) = (sender.clone(), started.clone());
            thread::spawn(move || {
                let _ = started.recv(); // an end, for all at once
                let begin = Instant::now();
                for left in (1..=share).rev() {
                    sender.send(left).unwrap();
                }
                begin
            })
        })
        .collect();
    let receivers: Vec<_> = (0..sides)
        .map(|_| {
            let receiver = receiver.clone();
            thread::spawn(move || {
                let (mut sum, mut n) = (0, 0);
                for value in receiver {
                    sum += value;
                    n += 1;
                }
                (sum, n, Instant::now())
            })
        })
        .collect();
    drop((sender, start));
    let begin = senders.into_iter().map(|t| t.join().unwrap()).min().unwrap();
    let ends: Vec<(u64, u64, Instant)> = receivers.into_iter().map(|t| t.join().unwrap()).collect();
    let all = share * sides as u64;
    if ends.iter().map(|e| e.0).sum::<u64>() != sides as u64 * share * (share + 1) / 2
        || ends.iter().map(|e| e.1).sum::<u64>() != all
    {
        fails("not all arrived as it was sent");
    }
    let end = ends.iter().map(|e| e.2).max().unwrap();
    all as f64 / (end - begin).as_secs_f64()
}

fn fails(why: &str) -> ! {
    eprintln!("{}", why);
    exit(1)
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--about"] {
        println!("crossbeam-channel {}", env!("CROSSBEAM_VERSION"));
        return;
    }
    let divide = if arguments.first().map_or(false, |a| a == "--quick") { QUICK } else { 1 };
    if divide > 1 {
        arguments.remove(0);
    }
    let figure = FIGURES.iter().find(|f| arguments == [f.name]);
    match figure {
        Some(f) => {
            let value = (f.take)(f.sides, std::cmp::max(f.n / divide, 1));
            println!("{}\t{:.9}\t{}", f.name, value, f.unit);
        }
        None => {
            eprintln!("usage: peer-crossbeam [--quick] FIGURE | --about");
            exit(2);
        }
    }
}
