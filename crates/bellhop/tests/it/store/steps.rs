//! The steps of a random history, and what they mean: numbers in a step choose among what there is.

use std::{sync::Arc, time::Duration};

use bellhop::{
    clock::Clock as _,
    domain::{
        access_token,
        audit::AuditSubject,
        cause::Cause,
        delivery::{Next, Outcome, Tried, WebhookEffect, decide},
        integration::{Command, NewIntegration},
        replay::ReplayCommand,
        secret_text::SecretText,
        webhook::{ActionFilter, WebhookState},
    },
    id::{ApplicationId, DeliveryId, EnterpriseId, Ids, IntegrationId, WebhookId},
    store::{Answer, Claim, NewWebhook, Remember, Shown, WebhookPatch, Write, Written},
};
use bellhop_webhook::{Action, Profile, Service};
use jiff::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

use super::world::schedule;
use crate::support::{clock::ManualClock, random::SeededRandom};

/// Most integrations and webhooks of a history: few, so that steps meet.
const MOST: usize = 4;

/// One step.
#[derive(Debug, Clone)]
pub enum Step {
    PutEnterprise {
        name: u8,
    },
    CreateWebhook {
        only_enabled: bool,
        modern: bool,
    },
    SetState {
        webhook: usize,
        state: WebhookState,
    },
    SetProfile {
        webhook: usize,
        modern: bool,
    },
    SetActions {
        webhook: usize,
        only_enabled: bool,
    },
    DeleteWebhook {
        webhook: usize,
    },
    RotateSecret {
        webhook: usize,
    },
    CreateIntegration {
        is_enabled: bool,
        with_service: bool,
    },
    Command {
        integration: usize,
        command: u8,
        key: Option<u8>,
    },
    Replay {
        delivery: usize,
    },
    Discard {
        delivery: usize,
    },
    Claim {
        webhook: usize,
        limit: usize,
    },
    Record {
        which: usize,
        end: End,
    },
    RecordLost {
        which: usize,
    },
    Release {
        which: usize,
    },
    Operational {
        is_taken: bool,
    },
    /// By the state of the deliveries; of all beyond the last.
    StartReplay {
        state: usize,
    },
    StartBackfill {
        webhook: usize,
    },
    MoveRun {
        which: usize,
    },
    CommandRun {
        which: usize,
        command: ReplayCommand,
    },
    /// A receiver that fails for a while.
    Suffer {
        webhook: usize,
    },
    Reopen,
    Purge {
        seconds: u64,
    },
    Erase {
        seconds: u64,
    },
    Wait {
        seconds: u64,
    },
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Delivered,
    Failed,
    Gone,
    RateLimited { seconds: u64 },
}

/// Histories that begin with something to do.
pub fn a_history(length: usize) -> impl Strategy<Value = Vec<Step>> {
    // The first makes the application, the second the enterprise.
    let begin = vec![
        Step::PutEnterprise { name: 0 },
        Step::PutEnterprise { name: 1 },
        Step::CreateWebhook {
            only_enabled: false,
            modern: false,
        },
        Step::CreateIntegration {
            is_enabled: true,
            with_service: true,
        },
    ];
    prop::collection::vec(a_step(), 1..length)
        .prop_map(move |steps| [begin.clone(), steps].concat())
}

