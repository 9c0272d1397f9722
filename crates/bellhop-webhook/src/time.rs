//! Times as the contract writes them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC, cut to the second: `2019-12-13T14:42:52Z`.
///
/// Parts of a second are dropped, not rounded, so that a time never lies in
/// the future of the moment it was made from. Reading accepts any ISO 8601
/// time with an offset; writing is always in UTC with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtcSecond(Timestamp);

impl UtcSecond {
    /// The second that the moment lies in.
    pub fn new(moment: Timestamp) -> Self {
        let second = moment.as_second() - i64::from(moment.subsec_nanosecond() < 0);
        Self(Timestamp::from_second(second).unwrap_or(Timestamp::MIN))
    }

    /// The start of the second.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for UtcSecond {
    fn from(moment: Timestamp) -> Self {
        Self::new(moment)
    }
}

impl From<UtcSecond> for Timestamp {
    fn from(second: UtcSecond) -> Self {
        second.0
    }
}

impl FromStr for UtcSecond {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse().map(Self::new)
    }
}

impl fmt::Display for UtcSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for UtcSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for UtcSecond {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcSecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| de::Error::custom("not an ISO 8601 time with an offset"))
    }
}
