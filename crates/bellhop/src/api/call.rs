//! One request, as a handler sees it.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{
    body::{self},
    callers::Caller,
    checks::Checks,
    code::Code,
    error::ApiError,
    query::Query,
    state::ApiState,
};
use crate::{
    domain::audit::By,
    lifecycle::Lifecycle,
    store::{Noun, Store},
};

/// One request of a caller who may make it. Debug is not derived: headers and body hold secrets.
pub struct Call {
    /// What all handlers share.
    pub api: ApiState,
    /// Who is calling.
    pub caller: Caller,
    /// Where it came from.
    pub from: Option<IpAddr>,
    /// Its id, as the answer has it.
    pub request_id: Arc<str>,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// What stands in the path for `{Id}`.
    pub path_id: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

impl Call {
    /// The way to durable changes.
    pub fn lifecycle(&self) -> &Lifecycle {
        self.api.lifecycle()
    }

    /// The store, for reading.
    pub fn store(&self) -> &dyn Store {
        self.api.store()
    }

    /// Who asks, as the audit log has it.
    pub fn by(&self) -> By {
        By {
            actor: self.caller.actor.clone(),
            from: self.from,
            request_id: Some(self.request_id.clone()),
        }
    }

    /// Whether the key opens nothing any more. Who came without one (from a page) is looked after by the page.
    pub async fn has_ended(&self) -> bool {
        if !self.headers.contains_key(http::header::AUTHORIZATION) {
            return false;
        }
        let now = self.lifecycle().now();
        let caller = self.api.callers.identify(&self.headers, self.store(), now);
        caller
            .await
            .is_err_and(|error| error.code() == Code::Unauthorized)
    }

    /// The id in the path. What has not the form of an id names nothing.
    pub fn id<Id: From<Uuid>>(&self, noun: Noun) -> Result<Id, ApiError> {
        let text = self.path_id.as_deref().unwrap_or_default();
        Uuid::try_parse(text).map(Id::from).map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            ApiError::not_found(noun, format!("{shown}: an id is a UUID"))
        })
    }

    /// The query; only these parameters are known.
    pub fn query(&self, known: &[&str]) -> Query<'_> {
        Query::read(self.uri.query(), known)
    }

    /// Refuses every parameter.
    pub fn no_query(&self) -> Result<(), ApiError> {
        match self.uri.query() {
            None => Ok(()),
            Some(_) => self.query(&[]).finish(),
        }
    }

    /// The body, with the checks that its values go through. No parameters are taken beside it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<(T, Checks), ApiError> {
        self.no_query()?;
        body::read(&self.body)
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
