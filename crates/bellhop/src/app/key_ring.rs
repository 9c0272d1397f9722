//! Takes up a changed key ring without a restart.

use std::{sync::Arc, time::Duration};

use crate::{
    config::{ConfigError, KeyRing},
    telemetry::Metrics,
    vault::Vault,
};

/// How often the file is read. It is a hundred bytes.
const READ_EVERY: Duration = Duration::from_secs(2);

/// Reads the file of the ring again and again.
#[derive(Debug)]
pub struct RingWatch {
    pub ring: KeyRing,
    pub vault: Arc<Vault>,
    pub metrics: Arc<Metrics>,
}

impl RingWatch {
    /// Works until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        self.show();
        let mut said = None;
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(READ_EVERY) => {}
            }
            let ring = self.ring.clone();
            let read = tokio::task::spawn_blocking(move || ring.read()).await;
            let Ok(read) = read else { continue };
            match self.take_up(read) {
                Ok(()) => said = None,
                // The same every other second helps nobody.
                Err(error) if said.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "the encryption keys could not be read again; those that are known stay");
                    said = Some(error);
                }
            }
        }
    }

    fn show(&self) {
        let ids = self.vault.ids();
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.metrics.encryption_keys(&ids);
    }

    fn take_up(&self, read: Result<Option<Vec<[u8; 32]>>, ConfigError>) -> Result<(), String> {
        let Some(keys) = read.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let taken = Vault::new(&keys).map_err(|error| error.to_string())?;
        if self.vault.take_up(taken) {
            let ids = self.vault.ids();
            tracing::info!(seals = %ids[0], opens = ?ids[1..], "the encryption keys have changed");
            self.show();
        }
        Ok(())
    }
}
