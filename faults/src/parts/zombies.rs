//! R2: a replica is stopped past its leases, the others take over, and it goes on as if nothing had happened. It records
//! nothing any more, and no lane goes out of order.

use std::{path::Path, time::Duration};

use nix::sys::signal::Signal;

use super::{NEEDS_POINTS, mortal};
use crate::{
    battery::{Options, Outcome},
    log::{Parts, STOPPED},
    producer::Rhythm,
    stage::{Ground, Setting, Stage},
};

/// Longer than any lease, and than it takes the others to ask what is due. (The lease: `mortal`.)
const STOPPED_FOR: Duration = Duration::from_millis(5500);
/// Longest life between two stops.
const LIFE_MS: u64 = 1000;
/// So long nothing is answered before a stop: much is under way then.
const GATHERS: Duration = Duration::from_millis(100);
/// What it had under way is sent and judged within this after it goes on.
const COMES_TO_ITSELF: Duration = Duration::from_millis(500);

/// 8 times, or 200.
pub async fn run(options: &Options, ground: Ground, folder: &Path) -> anyhow::Result<Outcome> {
    let Some(mortal) = mortal(options, ground) else {
        return Ok(Outcome::Skipped(NEEDS_POINTS.into()));
    };
    let setting = Setting {
        integrations: options.times(450, 9000),
        // Much is to be under way when one is stopped.
        rhythm: Rhythm {
            workers: 16,
            pause_ms: 50,
        },
        ..mortal
    };
    let stage = Stage::set(&setting, folder).await?;
    let mut random = stage.random.part("zombies");
    for _ in 0..options.times(8, 200) {
        tokio::time::sleep(Duration::from_millis(random.below(LIFE_MS))).await;
        let zombie = &stage.servers[stage.any(&mut random)];
        stage.platform.hold_answers();
        tokio::time::sleep(GATHERS).await;
        let began_us = stage.platform.now_us();
        zombie.signal(Signal::SIGSTOP)?;
        // What it had under way fails, as it reads when it goes on. Another has made it again by then, and it was taken:
        // who records the failure all the same has it sent once more.
        stage.platform.fail_what_is_held();
        // As a load balancer does. Commands that were on their way to it are asked again elsewhere, after a while.
        stage.api.leave_out(zombie.address());
        tokio::time::sleep(STOPPED_FOR).await;
        zombie.signal(Signal::SIGCONT)?;
        stage.api.take_in(zombie.address());
        tokio::time::sleep(COMES_TO_ITSELF).await;
        stage
            .platform
            .note_fault(STOPPED, began_us, Parts::UnderWay);
    }
    Ok(Outcome::Ran(Box::new(stage.finish().await?)))
}
