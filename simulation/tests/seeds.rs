//! The short form of the simulation, and what it must find.

use faults::report::Verdict;
use simulation::{Plant, run, run_planted, seeds};

/// How many seeds run with every change.
const SEEDS: u64 = 500;

#[test]
fn five_hundred_seeds_hold() {
    let known = seeds::known().into_iter();
    let summary = seeds::run_all(&known.chain(1..=SEEDS).collect::<Vec<_>>(), |_| {});
    let told: Vec<String> = summary
        .failed
        .iter()
        .map(|(seed, told)| format!("seed {seed}: {told}"))
        .collect();
    println!("seeds={} {}", summary.seeds, summary.total);
    assert!(told.is_empty(), "\n{}", told.join("\n"));
    assert!(summary.total.messages > 5 * SEEDS && summary.total.faults > 5 * SEEDS);
    assert!(
        summary.total.duplicates > 0,
        "no fault hit between a 2xx and its record"
    );
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in 1..=12 {
        let (one, same) = (run(seed).unwrap(), run(seed).unwrap());
        assert_eq!(one.trace, same.trace, "seed {seed}");
        assert_eq!(one.verdict, same.verdict, "seed {seed}");
    }
    assert_ne!(run(1).unwrap().trace, run(2).unwrap().trace);
}

#[test]
fn planted_bugs_are_found() {
    for plant in Plant::ALL {
        let shows = |verdict: &Verdict| match plant {
            Plant::RetryTimerLost => verdict.lost,
            Plant::LaneDoesNotWait => verdict.order_violations,
            Plant::PausesForgotten => verdict.early,
            Plant::RecordForgotten => verdict.unexplained_duplicates,
            Plant::BodyMadeAgain => verdict.phantom,
        };
        let mut verdicts = (1..=40).map(|seed| (seed, run_planted(seed, plant).unwrap().verdict));
        let found = verdicts.find(|(_, verdict)| shows(verdict) > 0);
        let (seed, verdict) = found.unwrap_or_else(|| panic!("{plant:?} was not found"));
        println!("{plant:?}: seed {seed}: {verdict}");
    }
}
