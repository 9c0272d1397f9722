//! Nouns of the API as commands: `bellhop NOUN VERB`, a file for each noun.

pub mod api_key;
pub mod application;
pub mod delivery;
pub mod enterprise;
pub mod integration;
pub mod webhook;
mod webhook_document;

use super::{
    Failure,
    remote::{Column, Desk, Printed, RemoteArgs, column},
};

/// What every command on a resource takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Shared {
    #[command(flatten)]
    printed: Printed,
    #[command(flatten)]
    remote: RemoteArgs,
}

impl Shared {
    /// Runs this against the server.
    pub fn run(&self, work: impl AsyncFnOnce(&Desk) -> Result<(), Failure>) -> Result<(), Failure> {
        Desk::open(&self.remote, self.printed)?.run(work)
    }
}

/// One thing, by its id.
#[derive(Debug, clap::Args)]
pub struct One {
    /// Its id.
    pub id: uuid::Uuid,
    #[command(flatten)]
    pub shared: Shared,
}

/// A list.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    pub paging: super::remote::Paging,
    #[command(flatten)]
    pub shared: Shared,
}

/// Makes one that has a name.
#[derive(Debug, clap::Args)]
pub struct CreateNamed {
    /// Your own id of it; a new one unless given.
    #[arg(long)]
    pub id: Option<uuid::Uuid>,
    /// Its name.
    #[arg(long)]
    pub name: String,
    #[command(flatten)]
    pub shared: Shared,
}

/// Gives one another name.
#[derive(Debug, clap::Args)]
pub struct Rename {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its new name.
    #[arg(long)]
    pub name: String,
    #[command(flatten)]
    pub shared: Shared,
}

/// Columns of what has a name and not much else.
const NAMED: &[Column] = &[
    column("ID", "Id"),
    column("NAME", "Name"),
    column("CREATED (UTC)", "CreatedUtc"),
];

/// The members that are given; what is not is left out.
fn members<const N: usize>(given: [(&str, Option<serde_json::Value>); N]) -> serde_json::Value {
    let given = given.into_iter();
    given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
