//! The API, from its routes to a real store.

mod journey;
