//! The command line: one file for each command.

mod audit;
mod backup;
mod banner;
mod client;
mod completions;
mod config_show;
mod demo;
mod doctor;
mod encryption_key;
mod event_stream;
mod failure;
mod filter;
mod flags;
mod listen;
mod local;
mod log;
mod open_files;
mod openapi;
pub mod receive;
mod remote;
mod replay;
mod resource;
mod secret_input;
mod serve;
mod sign_in;
mod store;
mod style;
mod tail;
mod trigger;
mod verify;
mod wait;
mod which_webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::{Code, Failure};

/// Integration webhooks, delivered in order, signed, at least once.
#[derive(Debug, Parser)]
#[command(name = "bellhop", version, styles = style::HELP, max_term_width = 100)]
#[command(after_help = "\
Examples:
  bellhop demo                     see it work: no configuration, no network
  bellhop serve                    start the server with its data in ./bellhop-data
  bellhop receive --behave 500     a receiver to try things out on

Exit codes: 0 ok, 1 other, 2 usage, 3 not found, 4 not allowed, 5 refused,
6 server unreachable, 7 check failed, 8 timed out.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    SignIn(sign_in::Args),
    Demo(demo::Args),
    Receive(receive::Args),
    Verify(verify::Args),
    Listen(listen::Args),
    Trigger(trigger::Args),
    Tail(tail::Args),
    Replay(Box<replay::Args>),
    #[command(subcommand)]
    Enterprise(resource::enterprise::Command),
    #[command(subcommand)]
    Application(resource::application::Command),
    #[command(subcommand)]
    Webhook(resource::webhook::Command),
    #[command(subcommand)]
    Integration(resource::integration::Command),
    #[command(subcommand)]
    Delivery(resource::delivery::Command),
    #[command(subcommand)]
    ApiKey(resource::api_key::Command),
    #[command(subcommand)]
    Config(config_show::Command),
    #[command(subcommand)]
    Key(encryption_key::Command),
    #[command(subcommand)]
    Store(store::Command),
    #[command(subcommand)]
    Audit(audit::Command),
    #[command(subcommand)]
    Backup(backup::Command),
    Doctor(Box<doctor::Args>),
    Openapi(openapi::Args),
    Completions(completions::Args),
    Man(completions::ManArgs),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::SignIn(args) => sign_in::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Receive(args) => receive::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Trigger(args) => trigger::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Enterprise(command) => resource::enterprise::run(&command),
        Command::Application(command) => resource::application::run(&command),
        Command::Webhook(command) => resource::webhook::run(&command),
        Command::Integration(command) => resource::integration::run(&command),
        Command::Delivery(command) => resource::delivery::run(&command),
        Command::ApiKey(command) => resource::api_key::run(&command),
        Command::Config(command) => config_show::run(&command),
        Command::Key(command) => encryption_key::run(&command),
        Command::Store(command) => store::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Backup(command) => backup::run(&command),
        Command::Doctor(args) => doctor::run(&args),
        Command::Openapi(_) => openapi::run(),
        Command::Completions(args) => completions::run(&args),
        Command::Man(_) => completions::man(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A runtime for a command that is not the server: one thread is plenty.
fn small_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
