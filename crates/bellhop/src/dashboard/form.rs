//! What a form or a query says.

use serde_json::{Map, Value};
use url::form_urlencoded;
use uuid::Uuid;

/// Names and values as they were sent; what is empty was not filled in.
#[derive(Debug, Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the form of a body, or a query.
    pub fn read(encoded: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(encoded)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self(pairs.collect())
    }

    /// A value.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// All values of one name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// An id, if it is one.
    pub fn id<Id: From<Uuid>>(&self, name: &str) -> Option<Id> {
        self.parsed::<Uuid>(name).map(Id::from)
    }

    /// A value that can be read as such.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.trim().parse().ok()
    }

    /// The same with this value instead.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// The same with this value as well.
    pub fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// As a query, without those names.
    pub fn query_without(&self, left_out: &[&str]) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| !left_out.contains(&name.as_str()));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.finish()
    }

    /// As a query, of those names alone.
    pub fn query_with(&self, names: &[&str]) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(name, _)| names.contains(&name.as_str()));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(kept);
        query.finish()
    }

    /// Those members as a JSON document, as texts.
    pub fn document(&self, names: &[&str]) -> Map<String, Value> {
        let pairs = names.iter().filter_map(|name| {
            let text = self.text(name)?;
            Some(((*name).to_owned(), Value::from(text)))
        });
        pairs.collect()
    }
}

/// A number if it is one, for the API to judge; else the text, for the API to refuse.
pub fn number(text: &str) -> Value {
    text.trim()
        .parse::<u64>()
        .map_or_else(|_| Value::from(text), Value::from)
}
