//! Verifying the chain: all entries are hashed again, in their order, and compared with what was written down.

use std::fmt;

use uuid::Uuid;

use super::{AuditKey, AuditLink, AuditLog};
use crate::{
    domain::audit::{AuditEntry, Chain, Digest},
    store::StoreError,
};

/// Entries read at once.
const PIECE: u32 = 1000;

/// Sees each entry with its position and its hash, in order.
pub trait Watch {
    /// The chain goes on from here: what is before has gone.
    fn begins(&mut self, _after: Chain) {}

    /// The next one.
    fn entry(&mut self, entry: &AuditEntry, chain: Chain);

    /// Whether there is anything left to see it for.
    fn goes_on(&self) -> bool {
        true
    }
}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The entries up to here may have gone, as configured; [`Chain::EMPTY`] if none has. What is verified goes on from
    /// there.
    pub purged: Chain,
    /// Where it stands after the newest entry.
    pub chain: Chain,
    /// When the oldest and the newest entry were made, in milliseconds since 1970.
    pub span: Option<(i64, i64)>,
    /// How many of the newest entries are not linked yet: a replica does that within a second or so.
    pub unlinked: u64,
    /// The position of the entry whose hash was asked for.
    pub found: Option<u64>,
}

/// Where the chain breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// Up to a link, the entries are not those that were linked.
    Changed {
        /// The last position that is known to be right.
        good: u64,
        /// The position of the link.
        linked: u64,
        /// How many entries there are up to it.
        found: u64,
        /// The last entry up to it.
        last: Option<Uuid>,
    },
    /// Entries without a link, where each is linked when it is written.
    Unlinked {
        /// The last position that is linked.
        good: u64,
        /// How many there are beyond.
        beyond: u64,
    },
    /// The oldest entries went while the log was read.
    PurgedMeanwhile,
    /// The hash that was to be in the chain is not.
    NoSuchHead {
        /// The hash.
        head: Digest,
        /// How many entries there are.
        entries: u64,
        /// The position up to which entries have gone.
        purged: u64,
    },
}

/// Goes through a log from its beginning.
pub struct Verifier<'a> {
    log: &'a dyn AuditLog,
    /// A hash that has to be in it.
    head: Option<Digest>,
    at: AuditKey,
    ahead: std::collections::VecDeque<(AuditKey, AuditEntry)>,
    /// Where it began.
    purged: Chain,
    chain: Chain,
    span: Option<(i64, i64)>,
    found: Option<u64>,
}

/// What the newest entries say of the chain.
#[derive(Debug, Clone)]
pub struct Newest {
    /// The newest link.
    pub link: AuditLink,
    /// How many entries were hashed again.
    pub hashed: u64,
    /// Whether they lead to it.
    pub verdict: Result<Verified, Broken>,
}

/// Hashes the newest entries again, about so many at most: what lies before them is believed. `None` if nothing is linked.
pub async fn verify_newest(log: &dyn AuditLog, most: u64) -> Result<Option<Newest>, StoreError> {
    let Some(newest) = log.newest().await? else {
        return Ok(None);
    };
    let before = newest.chain.position.saturating_sub(most);
    let mut verifier = Verifier::new(log, None);
    if before > 0
        && let Some(link) = log.links(before - 1, 1).await?.first()
    {
        (verifier.chain, verifier.at) = (link.chain, link.last);
    }
    let begun = verifier.chain.position;
    let verdict = verifier.run(&mut ()).await?;
    // What was linked meanwhile was hashed as well.
    let link = log.newest().await?.unwrap_or(newest);
    Ok(Some(Newest {
        hashed: link.chain.position.saturating_sub(begun),
        link,
        verdict,
    }))
}

impl<'a> Verifier<'a> {
    /// Of this log; a hash that somebody has kept must be in it.
    pub fn new(log: &'a dyn AuditLog, head: Option<Digest>) -> Self {
        Self {
            log,
            head,
            at: AuditKey::default(),
            ahead: std::collections::VecDeque::new(),
            purged: Chain::EMPTY,
            chain: Chain::EMPTY,
            span: None,
            found: None,
        }
    }

