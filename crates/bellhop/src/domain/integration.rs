//! The lifecycle of an integration: one match on one screen. `docs/lifecycle.md` says it in words.

use bellhop_webhook::{
    AccessTokenText, Action, Enterprise, Integration as IntegrationRef, IntegrationApiKeyCreated,
    IntegrationChanged, IntegrationCreated, IntegrationDeleted, Message, Requestor, Service,
    UtcSecond,
};
use jiff::Timestamp;
use thiserror::Error;

use crate::{
    domain::{
        access_token::{TokenHash, Tokens},
        secret_text::SecretText,
    },
    id::{ApplicationId, EnterpriseId, IntegrationId},
};

/// The connection of one enterprise to one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// Its id.
    pub id: IntegrationId,
    /// The application that is connected.
    pub application_id: ApplicationId,
    /// The enterprise that it is connected to.
    pub enterprise_id: EnterpriseId,
    /// Its name, as messages carry it.
    pub name: String,
    /// The operational flag; kept while the integration is canceled.
    pub is_enabled: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When the subscription was canceled, unless it was reinstated.
    pub canceled: Option<Timestamp>,
    /// When it was deleted: for good.
    pub deleted: Option<Timestamp>,
    /// The sequence of its newest message.
    pub sequence: u64,
    /// The service of the enterprise that is connected (profile `2025`).
    pub service: Option<Service>,
    /// The access tokens that it accepts; none once it is deleted.
    pub tokens: Option<Tokens>,
}

/// Where an integration stands, from its two flags and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Works.
    Enabled,
    /// Switched off.
    Disabled,
    /// The subscription was canceled.
    Canceled,
    /// Gone for good.
    Deleted,
}

/// What somebody wants of an integration that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Switch it on.
    Enable,
    /// Switch it off.
    Disable,
    /// End the subscription.
    Cancel,
    /// Take the subscription up again.
    Reinstate,
    /// End it for good.
    Delete,
    /// Give it another access token.
    RegenerateAccessToken {
        /// The new token.
        token: SecretText,
        /// Until when the old one works as well.
        overlap_until: Timestamp,
    },
}

/// The commands by name, as the API spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandName {
    /// `enable`
    Enable,
    /// `disable`
    Disable,
    /// `cancel`
    Cancel,
    /// `reinstate`
    Reinstate,
    /// `delete`
    Delete,
    /// `regenerate-access-token`
    RegenerateAccessToken,
}

/// An integration that is to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntegration {
    /// Its id.
    pub id: IntegrationId,
    /// The application to connect.
    pub application_id: ApplicationId,
    /// The enterprise to connect it to.
    pub enterprise_id: EnterpriseId,
    /// Its name.
    pub name: String,
    /// Whether it starts enabled.
    pub is_enabled: bool,
    /// The service of the enterprise (profile `2025`).
    pub service: Option<Service>,
    /// Its access token.
    pub access_token: SecretText,
}

/// A transition, decided but not yet durable: the next state and the message that tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The integration as it is after.
    pub integration: Integration,
    /// What is told.
    pub message: NewMessage,
}

/// A message with its bytes, made once and sent unchanged for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// What happened.
    pub action: Action,
    /// Its position in the integration's history.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Who asked for it.
    pub requestor: Option<Requestor>,
    /// The body.
    pub body: Body,
}

/// The bytes of a message. Debug shows their number only: they may carry a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// Under the default profile; also under `2025` where the two are equal.
    pub bytes: Vec<u8>,
    /// Under the profile `2025`, if that differs.
    pub bytes_2025: Option<Vec<u8>>,
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing changes and nothing is sent.
    Unchanged,
    /// This is to be committed, whole.
    Changed(Box<Change>),
}

/// The state forbids the command.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an integration that is {} does not take the command {}", state.as_str(), command.as_str())]
pub struct Refused {
    /// The state as it is.
    pub state: State,
    /// The command that was refused.
    pub command: CommandName,
}

impl Integration {
    /// Where it stands.
    pub fn state(&self) -> State {
        match (self.deleted, self.canceled, self.is_enabled) {
            (Some(_), _, _) => State::Deleted,
            (None, Some(_), _) => State::Canceled,
            (None, None, true) => State::Enabled,
            (None, None, false) => State::Disabled,
        }
    }

    /// Decides what a command comes to. The table of `docs/lifecycle.md`.
    pub fn apply(
        &self,
        command: &Command,
        by: Option<&Requestor>,
        at: Timestamp,
    ) -> Result<Decision, Refused> {
        use Command as C;
        use State as S;
        let state = self.state();
        let next = self.clone();
        let decided = match (state, command) {
            (S::Deleted, C::Delete)
            | (S::Enabled, C::Enable)
            | (S::Disabled, C::Disable)
            | (S::Canceled, C::Cancel)
            | (S::Enabled | S::Disabled, C::Reinstate) => return Ok(Decision::Unchanged),

            (S::Deleted, _) | (S::Canceled, C::Enable | C::Disable) => {
                return Err(Refused {
                    state,
                    command: command.name(),
                });
            }

            (S::Disabled, C::Enable) => Self {
                is_enabled: true,
                ..next
            },
            (S::Enabled, C::Disable) => Self {
                is_enabled: false,
                ..next
            },
            (S::Enabled | S::Disabled, C::Cancel) => Self {
                canceled: Some(at),
                ..next
            },
            (S::Canceled, C::Reinstate) => Self {
                canceled: None,
                ..next
            },
            (_, C::Delete) => Self {
                deleted: Some(at),
                tokens: None,
                ..next
            },
            (
                _,
                C::RegenerateAccessToken {
                    token,
                    overlap_until,
                },
            ) => {
                // Without an overlap it is forgotten: no clock that is set back makes it open anything again.
                let former = next.tokens.as_ref().filter(|_| at < *overlap_until);
                let previous = former.map(|tokens| (tokens.current, *overlap_until));
                Self {
                    tokens: Some(Tokens {
                        current: TokenHash::of(token.expose()),
                        previous,
                    }),
                    ..next
                }
            }
        };
        let message = self.tell(command, at);
        Ok(Decision::Changed(Box::new(
            decided.with_message(&message, None, by, at),
        )))
    }

