//! Places at which the fault battery kills the process. A build without the feature `fault-points`, as every
//! release is, contains nothing of them.

/// Marks a place: where the process may be killed, if the battery has asked for it.
macro_rules! fault_point {
    ($name:literal) => {
        #[cfg(feature = "fault-points")]
        $crate::fault_points::pass($name);
    };
}

/// How much longer a lease is than the time-out of its webhook: as given, unless the battery has no time to wait.
macro_rules! lease_margin_ms {
    ($normal:expr) => {{
        #[cfg(feature = "fault-points")]
        let margin = $crate::fault_points::lease_margin_ms().unwrap_or($normal);
        #[cfg(not(feature = "fault-points"))]
        let margin: i64 = $normal;
        margin
    }};
}

#[cfg(feature = "fault-points")]
pub use enabled::{lease_margin_ms, pass};

#[cfg(feature = "fault-points")]
mod enabled {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    use nix::{
        sys::signal::{Signal, kill},
        unistd::Pid,
    };

    /// How much longer a lease is than the time-out of its webhook, instead of what it is for all others.
    const LEASE_MARGIN: &str = "BATTERY_LEASE_MARGIN_MS";
    /// Names the place and says at which passing it kills, as in `commit-before:17`.
    const ASKED: &str = "BATTERY_FAULT_POINT";

    struct Asked {
        name: String,
        passings_left: AtomicU64,
    }

    static POINT: LazyLock<Option<Asked>> = LazyLock::new(|| {
        let asked = told(ASKED)?;
        let (name, passing) = asked.split_once(':')?;
        Some(Asked {
            name: name.to_owned(),
            passings_left: AtomicU64::new(passing.parse().ok()?),
        })
    });

    #[expect(
        clippy::disallowed_methods,
        reason = "no setting of the server: a build with this feature is for the battery alone"
    )]
    fn told(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// The margin of leases, if the battery has named one.
    pub fn lease_margin_ms() -> Option<i64> {
        static MARGIN: LazyLock<Option<i64>> = LazyLock::new(|| told(LEASE_MARGIN)?.parse().ok());
        *MARGIN
    }

    /// Passes a place. The process ends here, without a chance to tidy up, if it was asked to.
    pub fn pass(name: &str) {
        let Some(asked) = POINT.as_ref().filter(|asked| asked.name == name) else {
            return;
        };
        if asked.passings_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // The signal reaches us before the call returns; what follows is for the compiler.
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
    }
}
