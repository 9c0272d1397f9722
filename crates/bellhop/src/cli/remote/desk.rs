//! Asking a server for things, and printing them.

use std::fmt::Write as _;

use anstream::eprintln;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Column, Output, Printed, RemoteArgs, encoded};
use crate::cli::{
    Failure,
    client::{Answered, Client, unexpected},
    small_runtime,
    style::DIM,
};

/// Most items that one page of the API has.
const PAGE: u32 = 1000;

/// How much of a list.
#[derive(Debug, Clone, clap::Args)]
pub struct Paging {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All, however many there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on where a list before ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// A part of a list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    next_cursor: Option<String>,
}

/// A server and a way to print.
#[derive(Debug)]
pub struct Desk {
    /// The server.
    pub client: Client,
    /// How to print.
    pub output: Output,
}

impl Desk {
    /// Of these flags.
    pub fn open(remote: &RemoteArgs, printed: Printed) -> Result<Self, Failure> {
        Ok(Self {
            client: remote.client()?,
            output: printed.output,
        })
    }

    /// For what comes bit by bit: what is not for people is one document a line.
    pub fn following(remote: &RemoteArgs) -> Result<Self, Failure> {
        let output = Output::Jsonl;
        Self::open(remote, Printed { output })
    }

    /// Runs this to its end.
    pub fn run(&self, work: impl AsyncFnOnce(&Self) -> Result<(), Failure>) -> Result<(), Failure> {
        small_runtime()?.block_on(work(self))
    }

    /// Prints a list, page by page.
    pub async fn list(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        paging: &Paging,
        columns: &[Column],
    ) -> Result<(), Failure> {
        let mut left = if paging.all { u32::MAX } else { paging.limit };
        let mut cursor = paging.cursor.clone();
        let (mut widths, mut whole, mut count) = (None, Vec::new(), 0_usize);
        loop {
            let path = page_path(path, query, left.min(PAGE), cursor.as_deref());
            let text = self.client.ask(Method::GET, path).send().await?.text;
            let page: Page<'_> = serde_json::from_str(&text).map_err(|error| unexpected(&error))?;
            count += page.items.len();
            left = left.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
            if self.output == Output::Json {
                whole.extend(page.items.iter().map(|item| item.get().to_owned()));
            } else if !(page.items.is_empty() && self.output == Output::Table) {
                self.output.part(&page.items, columns, &mut widths)?;
            }
            cursor = page.next_cursor;
            if cursor.is_none() || left == 0 {
                break;
            }
        }
        if self.output == Output::Json {
            let (items, next) = (whole.join(","), serde_json::json!(cursor));
            let document = format!("{{\"Items\":[{items}],\"NextCursor\":{next}}}");
            self.output.one(&document)?;
        }
        if count == 0 && self.output == Output::Table {
            eprintln!("{DIM}There are none.{DIM:#}");
        }
        if let (Some(cursor), Output::Table) = (cursor, self.output) {
            eprintln!("{DIM}There are more: --cursor {cursor}, or --all{DIM:#}");
        }
        Ok(())
    }

    /// Reads one thing and prints it.
    pub async fn show(&self, path: &str) -> Result<(), Failure> {
        let answered = self.client.ask(Method::GET, path).send().await?;
        Ok(self.output.one(&answered.text)?)
    }

    /// Does something and prints what comes of it.
    pub async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let answered = self.ask(method, path, body).await?;
        if !answered.text.is_empty() {
            self.output.one(&answered.text)?;
        }
        Ok(answered.document)
    }

    /// Does something.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Answered, Failure> {
        let asking = self.client.ask(method, path);
        let asking = if body.is_null() {
            asking
        } else {
            asking.json(body)
        };
        asking.send().await
    }
}

fn page_path(
    path: &str,
    query: &[(&str, Option<String>)],
    limit: u32,
    cursor: Option<&str>,
) -> String {
    let mut text = format!("{path}?Limit={limit}");
    let cursor = [("Cursor", cursor.map(str::to_owned))];
    for (name, value) in query.iter().chain(&cursor) {
        if let Some(value) = value {
            let _ = write!(text, "&{name}={}", encoded(value));
        }
    }
    text
}