fn a_step() -> impl Strategy<Value = Step> {
    let which = || 0..1000_usize;
    let end = prop_oneof![
        6 => Just(End::Delivered),
        5 => Just(End::Failed),
        1 => Just(End::Gone),
        1 => (0..40_u64).prop_map(|seconds| End::RateLimited { seconds }),
    ];
    let state = prop_oneof![
        2 => Just(WebhookState::Enabled),
        1 => Just(WebhookState::Paused),
        1 => Just(WebhookState::Disabled),
    ];
    let command = prop_oneof![
        2 => Just(ReplayCommand::Pause),
        3 => Just(ReplayCommand::Resume),
        1 => Just(ReplayCommand::Cancel),
    ];
    prop_oneof![
        2 => (0..5_usize).prop_map(|state| Step::StartReplay { state }),
        2 => which().prop_map(|webhook| Step::StartBackfill { webhook }),
        6 => which().prop_map(|which| Step::MoveRun { which }),
        2 => (which(), command).prop_map(|(which, command)| Step::CommandRun { which, command }),
        1 => (0..4_u8).prop_map(|name| Step::PutEnterprise { name }),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(only_enabled, modern)| Step::CreateWebhook { only_enabled, modern }),
        2 => (which(), state).prop_map(|(webhook, state)| Step::SetState { webhook, state }),
        1 => (which(), any::<bool>()).prop_map(|(webhook, modern)| Step::SetProfile { webhook, modern }),
        1 => (which(), any::<bool>())
            .prop_map(|(webhook, only_enabled)| Step::SetActions { webhook, only_enabled }),
        1 => which().prop_map(|webhook| Step::DeleteWebhook { webhook }),
        1 => which().prop_map(|webhook| Step::RotateSecret { webhook }),
        3 => (any::<bool>(), any::<bool>())
            .prop_map(|(is_enabled, with_service)| Step::CreateIntegration { is_enabled, with_service }),
        16 => (which(), 0..24_u8, prop::option::weighted(0.3, 0..6_u8))
            .prop_map(|(integration, command, key)| Step::Command { integration, command, key }),
        3 => which().prop_map(|delivery| Step::Replay { delivery }),
        3 => which().prop_map(|delivery| Step::Discard { delivery }),
        12 => (which(), 0..4_usize).prop_map(|(webhook, limit)| Step::Claim { webhook, limit }),
        12 => (which(), end).prop_map(|(which, end)| Step::Record { which, end }),
        1 => which().prop_map(|which| Step::RecordLost { which }),
        1 => which().prop_map(|which| Step::Release { which }),
        3 => any::<bool>().prop_map(|is_taken| Step::Operational { is_taken }),
        1 => which().prop_map(|webhook| Step::Suffer { webhook }),
        1 => Just(Step::Reopen),
        2 => (0..60_u64).prop_map(|seconds| Step::Purge { seconds }),
        4 => (0..40_u64).prop_map(|seconds| Step::Erase { seconds }),
        3 => (0..30_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

impl Step {
    /// The delivery that it is about.
    pub fn delivery(&self) -> Option<usize> {
        match self {
            Self::Replay { delivery } | Self::Discard { delivery } => Some(*delivery),
            _ => None,
        }
    }
}

/// The world of a history: who is in it, and what time it is.
pub struct Steps {
    clock: ManualClock,
    ids: Ids,
    random: SeededRandom,
    enterprise: EnterpriseId,
    application: ApplicationId,
    webhooks: Vec<WebhookId>,
    integrations: Vec<IntegrationId>,
    has_application: bool,
}

impl Steps {
    pub fn new() -> Self {
        let ids = Ids::new(Arc::new(SeededRandom::new(5)));
        let clock = ManualClock::new();
        Self {
            enterprise: ids.next(clock.now()),
            application: ids.next(clock.now()),
            clock,
            ids,
            random: SeededRandom::new(6),
            webhooks: Vec::new(),
            integrations: Vec::new(),
            has_application: false,
        }
    }

    /// A moment that no step had before: the order of what is due is never a matter of chance.
    pub fn tick(&self) {
        self.clock.advance(Duration::from_millis(7));
    }

    pub fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn id<Id: From<Uuid>>(&self) -> Id {
        self.ids.next(self.now())
    }

    pub fn webhook(&self, which: usize) -> Option<WebhookId> {
        let place = which.checked_rem(self.webhooks.len())?;
        self.webhooks.get(place).copied()
    }

    pub fn webhooks(&self) -> usize {
        self.webhooks.len()
    }

    /// What an attempt of this claim comes to.
    pub fn outcome(&self, claim: &Claim, end: End) -> (Next, Option<WebhookEffect>) {
        let failed = |cause, retry_after| Outcome::Failed { cause, retry_after };
        let outcome = match end {
            End::Delivered => Outcome::Succeeded,
            End::Failed => failed(Cause::ServerError, None),
            End::Gone => failed(Cause::Gone, None),
            End::RateLimited { seconds } => {
                failed(Cause::RateLimited, Some(Duration::from_secs(seconds)))
            }
        };
        let tried = Tried {
            state: claim.state,
            tries: claim.tries,
            planned: claim.planned,
            ended: self.now(),
        };
        decide(tried, outcome, &schedule(), 0.0)
    }

    /// The same key stands for the same request only sometimes.
    pub fn remember(&self, step: &Step) -> Option<Remember> {
        let Step::Command {
            key: Some(key),
            command,
            ..
        } = step
        else {
            return None;
        };
        Some(Remember {
            key: [key % 3; 32],
            fingerprint: [command % 2; 32],
            until: self.now() + Duration::from_secs(20),
            shows: |_| {
                Some(Shown {
                    secret: "AccessToken",
                    subject: AuditSubject::Integration,
                    id: Uuid::nil(),
                    application_id: None,
                })
            },
            render: Arc::new(|written| Answer(format!("{written:?}").into_bytes())),
        })
    }

    /// Remembers who exists now.
    pub fn note(&mut self, written: &Written) {
        match written {
            Written::Webhook(webhook) if !self.webhooks.contains(&webhook.id) => {
                self.webhooks.push(webhook.id);
            }
            Written::Integration { integration, .. }
                if !self.integrations.contains(&integration.id) =>
            {
                self.integrations.push(integration.id);
            }
            Written::Application(_) => self.has_application = true,
            _ => {}
        }
    }

    /// The write of a step, for both stores: they differ in the ids of deliveries alone.
    pub fn writes(&self, step: &Step, deliveries: [DeliveryId; 2]) -> [Write; 2] {
        match step {
            Step::Replay { .. } => deliveries.map(|id| Write::Replay { id }),
            Step::Discard { .. } => deliveries.map(|id| Write::Discard {
                id,
                reason: "not wanted".into(),
            }),
            other => {
                let write = self.write(other);
                [write.clone(), write]
            }
        }
    }

    fn write(&self, step: &Step) -> Write {
        let id = |which: &usize| self.webhook(*which).unwrap_or(WebhookId(Uuid::nil()));
        match step {
            Step::PutEnterprise { name: 0 } if !self.has_application => Write::CreateApplication {
                id: self.application,
                name: "Booking engine".into(),
            },
            Step::PutEnterprise { name } => self.put_enterprise(*name),
            Step::CreateWebhook { .. } if self.webhooks.len() >= MOST => self.put_enterprise(7),
            Step::CreateWebhook {
                only_enabled,
                modern,
            } => self.create_webhook(*only_enabled, *modern),
            Step::SetState { webhook, state } => update(
                id(webhook),
                WebhookPatch {
                    state: Some((*state, None)),
                    ..WebhookPatch::default()
                },
            ),
            Step::SetProfile { webhook, modern } => update(
                id(webhook),
                WebhookPatch {
                    profile: Some(profile(*modern)),
                    ..WebhookPatch::default()
                },
            ),
            Step::SetActions {
                webhook,
                only_enabled,
            } => update(
                id(webhook),
                WebhookPatch {
                    actions: Some(actions(*only_enabled)),
                    ..WebhookPatch::default()
                },
            ),
            Step::DeleteWebhook { webhook } => Write::DeleteWebhook { id: id(webhook) },
            Step::RotateSecret { webhook } => Write::RotateSecret {
                id: id(webhook),
                secret: SecretText::new(format!("whsec_{}", self.now())),
                overlap_until: self.now() + Duration::from_secs(30),
            },
            Step::CreateIntegration { .. } if self.integrations.len() >= MOST => {
                self.put_enterprise(8)
            }
            Step::CreateIntegration {
                is_enabled,
                with_service,
            } => self.create_integration(*is_enabled, *with_service),
            Step::Command {
                integration,
                command,
                ..
            } => self.command(*integration, *command),
            other => unreachable!("{other:?} writes nothing"),
        }
    }

    fn put_enterprise(&self, name: u8) -> Write {
        Write::PutEnterprise {
            id: self.enterprise,
            name: format!("Hotel {name}"),
        }
    }

    fn create_webhook(&self, only_enabled: bool, modern: bool) -> Write {
        Write::CreateWebhook(Box::new(NewWebhook {
            id: self.ids.next(self.now()),
            application_id: self.application,
            secret: SecretText::new("whsec_first"),
            settings: WebhookPatch {
                url: Some(SecretText::new("https://receiver.example/")),
                actions: Some(actions(only_enabled)),
                profile: Some(profile(modern)),
                retry_schedule: Some(schedule()),
                ..WebhookPatch::default()
            },
        }))
    }

    fn create_integration(&self, is_enabled: bool, with_service: bool) -> Write {
        let id = self.ids.next(self.now());
        let service = Service {
            id: Uuid::nil(),
            name: "Restaurant".into(),
        };
        Write::CreateIntegration {
            new: Box::new(NewIntegration {
                id,
                application_id: self.application,
                enterprise_id: self.enterprise,
                name: "Front desk".into(),
                is_enabled,
                service: with_service.then_some(service),
                access_token: access_token::generate(id, &self.random),
            }),
            requestor: None,
        }
    }

    fn command(&self, which: usize, command: u8) -> Write {
        let place = which % self.integrations.len().max(1);
        let id = self.integrations.get(place).copied();
        let id = id.unwrap_or(IntegrationId(Uuid::nil()));
        let command = match command {
            0..9 => Command::Enable,
            9..18 => Command::Disable,
            18 => Command::Cancel,
            19..21 => Command::Reinstate,
            21..23 => Command::RegenerateAccessToken {
                token: access_token::generate(id, &self.random),
                overlap_until: self.now() + Duration::from_secs(10),
            },
            _ => Command::Delete,
        };
        Write::Command {
            id,
            command,
            requestor: None,
        }
    }
}

fn update(id: WebhookId, patch: WebhookPatch) -> Write {
    Write::UpdateWebhook {
        id,
        if_revision: None,
        patch: Box::new(patch),
    }
}

fn profile(modern: bool) -> Profile {
    if modern {
        Profile::V2025
    } else {
        Profile::Default
    }
}

fn actions(only_enabled: bool) -> ActionFilter {
    if only_enabled {
        ActionFilter::of(&[Action::IntegrationEnabled, Action::IntegrationDisabled])
    } else {
        ActionFilter::ALL
    }
}
