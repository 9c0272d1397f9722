//! Whether messages arrive in order, seen from the receiving side alone.

use std::collections::HashMap;

use uuid::Uuid;

/// More than anybody tries out; beyond it the account begins anew.
const MAX_LANES: usize = 65_536;

/// How a message stands to those that were accepted before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The one that was due.
    InOrder,
    /// The first that this receiver sees of the integration, although others were sent before.
    Joined,
    /// Messages are missing between the last accepted one and this one.
    Gap {
        /// Sequence of the last accepted one.
        last: u64,
    },
    /// It was accepted before.
    Duplicate,
    /// A later one was accepted before: a replay, or a breach of order.
    Older {
        /// Sequence of the last accepted one.
        last: u64,
    },
    /// It is no message of an integration: a test, or not from Bellhop.
    None,
}

/// What was accepted last of each integration at each path.
#[derive(Debug, Default)]
pub struct Lanes(HashMap<(String, Uuid), u64>);

impl Lanes {
    /// Judges a message. `previous` is what its header `bellhop-previous` says.
    pub fn judge(
        &self,
        path: &str,
        integration: Uuid,
        sequence: u64,
        previous: Option<u64>,
    ) -> Order {
        let previous = previous.unwrap_or(sequence.saturating_sub(1));
        match self.0.get(&(path.to_owned(), integration)) {
            None if previous == 0 => Order::InOrder,
            None => Order::Joined,
            Some(&last) if sequence == last => Order::Duplicate,
            Some(&last) if sequence < last => Order::Older { last },
            Some(&last) if previous == last => Order::InOrder,
            Some(&last) => Order::Gap { last },
        }
    }

    /// Notes that a message was answered with success.
    pub fn accept(&mut self, path: &str, integration: Uuid, sequence: u64) {
        if self.0.len() >= MAX_LANES {
            self.0.clear();
        }
        let last = self.0.entry((path.to_owned(), integration)).or_default();
        *last = sequence.max(*last);
    }
}

impl Order {
    /// Whether a receiver that wants each message once and in order has nothing to worry about.
    pub const fn is_good(self) -> bool {
        !matches!(self, Self::Gap { .. } | Self::Older { .. })
    }

    /// For people; empty when all is as it should be.
    pub fn note(self) -> String {
        match self {
            Self::InOrder | Self::None => String::new(),
            Self::Joined => "earlier messages were sent before this receiver began".to_owned(),
            Self::Gap { last } => format!("GAP after {last}"),
            Self::Duplicate => "duplicate".to_owned(),
            Self::Older { last } => format!("older than {last}: a replay, or out of order"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequence, previous, whether it is accepted, and the judgement.
    type Line = (u64, Option<u64>, bool, Order);

    fn judgements(lines: &[Line]) {
        let mut lanes = Lanes::default();
        for (sequence, previous, is_accepted, expected) in lines {
            let order = lanes.judge("/", Uuid::nil(), *sequence, *previous);
            assert_eq!(order, *expected, "{sequence}");
            if *is_accepted {
                lanes.accept("/", Uuid::nil(), *sequence);
            }
        }
    }

    #[test]
    fn a_life_in_order_with_a_retry_a_duplicate_and_a_filter() {
        judgements(&[
            (1, Some(0), true, Order::InOrder),
            (2, Some(1), false, Order::InOrder),
            (2, Some(1), true, Order::InOrder),
            (2, Some(1), true, Order::Duplicate),
            (5, Some(2), true, Order::InOrder),
            (6, None, true, Order::InOrder),
        ]);
    }

    #[test]
    fn gaps_and_replays_are_seen() {
        judgements(&[
            (3, Some(2), true, Order::Joined),
            (5, Some(4), true, Order::Gap { last: 3 }),
            (4, Some(3), true, Order::Older { last: 5 }),
            (6, Some(5), true, Order::InOrder),
        ]);
    }

    #[test]
    fn integrations_and_paths_are_apart() {
        let mut lanes = Lanes::default();
        lanes.accept("/a", Uuid::nil(), 4);
        assert_eq!(lanes.judge("/b", Uuid::nil(), 1, Some(0)), Order::InOrder);
        assert_eq!(lanes.judge("/a", Uuid::max(), 1, Some(0)), Order::InOrder);
    }
}
