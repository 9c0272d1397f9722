//! Times as the API writes them.

use bellhop_webhook::UtcSecond;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A moment to the second: `2019-12-13T14:42:52Z`.
pub fn second(at: Timestamp) -> UtcSecond {
    UtcSecond::new(at)
}

/// A moment to the millisecond: `2019-12-13T14:42:52.000Z`.
#[derive(Debug, Clone, Copy)]
pub struct UtcMillisecond(pub Timestamp);

impl Serialize for UtcMillisecond {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_always() {
        for (ms, text) in [
            (0, "\"1970-01-01T00:00:00.000Z\""),
            (1_576_248_172_007, "\"2019-12-13T14:42:52.007Z\""),
        ] {
            let at = UtcMillisecond(Timestamp::from_millisecond(ms).unwrap());
            assert_eq!(serde_json::to_string(&at).unwrap(), text);
        }
    }
}
