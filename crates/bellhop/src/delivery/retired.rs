//! Secrets that must not sign any more although something that was made ready with them is under way.

use std::{collections::HashMap, sync::RwLock};

use crate::id::WebhookId;

/// Most webhooks that are remembered, twice. One is forgotten after so many others were retired; what was made ready before
/// has long been sent by then.
const MAX_KEPT: usize = 20_000;

/// The webhooks whose secrets were replaced lately.
#[derive(Debug, Default)]
pub struct Retired(RwLock<Generations>);

/// For each webhook the first revision that may still sign.
#[derive(Debug, Default)]
struct Generations {
    newest: HashMap<WebhookId, u64>,
    former: HashMap<WebhookId, u64>,
}

impl Retired {
    /// When this returns, nothing is signed any more, by this process, with what the webhook had before this revision.
    pub fn retire(&self, webhook: WebhookId, before: u64) {
        let mut retired = self.0.write().expect("no holder panics");
        if retired.newest.len() >= MAX_KEPT {
            retired.former = std::mem::take(&mut retired.newest);
        }
        let first = retired.newest.entry(webhook).or_default();
        *first = before.max(*first);
    }

    /// Signs, unless the secrets of this revision were retired. Whoever retires them waits for signatures in the making.
    pub fn sign<Signature>(
        &self,
        webhook: WebhookId,
        revision: u64,
        sign: impl FnOnce() -> Signature,
    ) -> Option<Signature> {
        let retired = self.0.read().expect("no holder panics");
        (!retired.is_retired(webhook, revision)).then(sign)
    }
}

impl Generations {
    fn is_retired(&self, webhook: WebhookId, revision: u64) -> bool {
        [&self.newest, &self.former]
            .iter()
            .any(|of| of.get(&webhook).is_some_and(|first| revision < *first))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn signs(retired: &Retired, webhook: u128, revision: u64) -> bool {
        let webhook = WebhookId(Uuid::from_u128(webhook));
        retired.sign(webhook, revision, String::new).is_some()
    }

    #[test]
    fn what_was_made_ready_before_does_not_sign() {
        let retired = Retired::default();
        assert!(signs(&retired, 1, 0));
        for before in [7, 5] {
            retired.retire(WebhookId(Uuid::from_u128(1)), before);
        }
        let which = [4, 6, 7, 8].map(|revision| signs(&retired, 1, revision));
        assert_eq!(which, [false, false, true, true]);
        assert!(signs(&retired, 2, 0));
    }

    #[test]
    fn it_is_bounded_and_the_newest_are_kept() {
        let retired = Retired::default();
        let last = 3 * MAX_KEPT as u128;
        for webhook in 0..=last {
            retired.retire(WebhookId(Uuid::from_u128(webhook)), 1);
        }
        assert!(signs(&retired, 0, 0));
        for webhook in [last, last - MAX_KEPT as u128] {
            assert!(!signs(&retired, webhook, 0));
        }
        let kept = retired.0.read().unwrap();
        assert!(kept.newest.len() + kept.former.len() <= 2 * MAX_KEPT);
    }
}
