//! Pages and the commands that their forms give: a file for each noun.

pub mod applications;
pub mod audit;
pub mod backfill;
pub mod catalogue;
pub mod debug_signature;
pub mod deliveries;
pub mod delivery;
pub mod enterprises;
pub mod integration;
pub mod integrations;
pub mod keys;
pub mod named;
pub mod operational;
pub mod overview;
pub mod play;
pub mod replays;
pub mod search;
pub mod theme;
pub mod webhook;
pub mod webhook_credentials;
pub mod webhook_history;
pub mod webhook_secrets;
pub mod webhook_settings;
pub mod webhooks;
