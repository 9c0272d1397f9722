//! Lists in pages: `{"Items": […], "NextCursor": null}`.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    cursor::{self, List},
    error::ApiError,
    query::Query,
    reply::Reply,
};
use crate::store::Page;

/// Items of a page unless told otherwise.
const DEFAULT_LIMIT: u32 = 100;
/// Most items of a page.
pub const MAX_LIMIT: u32 = 1000;

/// The page that a caller wants.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest {
    list: List,
    after: Option<Uuid>,
    limit: u32,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Items<T> {
    /// What is on this page.
    items: Vec<T>,
    /// Give this as `Cursor` for the next page; null on the last.
    next_cursor: Option<String>,
}

/// How many items a caller wants: `Limit`.
pub fn limit(query: &mut Query<'_>) -> u32 {
    match query.text("Limit").map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
        Some(_) => {
            let detail = format!("It is a whole number from 1 to {MAX_LIMIT}.");
            query.fault("Limit", detail);
            DEFAULT_LIMIT
        }
    }
}

impl<T: Serialize> Items<T> {
    /// A page, as an answer.
    pub fn reply(items: Vec<T>, next_cursor: Option<String>) -> Reply {
        let page = Self { items, next_cursor };
        Reply::ok(&page).with_version_of_body()
    }
}

impl PageRequest {
    /// From `Limit` and `Cursor`.
    pub fn read(list: List, query: &mut Query<'_>) -> Result<Self, ApiError> {
        let limit = limit(query);
        let after = query
            .text("Cursor")
            .map(|text| cursor::read(list, text))
            .transpose()?;
        Ok(Self { list, after, limit })
    }

    /// What to ask the store for: one more than is shown, which tells whether there is another page.
    pub fn page(self) -> Page {
        Page {
            after: self.after,
            limit: self.limit + 1,
        }
    }

    /// The position after which the page begins.
    pub fn after(self) -> Option<Uuid> {
        self.after
    }

    /// The page, from what [`PageRequest::page`] found.
    pub fn reply<T, Shown: Serialize>(
        self,
        mut found: Vec<T>,
        position: impl Fn(&T) -> Uuid,
        show: impl FnMut(T) -> Shown,
    ) -> Reply {
        let shown = self.limit as usize;
        let next_cursor = (found.len() > shown)
            .then(|| {
                found.truncate(shown);
                found
                    .last()
                    .map(|last| cursor::write(self.list, position(last)))
            })
            .flatten();
        Items::reply(found.into_iter().map(show).collect(), next_cursor)
    }
}