    fn tell(&self, command: &Command, at: Timestamp) -> Message {
        let integration = self.reference();
        match command {
            Command::Enable => Message::IntegrationEnabled(IntegrationChanged { integration }),
            Command::Disable => Message::IntegrationDisabled(IntegrationChanged { integration }),
            Command::Cancel => Message::IntegrationCanceled(IntegrationChanged { integration }),
            Command::Reinstate => {
                Message::IntegrationReinstated(IntegrationChanged { integration })
            }
            Command::Delete => Message::IntegrationDeleted(IntegrationDeleted {
                deleted_utc: UtcSecond::from(at),
                integration,
            }),
            Command::RegenerateAccessToken { token, .. } => {
                let api_key = AccessTokenText::new(token.expose());
                Message::IntegrationApiKeyCreated(IntegrationApiKeyCreated {
                    integration,
                    api_key,
                })
            }
        }
    }

    fn with_message(
        mut self,
        message: &Message,
        message_2025: Option<&Message>,
        requestor: Option<&Requestor>,
        at: Timestamp,
    ) -> Change {
        self.sequence += 1;
        let message = NewMessage {
            action: message.action(),
            sequence: self.sequence,
            at,
            requestor: requestor.cloned(),
            body: Body {
                bytes: message.to_bytes(),
                bytes_2025: message_2025.map(Message::to_bytes),
            },
        };
        Change {
            integration: self,
            message,
        }
    }

    fn reference(&self) -> IntegrationRef {
        IntegrationRef {
            id: self.id.0,
            name: self.name.clone(),
        }
    }
}

impl NewIntegration {
    /// The creation, with its message. `enterprise_name` goes into the body.
    pub fn create(&self, enterprise_name: &str, by: Option<&Requestor>, at: Timestamp) -> Change {
        let integration = Integration {
            id: self.id,
            application_id: self.application_id,
            enterprise_id: self.enterprise_id,
            name: self.name.clone(),
            is_enabled: self.is_enabled,
            created: at,
            canceled: None,
            deleted: None,
            sequence: 0,
            service: self.service.clone(),
            tokens: Some(Tokens {
                current: TokenHash::of(self.access_token.expose()),
                previous: None,
            }),
        };
        let created = IntegrationCreated {
            enterprise: Enterprise {
                id: self.enterprise_id.0,
                name: enterprise_name.to_owned(),
            },
            service: None,
            requestor: by.cloned(),
            access_token: AccessTokenText::new(self.access_token.expose()),
            created_utc: UtcSecond::from(at),
            is_enabled: self.is_enabled,
            integration: integration.reference(),
        };
        let with_service = self.service.clone().map(|service| {
            Message::IntegrationCreated(IntegrationCreated {
                service: Some(service),
                ..created.clone()
            })
        });
        integration.with_message(
            &Message::IntegrationCreated(created),
            with_service.as_ref(),
            by,
            at,
        )
    }
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Enabled, Self::Disabled, Self::Canceled, Self::Deleted];

    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::Canceled => "Canceled",
            Self::Deleted => "Deleted",
        }
    }

    /// The commands that would change something now.
    pub fn allowed(self) -> &'static [CommandName] {
        use CommandName as N;
        match self {
            Self::Enabled => &[N::Disable, N::Cancel, N::Delete, N::RegenerateAccessToken],
            Self::Disabled => &[N::Enable, N::Cancel, N::Delete, N::RegenerateAccessToken],
            Self::Canceled => &[N::Reinstate, N::Delete, N::RegenerateAccessToken],
            Self::Deleted => &[],
        }
    }
}

impl Command {
    /// Its name.
    pub fn name(&self) -> CommandName {
        match self {
            Self::Enable => CommandName::Enable,
            Self::Disable => CommandName::Disable,
            Self::Cancel => CommandName::Cancel,
            Self::Reinstate => CommandName::Reinstate,
            Self::Delete => CommandName::Delete,
            Self::RegenerateAccessToken { .. } => CommandName::RegenerateAccessToken,
        }
    }
}

impl CommandName {
    /// As the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Cancel => "cancel",
            Self::Reinstate => "reinstate",
            Self::Delete => "delete",
            Self::RegenerateAccessToken => "regenerate-access-token",
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.bytes.len())
    }
}

#[cfg(test)]
#[path = "integration_tests.rs"]
mod tests;