    /// Goes through all of it. Memory does not grow with the log.
    pub async fn run(
        mut self,
        watch: &mut impl Watch,
    ) -> Result<Result<Verified, Broken>, StoreError> {
        if let Some(purged) = self.log.purged().await? {
            self.purged = purged.chain;
            if self.chain.position < purged.chain.position {
                (self.at, self.chain) = (purged.last, purged.chain);
                self.look_for_head();
            }
            watch.begins(self.chain);
        }
        let good = loop {
            if let Err(broken) = self.linked(watch).await? {
                return Ok(Err(self.explained(broken).await?));
            }
            let good = self.chain.position;
            // First an entry, then the links: what was written meanwhile has both.
            let is_more = !self.log.entries(self.at, None, 1).await?.is_empty();
            if !is_more || !self.log.links_at_once() || !watch.goes_on() {
                break good;
            }
            if self.log.links(good, 1).await?.is_empty() {
                self.rest(watch).await?;
                let beyond = self.chain.position - good;
                return Ok(Err(Broken::Unlinked { good, beyond }));
            }
        };
        self.rest(watch).await?;
        let unlinked = self.chain.position - good;
        Ok(match (self.head, self.found) {
            (Some(head), None) => Err(Broken::NoSuchHead {
                head,
                entries: self.chain.position - self.purged.position,
                purged: self.purged.position,
            }),
            _ => Ok(Verified {
                purged: self.purged,
                chain: self.chain,
                span: self.span,
                unlinked,
                found: self.found,
            }),
        })
    }

    /// What is missing may just have gone.
    async fn explained(&self, broken: Broken) -> Result<Broken, StoreError> {
        let purged = self.log.purged().await?;
        let is_ahead = purged.is_some_and(|purged| purged.chain.position > self.purged.position);
        Ok(if is_ahead {
            Broken::PurgedMeanwhile
        } else {
            broken
        })
    }

    /// All that is linked.
    async fn linked(&mut self, watch: &mut impl Watch) -> Result<Result<(), Broken>, StoreError> {
        loop {
            let links = self.log.links(self.chain.position, PIECE).await?;
            let Some(newest) = links.last() else {
                return Ok(Ok(()));
            };
            for link in &links {
                if let Err(broken) = self.up_to(link, newest.last, watch).await? {
                    return Ok(Err(broken));
                }
                if !watch.goes_on() {
                    return Ok(Ok(()));
                }
            }
        }
    }

    /// What one link is about. Nothing beyond the newest link is read: there, entries may still come before others.
    async fn up_to(
        &mut self,
        link: &AuditLink,
        newest: AuditKey,
        watch: &mut impl Watch,
    ) -> Result<Result<(), Broken>, StoreError> {
        let good = self.chain.position;
        let mut last = None;
        loop {
            if self.ahead.is_empty() {
                let next = self.log.entries(self.at, Some(newest), PIECE);
                self.ahead = next.await?.into();
            }
            let Some((key, entry)) = self.ahead.pop_front_if(|(key, _)| *key <= link.last) else {
                break;
            };
            last = Some(entry.id);
            self.take(key, &entry, watch);
        }
        Ok(if self.chain == link.chain && self.at == link.last {
            Ok(())
        } else {
            Err(Broken::Changed {
                good,
                linked: link.chain.position,
                found: self.chain.position,
                last,
            })
        })
    }

    /// What is not linked yet.
    async fn rest(&mut self, watch: &mut impl Watch) -> Result<(), StoreError> {
        loop {
            let entries = self.log.entries(self.at, None, PIECE).await?;
            if entries.is_empty() {
                return Ok(());
            }
            for (key, entry) in entries {
                self.take(key, &entry, watch);
            }
            if !watch.goes_on() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, key: AuditKey, entry: &AuditEntry, watch: &mut impl Watch) {
        self.at = key;
        self.chain.add(entry);
        let (oldest, newest) = self.span.unwrap_or((entry.at_ms, entry.at_ms));
        self.span = Some((oldest.min(entry.at_ms), newest.max(entry.at_ms)));
        self.look_for_head();
        watch.entry(entry, self.chain);
    }

    fn look_for_head(&mut self) {
        if self.head == Some(self.chain.head) {
            self.found = Some(self.chain.position);
        }
    }
}

impl Watch for () {
    fn entry(&mut self, _: &AuditEntry, _: Chain) {}
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed {
                good,
                linked,
                found,
                last,
            } => {
                write!(
                    f,
                    "the audit log was changed between position {} and {linked}: ",
                    good + 1
                )?;
                if found == linked {
                    f.write_str("the entries there are not those that were written")?;
                } else {
                    write!(f, "there are {found} entries where {linked} were written")?;
                }
                match last {
                    Some(id) => write!(f, "; the last of them is {id}"),
                    None => Ok(()),
                }
            }
            Self::Unlinked { good, beyond } => write!(
                f,
                "behind position {good} there are {beyond} entries that Bellhop has not written: they are in no link"
            ),
            Self::PurgedMeanwhile => f.write_str(
                "the oldest entries of the audit log went while it was read, as audit_retention_seconds says",
            ),
            Self::NoSuchHead {
                head,
                entries,
                purged,
            } => {
                write!(
                    f,
                    "none of the {entries} entries has the hash {head}: the log was cut or rewritten, or the hash is that of \
                     another log"
                )?;
                match purged {
                    0 => Ok(()),
                    _ => write!(
                        f,
                        ", or of an entry up to position {purged}: these have gone, as audit_retention_seconds says"
                    ),
                }
            }
        }
    }
}
