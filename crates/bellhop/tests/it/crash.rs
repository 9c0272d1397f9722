//! The server is killed again and again while commands go on, and no lane notices more than a pause.
//!
//! The battery and its judge are the crate `faults`; this is the shortest of its parts, against the real binary.
//! `cargo xtask faults` runs them all.

use std::path::PathBuf;

use faults::battery::{Options, Part, fresh_seed, run};

/// 200 integrations, three webhooks (one of them flaky), 25 times SIGKILL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_message_arrives_in_order_whatever_is_killed() {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_bellhop"));
    let options = Options::short(binary, fresh_seed());
    // To repeat a run that failed: its random choices come from this number.
    println!("seed {}", options.seed);
    let verdict = run(&options, &[Part::Kills]).await.unwrap();
    println!("{verdict}");
    assert!(verdict.holds(), "{verdict}\n{}", verdict.told());
    assert!(verdict.faults >= 20, "{verdict}");
    assert!(verdict.messages >= 200, "{verdict}");
}

/// Fault points kill the process that passes them: no build has them that did not ask for them.
#[cfg(not(feature = "fault-points"))]
#[test]
fn the_normal_build_has_no_fault_points() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_bellhop")).unwrap();
    let asked = b"BATTERY_";
    let is_there = binary.windows(asked.len()).any(|bytes| bytes == asked);
    assert!(!is_there, "the binary listens to the battery");
}
