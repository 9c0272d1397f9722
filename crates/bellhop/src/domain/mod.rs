//! What is decided, and nothing that does it: no clock, no random numbers, no SQL, no HTTP, no waiting.

pub mod access;
pub mod access_token;
pub mod api_key;
pub mod audit;
pub mod authentication;
pub mod cause;
pub mod delivery;
pub mod enterprise;
pub mod event;
pub mod header;
pub mod health;
pub mod integration;
pub mod masked;
pub mod operational;
pub mod operational_mail;
pub mod replay;
pub mod retry;
pub mod secret_text;
pub mod sent;
pub mod sign_in;
pub mod signatures;
pub mod webhook;
