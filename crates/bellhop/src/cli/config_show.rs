//! `bellhop config show`: what holds, and why.

use std::io::Write as _;

use serde_json::json;

use super::{Failure, flags::SettingFlags, style::DIM};
use crate::config::Shown;

/// Look at the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Show(ShowArgs),
}

/// Print every setting as `serve` would see it. Secrets are masked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop config show --origin
  bellhop config show --config /etc/bellhop.toml -o json")]
pub struct ShowArgs {
    /// Say where each value comes from.
    #[arg(long)]
    origin: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Output {
    /// Aligned columns, for people.
    Table,
    /// One document.
    Json,
}

/// Prints the settings.
pub fn run(command: &Command) -> Result<(), Failure> {
    let Command::Show(args) = command;
    let shown = args.settings.load()?.shown;
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Table => {
            for line in table(&shown, args.origin) {
                writeln!(out, "{line}")?;
            }
        }
        Output::Json => {
            let items: Vec<_> = shown.iter().map(|one| as_json(one, args.origin)).collect();
            writeln!(out, "{:#}", json!(items))?;
        }
    }
    Ok(())
}

fn table(shown: &[Shown], with_origin: bool) -> Vec<String> {
    let value = |one: &Shown| match &one.value {
        Some(value) if !value.is_empty() => value.clone(),
        _ => unset(one.name).to_owned(),
    };
    let name_width = shown.iter().map(|one| one.name.len()).max().unwrap_or(0);
    let value_width = shown.iter().map(|one| value(one).len()).max().unwrap_or(0);
    let line = |one: &Shown| {
        let (name, value) = (one.name, value(one));
        if with_origin {
            let origin = &one.origin;
            format!("{name:name_width$}  {value:value_width$}  {DIM}{origin}{DIM:#}")
        } else {
            format!("{name:name_width$}  {value}").trim_end().to_owned()
        }
    };
    shown.iter().map(line).collect()
}

/// What it means that nothing sets this.
fn unset(name: &str) -> &'static str {
    match name {
        "database_url" => "(SQLite in data_dir)",
        "operator_key" | "encryption_key" => "(made in data_dir on first start)",
        "operator_webhook_secret" => "(made in data_dir when needed)",
        _ => "(none)",
    }
}

fn as_json(one: &Shown, with_origin: bool) -> serde_json::Value {
    let mut item = json!({"Name": one.name, "Value": one.value});
    if with_origin {
        item["Origin"] = json!(one.origin.to_string());
    }
    item
}
