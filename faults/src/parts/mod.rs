//! The parts of the battery: each breaks a server in one way, and returns what was written down.

use crate::{battery::Options, platform::Receivers, producer::Rhythm, stage::Setting};

pub mod ambiguous;
pub mod backlog;
pub mod clock;
pub mod disk;
pub mod drain;
pub mod kills;
pub mod network;
pub mod points;
pub mod zoo;

/// A stage as most parts want it.
fn setting(options: &Options) -> Setting {
    Setting {
        binary: options.binary.clone(),
        seed: options.seed,
        integrations: 150,
        rhythm: Rhythm::default(),
        environment: Vec::new(),
        receivers: Receivers::default(),
        harm_to_api: false,
        resumes: false,
        settle_within: options.settle_within,
    }
}
