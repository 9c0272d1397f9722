//! The parts of the battery: each breaks servers in one way, and returns what was written down.

use crate::{
    battery::Options,
    platform::Receivers,
    producer::Rhythm,
    stage::{Ground, Setting},
};

pub mod ambiguous;
pub mod backlog;
pub mod clock;
pub mod disk;
pub mod drain;
pub mod failover;
pub mod kills;
pub mod network;
pub mod points;
pub mod postmaster;
pub mod zombies;
pub mod zoo;

/// What a part says that is skipped because there are no fault points.
const NEEDS_POINTS: &str = "needs --with-points and a server built with `--features fault-points`";
/// Tells a build with the feature `fault-points` how much longer a lease is than the time-out of its webhook.
const LEASE_MARGIN: (&str, &str) = ("BATTERY_LEASE_MARGIN_MS", "2000");
/// That time-out, in seconds. Together they are how long nobody takes over what a dead replica had under way.
const TIMEOUT_S: u64 = 2;

/// A stage as most parts want it.
fn setting(options: &Options, ground: Ground) -> Setting {
    Setting {
        binary: options.binary.clone(),
        ground,
        seed: options.seed,
        integrations: 150,
        rhythm: Rhythm::default(),
        environment: Vec::new(),
        receivers: Receivers::default(),
        harm_to_api: false,
        harm_to_database: false,
        second_database: None,
        resumes: false,
        settle_within: options.settle_within,
    }
}

/// The same for servers that are to be killed or stopped. Replicas have short leases then, or most of the time would be
/// spent waiting for those of the dead; nothing if there is no build that can be told so.
fn mortal(options: &Options, ground: Ground) -> Option<Setting> {
    let setting = setting(options, ground);
    if matches!(setting.ground, Ground::Sqlite) {
        return Some(setting);
    }
    let (name, value) = LEASE_MARGIN;
    Some(Setting {
        binary: options.with_points.clone()?,
        environment: vec![(name.to_owned(), value.to_owned())],
        receivers: Receivers {
            timeout_s: TIMEOUT_S,
            ..Receivers::default()
        },
        ..setting
    })
}
