//! The API, from its routes to a real store.

mod access;
mod audit;
mod bulk_replays;
mod events;
mod examples;
mod idempotency;
mod introspection;
mod journey;
mod keys;
mod openapi;
mod pages;
mod probes;
mod problems;
mod replays;
mod reveal;
mod secrets;
mod signatures;
mod webhooks;
