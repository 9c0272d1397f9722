//! How far the log may go, if it is not kept for ever: to the newest link that is old enough.

use super::AuditLink;

/// Looks for that link, by halves: positions are dense, links are not. The database is asked for the first link at or after a
/// position, some thirty times for a thousand million entries, and needs no index but that of the chain.
#[derive(Debug)]
pub struct Search {
    until_ms: i64,
    /// Positions that may still be it.
    from: u64,
    to: u64,
    found: Option<AuditLink>,
}

impl Search {
    /// Behind what has gone already, up to the newest link.
    pub fn new(gone: Option<AuditLink>, newest: AuditLink, until_ms: i64) -> Self {
        Self {
            until_ms,
            from: gone.map_or(0, |gone| gone.chain.position) + 1,
            to: newest.chain.position,
            found: None,
        }
    }

    /// The position to ask for; `None` once it is known.
    pub fn next(&self) -> Option<u64> {
        (self.from <= self.to).then(|| self.from + (self.to - self.from) / 2)
    }

    /// The first link at or after the position that was to be asked for.
    pub fn take(&mut self, link: Option<AuditLink>) {
        let Some(asked) = self.next() else { return };
        match link.filter(|link| link.at_ms <= self.until_ms) {
            Some(link) => {
                self.from = link.chain.position + 1;
                self.found = Some(link);
            }
            None => self.to = asked - 1,
        }
    }

    /// The newest that is old enough.
    pub fn found(&self) -> Option<AuditLink> {
        self.found
    }
}

/// Whether it is worth an entry: more than the entry of the time before.
pub fn is_worth_it(gone: Option<AuditLink>, link: &AuditLink) -> bool {
    link.chain.position > gone.map_or(0, |gone| gone.chain.position) + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::{
        domain::audit::{Chain, Digest},
        store::AuditKey,
    };

    fn link((position, at_ms): (u64, i64)) -> AuditLink {
        AuditLink {
            chain: Chain {
                position,
                head: Digest([0; 32]),
            },
            last: AuditKey {
                group: 0,
                id: Uuid::nil(),
            },
            at_ms,
        }
    }

    proptest! {
        #[test]
        fn the_newest_that_is_old_enough_is_found(
            steps in prop::collection::vec((1..50_u64, 0..5_i64), 1..60),
            gone in prop::option::of(0..60_usize),
            until_ms in 0..200_i64,
        ) {
            let mut at = (0, 0);
            let links: Vec<_> = steps
                .into_iter()
                .map(|(entries, ms)| {
                    at = (at.0 + entries, at.1 + ms);
                    link(at)
                })
                .collect();
            let gone = gone.and_then(|place| links.get(place).copied());
            let mut search = Search::new(gone, *links.last().unwrap(), until_ms);
            let mut asked = 0;
            while let Some(position) = search.next() {
                search.take(links.iter().find(|link| link.chain.position >= position).copied());
                asked += 1;
            }
            let after = gone.map_or(0, |gone| gone.chain.position);
            let expected = links
                .iter()
                .rfind(|link| link.at_ms <= until_ms && link.chain.position > after);
            prop_assert_eq!(search.found(), expected.copied());
            prop_assert!(asked <= 13, "asked {} times", asked);
        }
    }
}
