//! `bellhop sign-in`: another link to the dashboard, from the server that runs here.

use std::{
    fs::{DirBuilder, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
};

use serde::Deserialize;

use super::{Code, Failure, banner::urls, client::Client, flags::SettingFlags, small_runtime};
use crate::{app::App, config::Config, domain::secret_text::SecretText, random::SystemRandom};

/// Print a link that signs in to the dashboard, once, within 30 minutes.
///
/// Run it where the server runs, with the same settings: it asks that server, with the operator's key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bellhop sign-in                          the server with its data in ./bellhop-data
  bellhop sign-in --data-dir /var/lib/bellhop
  bellhop sign-in --url https://hooks.example.com   where people reach it from")]
pub struct Args {
    /// Where people reach the server from; the link begins so. It is still asked where it listens.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    settings: SettingFlags,
}

/// What the server answers.
#[derive(Deserialize)]
struct Link {
    #[serde(rename = "Path")]
    path: String,
}

/// Asks for a link and prints it.
pub fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?.config;
    if let Some(path) = config.operator_key_file()
        && !path.exists()
    {
        let cause = format!("there is no operator key at {}", path.display());
        return Err(Failure::new(Code::NotFound, cause).hint(
            "name the server's data directory with --data-dir, or give its key as BELLHOP_OPERATOR_KEY_FILE",
        ));
    }
    let key = config.open_secrets(&SystemRandom)?.operator_key;
    let server = urls(config.listen).swap_remove(0);
    let client = Client::new(&server, key)?;
    let nothing = serde_json::json!({});
    let asked = client.post("/dashboard/links", &nothing);
    let link: Link = small_runtime()?.block_on(asked)?;
    let base = args.url.as_deref().unwrap_or(&server).trim_end_matches('/');
    writeln!(io::stdout(), "{base}{}", link.path)?;
    Ok(())
}

/// Makes the link with which a server greets, and keeps it in its file. Failing to keep it does not keep the server from
/// serving.
pub async fn greet(app: &App, config: &Config) -> Result<SecretText, Failure> {
    let path = app.sign_in_link().await?;
    let base = urls(app.local_addr()?).swap_remove(0);
    let link = SecretText::new(format!("{base}{}", path.expose()));
    if let Err(error) = keep(config, &link) {
        let file = config.sign_in_link_file();
        tracing::warn!(%error, file = %file.display(), "the link to sign in was not written");
    }
    Ok(link)
}

/// Nobody but the owner reads the file.
fn keep(config: &Config, link: &SecretText) -> io::Result<()> {
    let directory = &config.data_dir;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o600))?;
    writeln!(file, "{}", link.expose())?;
    file.persist(config.sign_in_link_file())?;
    Ok(())
}
