//! Many seeds, on all processors.

use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use faults::report::Verdict;

use crate::world::{Outcome, run};

/// Seeds that failed once. They always run.
const KNOWN: &str = include_str!("../seeds.txt");

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many ran.
    pub seeds: u64,
    /// Their verdicts, added up.
    pub total: Verdict,
    /// The seeds that failed, and how.
    pub failed: Vec<(u64, String)>,
}

/// The seeds that always run.
pub fn known() -> Vec<u64> {
    let lines = KNOWN
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    lines.filter_map(|word| word.parse().ok()).collect()
}

/// Runs these seeds; `each` is told of every one as it ends.
pub fn run_all(seeds: &[u64], each: impl Fn(&Summary) + Sync) -> Summary {
    let (next, summary) = (AtomicUsize::new(0), Mutex::new(Summary::default()));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Relaxed)) {
                    let outcome = run(*seed);
                    let mut summary = summary.lock().expect("no holder panics");
                    summary.add(*seed, outcome);
                    each(&summary);
                }
            });
        }
    });
    summary.into_inner().expect("no holder panics")
}

impl Summary {
    fn add(&mut self, seed: u64, outcome: anyhow::Result<Outcome>) {
        self.seeds += 1;
        let verdict = match outcome {
            Ok(Outcome { verdict, .. }) => verdict,
            Err(error) => return self.failed.push((seed, format!("{error:#}"))),
        };
        if !verdict.holds() {
            let told = format!("{verdict}\n{}", verdict.told());
            self.failed.push((seed, told));
        }
        let total = &mut self.total;
        total.faults += verdict.faults;
        total.messages += verdict.messages;
        total.lost += verdict.lost;
        total.phantom += verdict.phantom;
        total.order_violations += verdict.order_violations;
        total.bad_signatures += verdict.bad_signatures;
        total.early += verdict.early;
        total.duplicates += verdict.duplicates;
        total.bound += verdict.bound;
        total.unexplained_duplicates += verdict.unexplained_duplicates;
    }
}
