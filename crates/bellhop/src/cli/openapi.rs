//! `bellhop openapi`: the API's description of itself.

use std::io::{self, Write as _};

use super::Failure;
use crate::api::openapi_json;

/// Print the API's description (OpenAPI 3.1, the messages under `webhooks`).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop openapi > openapi.json
  curl http://127.0.0.1:8080/openapi.json      the same from a running server")]
pub struct Args {}

/// Prints it, byte for byte as the server serves it.
pub fn run() -> Result<(), Failure> {
    Ok(io::stdout().write_all(openapi_json().as_bytes())?)
}
