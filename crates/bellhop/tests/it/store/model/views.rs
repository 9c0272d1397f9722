//! What the dashboard asks beside the rest.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bellhop::{
    domain::{
        access_token::TokenHash,
        delivery::DeliveryState,
        enterprise::{Application, Enterprise},
        sign_in::{SignIn, SignInKind},
    },
    id::{ApplicationId, WebhookId},
    store::{
        CommitError, DeliveryFilter, Failing, LINK_IS_OVER, Leaf, Noun, Page, RecentAttempt,
        SignInWrite, Span, Store as _, StoreError, Views, Written,
    },
};
use jiff::Timestamp;

use super::{KeptDelivery, ModelStore, State, commit::missing};

#[async_trait]
impl Views for ModelStore {
    async fn sign_in(&self, hash: TokenHash) -> Result<Option<SignIn>, StoreError> {
        Ok(self.state().sign_ins.get(&hash.0).cloned())
    }

    async fn failing(
        &self,
        of: Option<ApplicationId>,
        since: Timestamp,
    ) -> Result<Vec<Failing>, StoreError> {
        Ok(self.state().failing(of, since))
    }

    async fn recent_attempts(&self, webhook: WebhookId) -> Result<Vec<RecentAttempt>, StoreError> {
        let state = self.state();
        let kept = state.deliveries.values();
        let mut found: Vec<_> = kept
            .filter(|kept| kept.delivery.webhook_id == webhook)
            .flat_map(|kept| {
                kept.attempts.iter().map(|attempt| RecentAttempt {
                    delivery_id: kept.delivery.id,
                    number: attempt.number,
                    started: attempt.started,
                    duration: attempt.duration,
                    cause: attempt.cause,
                    status: attempt.response.as_ref().map(|response| response.status),
                })
            })
            .collect();
        found.sort_by_key(|attempt| std::cmp::Reverse(attempt.started));
        Ok(found)
    }

    async fn leaf(&self, filter: DeliveryFilter, page: Page, _: u32) -> Result<Leaf, StoreError> {
        Ok(Leaf {
            deliveries: self.deliveries(filter, page).await?,
            looked_to: None,
        })
    }

    async fn enterprises_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Enterprise>, StoreError> {
        let page = Page {
            after: None,
            limit: u32::MAX,
        };
        let mut found = self.enterprises(page).await?;
        found.retain(|each| has(&each.name, &part));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn applications_named(
        &self,
        part: String,
        limit: u32,
    ) -> Result<Vec<Application>, StoreError> {
        let page = Page {
            after: None,
            limit: u32::MAX,
        };
        let mut found = self.applications(page).await?;
        found.retain(|each| has(&each.name, &part));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn history(
        &self,
        webhook: WebhookId,
        moments: Vec<Timestamp>,
    ) -> Result<Vec<Span>, StoreError> {
        let state = self.state();
        let spans = moments.windows(2).map(|pair| {
            let made = |kept: &&KeptDelivery| {
                kept.delivery.webhook_id == webhook
                    && (pair[0]..pair[1]).contains(&kept.delivery.created)
            };
            let mut span = Span::default();
            for kept in state.deliveries.values().filter(made) {
                span.states[kept.delivery.state as usize] += 1;
                let attempts = kept.attempts.iter();
                span.attempts
                    .extend(attempts.map(|each| (each.duration, each.cause.is_none())));
            }
            span
        });
        Ok(spans.collect())
    }
}

fn has(name: &str, part: &str) -> bool {
    let (name, part) = (name.to_ascii_lowercase(), part.to_ascii_lowercase());
    name.contains(&part)
}

impl State {
    pub fn write_sign_in(
        &mut self,
        write: &SignInWrite,
        at: Timestamp,
    ) -> Result<Written, CommitError> {
        match write {
            SignInWrite::Keep(sign_in) => self.keep_sign_in(sign_in, at),
            SignInWrite::UseLink { link, session } => {
                let found = self.sign_ins.get(&link.0).cloned();
                let link = found
                    .filter(|link| link.kind == SignInKind::Link && link.is_open(at))
                    .ok_or_else(|| CommitError::NotNow(LINK_IS_OVER.into()))?;
                self.sign_ins.remove(&link.hash.0);
                let session = SignIn {
                    scope: link.scope,
                    key: link.key,
                    ..session.clone()
                };
                self.keep_sign_in(&session, at)
            }
            SignInWrite::Prolong {
                session,
                idle_until,
            } => {
                if let Some(kept) = self.sign_ins.get_mut(&session.0) {
                    kept.idle_until = *idle_until;
                }
                Ok(Written::SignedIn)
            }
            SignInWrite::End { session, .. } => {
                self.sign_ins.remove(&session.0);
                Ok(Written::Deleted)
            }
        }
    }

    fn keep_sign_in(&mut self, sign_in: &SignIn, at: Timestamp) -> Result<Written, CommitError> {
        if let Some(id) = sign_in.scope.application_id()
            && !self.applications.contains_key(&id)
        {
            return Err(missing(Noun::Application, id.0));
        }
        self.sign_ins.retain(|_, kept| kept.idle_until > at);
        self.sign_ins.insert(sign_in.hash.0, sign_in.clone());
        Ok(Written::SignedIn)
    }

    fn failing(&self, of: Option<ApplicationId>, since: Timestamp) -> Vec<Failing> {
        let mut groups = BTreeMap::new();
        for kept in self.deliveries.values() {
            let delivery = &kept.delivery;
            let is_waiting =
                delivery.state == DeliveryState::Pending && delivery.next_attempt.is_some();
            let has_failed = delivery.state == DeliveryState::Failed && delivery.created >= since;
            let is_own = of.is_none_or(|of| of == delivery.application_id);
            let Some(cause) = delivery
                .cause
                .filter(|_| is_own && (is_waiting || has_failed))
            else {
                continue;
            };
            let group = groups
                .entry((delivery.webhook_id, cause))
                .or_insert(Failing {
                    webhook_id: delivery.webhook_id,
                    cause,
                    waiting: 0,
                    failed: 0,
                    since: delivery.created,
                });
            group.since = group.since.min(delivery.created);
            group.waiting += u64::from(is_waiting);
            group.failed += u64::from(has_failed);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse((group.waiting, group.failed)));
        groups
    }
}
