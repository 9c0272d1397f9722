//! Where a run stands: a replay in bulk, or a backfill.

use std::{fmt, str::FromStr};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayState {
    /// It goes on by itself.
    Running,
    /// A person stopped it for a while.
    Paused,
    /// A person ended it.
    Canceled,
    /// It has passed everything, and what it sent has ended.
    Completed,
}

/// What a person can do with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayCommand {
    /// Stop for a while.
    Pause,
    /// Go on.
    Resume,
    /// End it.
    Cancel,
}

impl ReplayState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Canceled, Self::Completed];

    /// The state after a command; the same if it changes nothing. `None` if the state does not allow it.
    pub fn after(self, command: ReplayCommand) -> Option<Self> {
        match (self, command) {
            (Self::Running | Self::Paused, ReplayCommand::Pause) => Some(Self::Paused),
            (Self::Running | Self::Paused, ReplayCommand::Resume) => Some(Self::Running),
            (Self::Running | Self::Paused | Self::Canceled, ReplayCommand::Cancel) => {
                Some(Self::Canceled)
            }
            (Self::Canceled | Self::Completed, _) => None,
        }
    }

    /// Whether nothing more comes of it.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Canceled | Self::Completed)
    }

    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Canceled => "Canceled",
            Self::Completed => "Completed",
        }
    }
}

impl ReplayCommand {
    /// As paths spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

impl fmt::Display for ReplayState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReplayState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("no state of a replay is called {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_so() {
        use ReplayCommand::{Cancel, Pause, Resume};
        use ReplayState::{Canceled, Completed, Paused, Running};
        for (state, pause, resume, cancel) in [
            (Running, Some(Paused), Some(Running), Some(Canceled)),
            (Paused, Some(Paused), Some(Running), Some(Canceled)),
            (Canceled, None, None, Some(Canceled)),
            (Completed, None, None, None),
        ] {
            let after = [Pause, Resume, Cancel].map(|command| state.after(command));
            assert_eq!(after, [pause, resume, cancel], "{state}");
        }
    }
}
