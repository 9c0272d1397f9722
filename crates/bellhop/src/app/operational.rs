//! Who tells the operator, as the settings have it.

use std::{fs, sync::Arc};

use anyhow::Context;

use crate::{
    config::{Config, Egress},
    delivery::{
        attempt::Attempts,
        egress::EgressPolicy,
        operational::{Mail, MailOptions, Operational, OperatorWebhook, Parts, destinations},
    },
    domain::{operational::Destination, secret_text::SecretText},
    feed::Feed,
    store::Store,
};

/// Where the operator is told.
#[derive(Debug)]
pub struct Operator {
    webhook: Option<OperatorWebhook>,
    mail: Option<Mail>,
}

impl Operator {
    /// As the settings have it. A URL that the guard refuses stops the start: nobody would find out.
    pub fn of(
        config: &Config,
        secret: Option<SecretText>,
        policy: &EgressPolicy,
        attempts: &Attempts,
    ) -> anyhow::Result<Self> {
        let webhook = match (&config.operator_webhook.url, secret) {
            (Some(url), Some(secret)) => {
                let made = OperatorWebhook::new(url.clone(), secret, policy, attempts);
                Some(made.map_err(|refused| {
                    anyhow::anyhow!("operator_webhook_url is refused: {refused}")
                })?)
            }
            _ => None,
        };
        let mail = match &config.mail {
            Some(options) => Some(mail_with(options.clone(), &config.egress)?),
            None => None,
        };
        Ok(Self { webhook, mail })
    }

    /// Where that is.
    pub fn destinations(&self) -> Vec<Destination> {
        destinations(self.webhook.as_ref(), self.mail.as_ref())
    }

    /// Who tells.
    pub fn teller(
        self,
        store: Arc<dyn Store>,
        feed: Arc<Feed>,
        attempts: &Attempts,
    ) -> Operational {
        Operational::new(Arc::new(Parts {
            store,
            feed,
            clock: attempts.clock.clone(),
            random: attempts.random.clone(),
            webhook: self.webhook,
            mail: self.mail,
        }))
    }
}

fn mail_with(options: MailOptions, egress: &Egress) -> anyhow::Result<Mail> {
    let authorities = match &egress.ca_file {
        None => None,
        Some(path) => {
            let named = || format!("cannot read {} (BELLHOP_EGRESS_CA_FILE)", path.display());
            Some(fs::read(path).with_context(named)?)
        }
    };
    let mail = Mail::new(MailOptions {
        authorities,
        ..options
    });
    mail.context("the mail server cannot be spoken to with TLS")
}
