//! R1: SIGKILL at named points: the server, built with the feature `fault-points`, kills itself there. Of replicas, one
//! that lives is killed first, at a moment that has no name, and starts again towards its point beside the others.

use std::{path::Path, time::Duration};

use super::{NEEDS_POINTS, mortal};
use crate::{
    battery::{Options, Outcome},
    stage::{Ground, Setting, Stage},
};

/// Before and after each step from a command to the record of its delivery.
const POINTS: [&str; 14] = [
    "claim-before",
    "claim-after",
    "sign-before",
    "sign-after",
    "connect-before",
    "connect-after",
    "send-before",
    "send-after",
    "response-before",
    "response-after",
    "commit-before",
    "commit-after",
    "record-before",
    "record-after",
];
/// The passing at which it dies, at most. Connections are few: they are kept.
const PASSING: u64 = 40;
const PASSING_OF_CONNECT: u64 = 3;
/// A server that has not come to its point by then is killed where it is.
const DIES_WITHIN: Duration = Duration::from_secs(8);

/// Each point twice, or 36 times.
pub async fn run(options: &Options, ground: Ground, folder: &Path) -> anyhow::Result<Outcome> {
    let (Some(binary), Some(mortal)) = (&options.with_points, mortal(options, ground)) else {
        return Ok(Outcome::Skipped(NEEDS_POINTS.into()));
    };
    let setting = Setting {
        binary: binary.clone(),
        integrations: options.times(200, 2000),
        ..mortal
    };
    let mut stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("points");
    let mut not_reached = Vec::new();
    for _ in 0..options.times(2, 36) {
        for point in POINTS {
            let most = if point.starts_with("connect") {
                PASSING_OF_CONNECT
            } else {
                PASSING
            };
            let passing = 1 + random.below(most);
            let place = stage.any(&mut random);
            let server = &mut stage.servers[place];
            if server.is_alive() {
                server.kill().await?;
                stage.platform.note_kill("kill");
            }
            server.restart_towards(&format!("{point}:{passing}"))?;
            let reached = server.dies(DIES_WITHIN).await?;
            stage.platform.note_kill(point);
            if !reached {
                not_reached.push(point);
            }
            if stage.servers.len() > 1 {
                stage.servers[place].restart().await?;
            }
        }
    }
    // A point that is never reached shows nothing: its name has changed, or the way goes around it.
    for point in POINTS {
        let misses = not_reached.iter().filter(|missed| **missed == point);
        anyhow::ensure!(
            (misses.count() as u64) < options.times(2, 36),
            "the server never came to the fault point {point}"
        );
    }
    for server in &mut stage.servers {
        if !server.is_alive() {
            server.restart().await?;
        }
    }
    Ok(Outcome::Ran(Box::new(stage.finish().await?)))
}
