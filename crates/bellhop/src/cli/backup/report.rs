//! What was found in a backup, as it is printed.

use std::{io::Write as _, path::Path};

use anstream::eprintln;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::{
    cli::{
        Code, Failure,
        remote::Output,
        style::{BAD, GOOD},
    },
    store::{
        StoreError,
        sqlite::{BackupReport, look_through},
    },
    vault::Vault,
};

/// Looks through a file, and shows that it does.
pub fn looked_through(file: &Path, vault: &Vault) -> Result<BackupReport, Failure> {
    // On stderr, and hidden where that is no terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let style =
        ProgressStyle::with_template("{spinner} verifying: {human_pos} rows {elapsed:.dim}");
    bar.set_style(style.expect("the template is right"));
    let report = look_through(file, vault, |rows| bar.inc(rows));
    bar.finish_and_clear();
    report.map_err(|error| refused(file, error))
}

/// What a file is not.
pub fn refused(file: &Path, error: StoreError) -> Failure {
    let name = file.display();
    match error {
        StoreError::OtherKey => {
            let cause = format!("{name} was encrypted with a key that is not known here");
            Failure::new(Code::CheckFailed, cause).hint(
                "a backup needs the keys of its time: put them behind the present one in encryption-key; bellhop key status",
            )
        }
        StoreError::Newer { .. } | StoreError::Older { .. } => {
            Failure::new(Code::Refused, format_args!("{name}: {error}"))
        }
        other => Failure::new(Code::CheckFailed, format_args!("{name}: {other}"))
            .hint("bellhop backup create makes another"),
    }
}

/// Prints it.
pub fn print(output: Output, file: &Path, report: &BackupReport) -> Result<(), Failure> {
    let document = json!({
        "File": file.display().to_string(),
        "Bytes": std::fs::metadata(file).map_or(0, |found| found.len()),
        "SchemaVersion": report.schema,
        "Integrations": report.integrations,
        "Messages": report.messages,
        "Deliveries": report.deliveries,
        "SealedValues": report.opened + report.unreadable,
        "Unreadable": report.unreadable,
        "Faults": report.faults,
        "IsWhole": report.is_whole(),
    });
    output.one(&document.to_string())?;
    std::io::stdout().flush()?;
    verdict(&document, report)
}

fn verdict(document: &Value, report: &BackupReport) -> Result<(), Failure> {
    if report.is_whole() {
        eprintln!(
            "{GOOD}ok{GOOD:#}    {} of {} sealed values open",
            report.opened,
            report.opened + report.unreadable
        );
        return Ok(());
    }
    for fault in &report.faults {
        eprintln!("{BAD}fault{BAD:#} {fault}");
    }
    let file = document["File"].as_str().unwrap_or_default();
    let cause = format!(
        "{file} is not whole: {} faults, {} values that do not open",
        report.faults.len(),
        report.unreadable
    );
    Err(Failure::new(Code::CheckFailed, cause)
        .hint("keep it, and make another: bellhop backup create"))
}
